"""How many random traces a state machine needs to find what is wrong."""

from __future__ import annotations

import inspect
import itertools
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine

__all__ = ["first_failure"]


def first_failure(
    machine: type[RuleBasedStateMachine], examples: int, steps: int = 30
) -> tuple[int, str] | None:
    """After how many traces it failed, and at which rule or invariant; None if it never did."""
    begun = itertools.count(1)

    class Counting(machine):  # type: ignore[misc, valid-type]
        """Counts the traces."""

        def __init__(self) -> None:
            super().__init__()
            next(begun)

    some_traces = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
    )
    try:
        run_state_machine_as_test(Counting, settings=some_traces)
    except Exception as exc:  # noqa: BLE001 - however it shows
        return next(begun) - 1, _where(exc, Path(inspect.getfile(machine.__mro__[1])).parent)
    return None


def _where(exc: BaseException, home: Path) -> str:
    """The rule or invariant at which it failed, of a machine whose modules are in one folder."""
    inner: Any = exc
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    frames = [f for f in traceback.extract_tb(inner.__traceback__) if f.filename != __file__]
    names = [f.name for f in frames if Path(f.filename).parent == home and f.name[0] not in "_<"]
    return names[-1].replace("_", " ") if names else f"{type(inner).__name__}: {inner}"
