"""Check what a program sets: values as they are kept, errors and notes."""

from collections.abc import Mapping
from typing import Any

from reliable_tasks.config.masks import shown
from reliable_tasks.config.names import BUILT_IN_SCHEDULERS, NOTED, REFUSED
from reliable_tasks.config.settings import described
from reliable_tasks.core.codec import UNSAFE
from reliable_tasks.errors import ConfigError

__all__ = ["checked", "copied", "invalid", "is_lent", "note", "parsed"]


_AS_RESULT_EXPIRES = frozenset({"result_failure_expires", "CELERY_RESULT_FAILURE_EXPIRES"})
"""Spellings whose None asks for nothing of its own: dead letters stay as long as by default."""


def checked(spelled: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return the values as they are kept, without those refused names that ask for nothing."""
    taken: dict[str, Any] = {}
    for name, (spelling, value) in spelled.items():
        if value is None and spelling in _AS_RESULT_EXPIRES:
            continue
        if name in REFUSED:
            if value and not (name == "beat_scheduler" and str(value) in BUILT_IN_SCHEDULERS):
                raise invalid(spelling, value, ValueError(REFUSED[name]), name)
        elif name in NOTED:
            taken[name] = value
        else:
            try:
                taken[name] = described[name].kind.check(value)
            except ValueError as error:
                raise invalid(spelling, value, error) from None
    return taken


def parsed(name: str, variable: str, text: str) -> Any:
    """The value that an environment variable's text stands for."""
    kind = described[name].kind
    try:
        return kind.parse(text)
    except ValueError as error:
        # The text of a dict is not shown: where its secrets stand cannot be known.
        raise invalid(variable, "…" if kind.lends else text, error, name) from None


def invalid(spelling: str, value: object, error: ValueError, name: str = "") -> ConfigError:
    """The error that names a setting, its value and what is wrong with it."""
    return ConfigError(f"{spelling}={shown(value, name)}: {error}")


def copied(value: Any) -> Any:
    """A copy two dicts deep, to find changes by: what is the same object is compared for free."""
    if isinstance(value, list):
        return [copied(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {key: dict(x) if isinstance(x, dict) else x for key, x in value.items()}


def is_lent(name: str) -> bool:
    """Whether the program gets the object itself, and may change what is in it."""
    return name in described and described[name].kind.lends


def note(name: str, value: Any) -> str | None:
    """Return what there is to say about a name that was set to `value`."""
    if name in NOTED:
        return f"{name}: {NOTED[name]}"
    if name == "broker_transport_options" and "visibility_timeout" in value:
        return (
            "broker_transport_options: visibility_timeout is not needed: a worker's heartbeat "
            "keeps its messages, however long they run"
        )
    if name in {"accept_content", "result_accept_content"} and value is not None:
        unsafe = sorted(UNSAFE.intersection(value))
        if unsafe:
            return (
                f"{name}: {', '.join(unsafe)} would let who writes to the store run code; left out"
            )
    return None
