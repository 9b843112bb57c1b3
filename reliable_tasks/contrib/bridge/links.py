"""What follows a call, as signatures: Celery's dictionaries become those of this package. Pure.

Only what a signature says is taken: a name, arguments, and the options that mean something here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reliable_tasks.core.texts import shown
from reliable_tasks.errors import MessageRefused
from reliable_tasks.tasks.builtins import MAP, STARMAP

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BUILTINS", "Here", "converted", "forward"]

BUILTINS: Final = {"celery.map": MAP, "celery.starmap": STARMAP}
"""Tasks that every Celery app has, and their names here."""
_KEPT: Final = frozenset(
    {
        *{"countdown", "eta", "expires", "queue", "priority", "task_id", "root_id", "parent_id"},
        *{"group_id", "time_limit", "soft_time_limit", "ignore_result", "shadow", "headers"},
        *{"reply_to", "replaced_task_nesting", "stamped_headers"},
    }
)
_WITH_GROUPS: Final = frozenset({"group", "chunks"})
_LINKS: Final = ("link", "link_error")


@dataclass
class Here:
    """What signatures need to know of this app, and of the call that they follow.

    Attributes:
        options: makes options of this app from those of a signature: its queues, its priorities.
        base: what the ids are made of that the producer has not given: the next delivery of the
            same call gives the same ones.
    """

    options: Callable[[dict[str, Any]], dict[str, Any]]
    base: str
    made: int = 0

    def new_id(self) -> str:
        """The next one."""
        self.made += 1
        return f"{self.base}-{self.made}"


def converted(sig: Any, here: Here) -> dict[str, Any]:
    """A signature of Celery's, as a dictionary that `signature()` takes.

    Raises:
        MessageRefused: it is none, or of a kind that is not known here.
    """
    if not isinstance(sig, Mapping) or not isinstance(sig.get("task"), str) or not sig["task"]:
        raise MessageRefused(f"what follows it must be signatures, not {shown(sig)}")
    kind = sig.get("subtask_type") or None
    kwargs = sig.get("kwargs") or {}
    given = sig.get("options") or {}
    if not isinstance(kwargs, Mapping) or not isinstance(given, Mapping):
        raise MessageRefused(f"the signature of {sig['task']} has no dictionaries in it")
    if given.get("chord") and kind is None:
        raise MessageRefused(
            f"what follows it, {sig['task']}, is a part of a chord that is not in this message; "
            "its counter lives in Celery's result backend: send the chord whole"
        )
    made: dict[str, Any] = {
        "task": BUILTINS.get(sig["task"], sig["task"]),
        "args": sig.get("args") or [],
        "kwargs": _KINDS[kind](kwargs, here) if kind in _KINDS else _unknown(kind),
        "options": _options(given, here),
        "subtask_type": kind,
        "immutable": bool(sig.get("immutable")),
    }
    if kind is None and made["task"] in {MAP, STARMAP}:
        made["kwargs"] = _mapped(kwargs, here)
    if kind == "chord":  # its result is that of its body, by whose id the producer waits for it
        told = made["kwargs"]["body"]["options"].get("task_id")
        made["options"].update({"task_id": told} if told else {})
    if kind in _WITH_GROUPS:
        made["options"].setdefault("task_id", here.new_id())
    rest = given.get("chain")
    return forward(made, rest, here) if rest else made


def forward(first: dict[str, Any], rest: Any, here: Here) -> dict[str, Any]:
    """The chain of a signature and of what Celery keeps to follow it: the next one last."""
    if not isinstance(rest, list | tuple):
        raise MessageRefused(f"its chain must be a list, not {shown(rest)}")
    parts = [first, *(converted(each, here) for each in reversed(rest))]
    return {
        "task": "celery.chain",
        "args": [],
        "kwargs": {"tasks": parts},
        "options": {},
        "subtask_type": "chain",
        "immutable": False,
    }


def _options(given: Mapping[str, Any], here: Here) -> dict[str, Any]:
    stamps = given.get("stamped_headers") or ()
    known = _KEPT | {str(name) for name in stamps} if isinstance(stamps, list | tuple) else _KEPT
    kept = {name: value for name, value in given.items() if name in known and value is not None}
    if "queue" not in kept and not given.get("exchange") and given.get("routing_key"):
        kept["queue"] = given["routing_key"]
    if isinstance(kept.get("queue"), Mapping):  # a kombu.Queue, as JSON has it
        kept["queue"] = kept["queue"].get("name")
    if "eta" in kept:
        kept.pop("countdown", None)
    made = here.options(kept)
    for name in _LINKS:
        linked = given.get(name)
        if linked:
            several = linked if isinstance(linked, list | tuple) else [linked]
            made[name] = [converted(each, here) for each in several]
    return made


def _plain(kwargs: Mapping[str, Any], _: Here) -> dict[str, Any]:
    return dict(kwargs)


def _without_chord(tasks: Iterable[Any]) -> Iterable[Any]:
    """Members of a chord that is whole: here it is the store that knows of their body."""
    for each in tasks:
        options = each.get("options") if isinstance(each, Mapping) else None
        if isinstance(options, Mapping) and "chord" in options:
            rest = {name: value for name, value in options.items() if name != "chord"}
            yield {**each, "options": rest}
        else:
            yield each


def _several(kwargs: Mapping[str, Any], here: Here) -> dict[str, Any]:
    return {"tasks": [converted(each, here) for each in _listed(kwargs.get("tasks"))]}


def _chord(kwargs: Mapping[str, Any], here: Here) -> dict[str, Any]:
    header, body = kwargs.get("header"), kwargs.get("body")
    inner = header.get("kwargs") if isinstance(header, Mapping) else {"tasks": header}
    tasks = _listed(inner.get("tasks") if isinstance(inner, Mapping) else None)
    group = header if isinstance(header, Mapping) else {"task": "celery.group"}
    whole = {**group, "subtask_type": "group", "kwargs": {"tasks": list(_without_chord(tasks))}}
    made = converted(whole, here)
    return {"header": made, "body": converted(body, here)}


def _listed(tasks: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(tasks, list | tuple):
        raise MessageRefused(f"the parts of a group or chain must be a list, not {shown(tasks)}")
    return tasks


def _mapped(kwargs: Mapping[str, Any], here: Here) -> dict[str, Any]:
    kept = {name: kwargs[name] for name in ("it", "n") if name in kwargs}
    return {"task": converted(kwargs.get("task"), here), **kept}


def _unknown(kind: Any) -> dict[str, Any]:
    raise MessageRefused(f"what follows it is a {shown(kind)}, a kind that is not known here")


_KINDS: Final[dict[str | None, Callable[[Mapping[str, Any], Here], dict[str, Any]]]] = {
    None: _plain,
    "chain": _several,
    "group": _several,
    "chord": _chord,
    "xmap": _mapped,
    "xstarmap": _mapped,
    "chunks": _mapped,
}
