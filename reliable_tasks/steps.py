"""`self.step(...)`: an effect that is recorded once and replayed on later attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigError, StaleClaim, StepOutcomeUnknown
from .serialization import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from .request import Running

__all__ = ["run_step"]


def run_step(
    running: Running | None, name: str, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """Call `function` unless an earlier attempt recorded this step; record what it returns.

    Raises:
        StepOutcomeUnknown: an earlier attempt began it and died before its outcome was recorded.
        StaleClaim: the claim was taken away.
        ConfigError: no body is running, or the name is not text.
    """
    if running is None:
        raise ConfigError("step() works from inside the body of a task")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a step's name must be a non-empty string, not {name!r}")
    if running.port is None:
        return function(*args, **kwargs)
    begun = running.port.step(name, None)
    if begun.known == "done" and begun.value is not None:
        return loads(begun.value, "json")
    if begun.known == "begun":
        raise StepOutcomeUnknown(
            f"step {name!r} of {running.request.id} was begun by an earlier attempt that died; "
            "find out whether it took effect, then record it or do it under another name"
        )
    _check(begun.known, name, running)
    value = function(*args, **kwargs)
    ended = running.port.step(name, dumps(value, "json"))
    _check(ended.known, name, running)
    return value


def _check(known: str, name: str, running: Running) -> None:
    if known == "stale":
        raise StaleClaim(
            f"step {name!r} of {running.request.id}: the claim with fence "
            f"{running.request.fence} was taken away from this worker"
        )
