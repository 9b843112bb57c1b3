"""Imports of the libraries around Celery that mean nothing to a program without it.

They would still work where the library is installed, and `except kombu.exceptions.OperationalError`
catch nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks.migrate.targets import moved

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["companion"]

_QUEUES = "a queue is its name, without exchange and routing key: `task_queues = ['a', 'b']`"
_SCHEDULES = (
    "the schedule's entries are in the store: `app.schedules`, `reliable-tasks schedules`, and "
    "the admin's pages of `reliable_tasks.contrib.django`"
)
_RESULTS = (
    "results are in the store: `AsyncResult(id)`, `reliable-tasks audit`, and the admin's pages of "
    "`reliable_tasks.contrib.django`"
)
_CODECS = (
    "arguments are 'json' or 'msgpack'; a class of your own may have a `__json__` method that "
    "returns plain values"
)
_NOT_SENT = "`reliable_tasks.errors.CodecError`: a value cannot be sent"
_SAID = {
    "billiard.exceptions.Terminated": "`reliable_tasks.exceptions.TaskRevokedError`",
    "django_celery_beat": _SCHEDULES,
    "django_celery_results": _RESULTS,
    "kombu.Exchange": _QUEUES,
    "kombu.Queue": _QUEUES,
    "kombu.binding": _QUEUES,
    "kombu.common.Broadcast": "a message is run by one worker: enqueue one for each queue",
    "kombu.entity": _QUEUES,
    "kombu.exceptions.EncodeError": _NOT_SENT,
    "kombu.exceptions.SerializerNotInstalled": _NOT_SENT,
    "kombu.serialization": _CODECS,
}
_RAISED_BY_BOTH = frozenset({"billiard.exceptions", "kombu.exceptions"})


def companion(module: str, name: str = "") -> str | None:
    """What is here instead of an import; None where it is none of these."""
    if module in _RAISED_BY_BOTH and name and (here := moved("celery.exceptions", name)):
        return f"`{here[0]}.{here[1]}`: nothing here raises the one of {module.partition('.')[0]}"
    whole = f"{module}.{name}".rstrip(".")
    return next((_SAID[each] for each in _parents(whole) if each in _SAID), None)


def _parents(whole: str) -> Iterator[str]:
    while whole:
        yield whole
        whole = whole.rpartition(".")[0]
