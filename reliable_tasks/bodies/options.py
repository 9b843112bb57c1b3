"""What `@app.task(…)` takes besides our own options: Celery's, and attributes of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ALWAYS", "NOTED", "TAKEN", "attributes_of", "notes_on_class", "notes_on_options"]

_NO_EXCHANGES = "there are no exchanges here, a queue is a name: give queue=…"
_ACKNOWLEDGED = (
    "a message ends with the commit of its outcome, and one whose worker died is delivered again, "
    "at most max_deliveries times"
)
_ONE_PROGRAM = "the worker is one program without parts to exchange"

NOTED: Mapping[str, str] = {
    **dict.fromkeys(("exchange", "exchange_type", "delivery_mode"), _NO_EXCHANGES),
    **dict.fromkeys(("mandatory", "immediate"), _NO_EXCHANGES),
    **dict.fromkeys(("acks_late", "reject_on_worker_lost", "retry_on_worker_lost"), _ACKNOWLEDGED),
    **dict.fromkeys(("acks_on_failure", "acks_on_timeout"), _ACKNOWLEDGED),
    "acks_on_failure_or_timeout": _ACKNOWLEDGED,
    "compression": "messages are stored as they are encoded",
    "send_events": "events need no switch; the setting audit='all' keeps every transition",
    "track_started": "a result is STARTED while its body runs",
    "store_errors_even_if_ignored": "failures are kept, with traceback and arguments",
    "store_eager_result": "the result of an eager call is in its EagerResult",
    "backend": "results live with the messages",
    "Strategy": _ONE_PROGRAM,
    "Request": _ONE_PROGRAM,
}
"""Options of Celery's that have no effect here, and what there is instead."""

ALWAYS: Mapping[str, Any] = {
    "acks_late": True,
    "acks_on_failure": True,
    "acks_on_failure_or_timeout": True,
    "acks_on_timeout": True,
    "reject_on_worker_lost": True,
    "send_events": True,
    "store_errors_even_if_ignored": True,
    "track_started": True,
}
"""What is always so here: who asks for it needs no note."""

TAKEN = frozenset({"filter", "lazy", "shared"})
"""Options of Celery's decorator that are no attributes: a task belongs to its app at once."""

_LIKELY_A_TYPO = 0.8
_HOOKS = ("on_", "before_", "after_")


def attributes_of(
    where: str, options: Mapping[str, Any], base: type, plain: type
) -> dict[str, Any]:
    """The attributes that options give a task, `base` being its class and `plain` `Task` itself.

    Raises:
        ConfigError: one is most likely a mistyped option, or hides a method of tasks.
    """
    chosen = options.get("filter")
    if chosen is not None and not callable(chosen):
        raise ConfigError(f"{where}: filter={shown(chosen)} must be a function of the task")
    attributes = {name: value for name, value in options.items() if name not in TAKEN}
    for name, value in attributes.items():
        own = getattr(plain, name, None)
        if name.startswith(_HOOKS) and _is_method(own) and not callable(value):
            raise ConfigError(f"{where}: {name}={shown(value)} must be a function")
        if name.startswith("__") or (_is_method(own) and not callable(value)):
            raise ConfigError(
                f"{where}: {name}={shown(value)} would hide what tasks have by this name; give "
                "your attribute another one"
            )
        if not hasattr(base, name) and name not in NOTED:
            near = _near(name, plain)
            if near:
                raise ConfigError(f"{where}: unknown option {name!r}; did you mean {near!r}?")
    return attributes


def notes_on_options(where: str, options: Mapping[str, Any], base: type) -> Iterable[str]:
    """What to say of options that have no effect, or are none."""
    for name, value in options.items():
        if name in NOTED:
            if value is not None and value != ALWAYS.get(name):
                yield f"{where}: {name}={shown(value)} has no effect: {NOTED[name]}"
        elif name not in TAKEN and not hasattr(base, name):
            yield f"{where}: {name} is not an option; it is kept as an attribute of the task"


def notes_on_class(cls: type, plain: type) -> Iterable[str]:
    """What to say of attributes of a task's classes: those with no effect, and mistyped options."""
    for each in cls.__mro__:
        if each is plain:
            return
        if "__wrapped__" in vars(each):
            continue  # made of a function: its options have been looked at
        where = f"class {each.__module__}.{each.__qualname__}"
        for name, value in vars(each).items():
            if name in NOTED and value is not None and value != ALWAYS.get(name):
                yield f"{where}: {name}={shown(value)} has no effect: {NOTED[name]}"
            elif not name.startswith("_") and not hasattr(plain, name) and not callable(value):
                near = _near(name, plain)
                if near:
                    yield f"{where}: {name} is not an option; did you mean {near!r}?"


def _near(name: str, plain: type) -> str | None:
    """The option that a name is most likely meant to be."""
    import difflib  # noqa: PLC0415 - only names that are not ours need it

    names = (n for n in dir(plain) if not n.startswith("_"))
    options = {n for n in names if n.startswith(_HOOKS) or not _is_method(getattr(plain, n, len))}
    known = sorted(options | NOTED.keys())
    found = difflib.get_close_matches(name, known, n=1, cutoff=_LIKELY_A_TYPO)
    return found[0] if found else None


def _is_method(value: Any) -> bool:
    return isinstance(value, property) or (callable(value) and not isinstance(value, type))
