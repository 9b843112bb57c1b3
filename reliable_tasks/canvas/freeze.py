"""Fix the ids that the messages of a canvas will have, before it is enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core import ids

from .compile import compile_plan
from .enqueue import handles_of
from .plan import plan_of

if TYPE_CHECKING:
    from .signatures import Signature

__all__ = ["freeze"]


def freeze(sig: Signature, task_id: str | None = None) -> Any:
    """Fix the ids of a signature and all its parts; return the handle of its result."""
    if task_id is not None:
        sig.options["task_id"] = task_id
    _fix(sig)
    return handles_of(compile_plan(plan_of(sig)), sig.app)


def _fix(sig: Signature) -> None:
    """Copy the parts of a canvas first, since one signature may be used in many places."""
    match sig.subtask_type:
        case "chain":
            sig.kwargs["tasks"] = _fixed_copies(sig.kwargs["tasks"])
        case "group":
            sig.options.setdefault("task_id", ids.new_id())
            sig.kwargs["tasks"] = _fixed_copies(sig.kwargs["tasks"])
        case "chord":
            parts = [sig.kwargs["header"]] + ([sig.kwargs["body"]] if sig.kwargs["body"] else [])
            fixed = _fixed_copies(parts)
            sig.kwargs.update(zip(("header", "body"), fixed, strict=False))
        case _:
            sig.options.setdefault("task_id", ids.new_id())


def _fixed_copies(parts: list[Signature]) -> list[Signature]:
    copies = [part.clone() for part in parts]
    for each in copies:
        _fix(each)
    return copies
