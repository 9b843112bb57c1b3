"""Every exception of the package, below one root. The first docstring line is the default message.

The names that Celery users catch (`Retry`, `Ignore`, `Reject`, `SoftTimeLimitExceeded`, …) are here
under Celery's names; `AlreadyQueued` has celery_once's.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.texts import as_seconds, no_span

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

__all__ = [
    "AlreadyQueued",
    "BadSchedule",
    "ChordError",
    "CodecError",
    "ConfigError",
    "Ignore",
    "IncompleteStream",
    "MaxRetriesExceededError",
    "MessageRefused",
    "MessageTooLarge",
    "NotRegistered",
    "Reject",
    "ReliableTasksError",
    "RemoteError",
    "ResultGone",
    "Retry",
    "SoftTimeLimitExceeded",
    "StaleClaim",
    "StepOutcomeUnknown",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnavailable",
    "StoreVersionError",
    "TaskIdConflict",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "UnknownEntry",
    "UnknownResult",
    "WorkerLostError",
    "suggest",
]


class ReliableTasksError(Exception):
    """Something that reliable_tasks was asked to do cannot be done."""

    def __str__(self) -> str:
        return super().__str__() or (type(self).__doc__ or "").splitlines()[0]


# What a program got wrong -----------------------------------------------------------------------


class ConfigError(ReliableTasksError, ValueError):
    """A setting or an option is not valid."""


class BadSchedule(ConfigError):
    """A schedule is not valid."""


class UnknownEntry(ConfigError, LookupError):
    """No schedule entry has this name."""


class NotRegistered(ReliableTasksError, KeyError):
    """No task of this name is registered."""

    def __str__(self) -> str:
        text = BaseException.__str__(self)  # a KeyError's is in quotes
        return text or (type(self).__doc__ or "").splitlines()[0]


class CodecError(ReliableTasksError, ValueError):
    """A value cannot be encoded, or bytes cannot be decoded."""


class MessageTooLarge(ReliableTasksError, ValueError):
    """A message or a result is larger than the store accepts."""


class MessageRefused(ReliableTasksError, ValueError):
    """A message of another system's broker cannot be taken over; the text says why."""


# What the store says ----------------------------------------------------------------------------


class StoreError(ReliableTasksError):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError, ConnectionError):
    """The store cannot be reached now; whether the last call was applied is not known."""


class StoreBusy(StoreUnavailable):
    """The store is locked by another process for longer than the time to wait for it."""


class StoreFull(StoreError):
    """The store has no room left; nothing of the last call was applied."""


class StoreReadOnly(StoreError):
    """The store cannot be written to; nothing of the last call was applied."""


class StoreVersionError(StoreError):
    """The store was written by a version of reliable_tasks that this one cannot read."""


class StaleClaim(StoreError):
    """The claim was taken away: another worker has the message, or it has ended."""


# What a body may raise --------------------------------------------------------------------------


class TaskPredicate(ReliableTasksError):
    """A body says how its attempt is to end: `Retry`, `Ignore` or `Reject`."""


class Retry(TaskPredicate):
    """The message is to be retried later.

    Raised by `self.retry()`.

    Attributes:
        exc: the exception that made the body ask for a retry.
        when: the delay in seconds; None if `eta` is set.
        eta: the instant of the next attempt.
        max_retries: the limit that applied.
        call: new arguments for the next attempt, if it gets any.
        queue, priority, expires: new ones for the message, if given.
        payload, headers: its arguments and options as they are stored, if they change.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | None = None,
    ) -> None:
        super().__init__(message or "")
        self.message = message
        self.exc = exc
        self.when = None if when is None else _seconds_to_wait(when)
        self.eta: dt.datetime | None = None
        self.max_retries: int | None = None
        self.call: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self.queue: str | None = None
        self.priority: int | None = None
        self.expires: float | dt.timedelta | dt.datetime | str | None = None
        self.payload: bytes | None = None
        self.headers: bytes | None = None

    def __str__(self) -> str:
        if self.message:
            return self.message
        after = "" if self.when is None else f" in {self.when:g} s"
        return f"Retry{after}" + (f": {self.exc!r}" if self.exc else "")


def _seconds_to_wait(when: float) -> float:
    seconds = as_seconds(when)
    if seconds is None:
        raise ConfigError(no_span("when", when))
    return max(0.0, seconds)


class Ignore(TaskPredicate):
    """The message is to end without a result."""


class Reject(TaskPredicate):
    """The message is to be dead-lettered, or with `requeue` delivered again."""

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __str__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class MaxRetriesExceededError(ReliableTasksError):
    """The message was retried as often as it may be.

    Attributes:
        task_args, task_kwargs: the arguments of its last attempt.
    """

    def __init__(self, *args: object, task_args: Any = (), task_kwargs: Any = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = {} if task_kwargs is None else task_kwargs


class SoftTimeLimitExceeded(ReliableTasksError):
    """The body ran longer than its soft time limit."""


class StepOutcomeUnknown(ReliableTasksError):
    """An earlier attempt began this step and died before its outcome was recorded."""


# How a message ended ----------------------------------------------------------------------------


class TimeLimitExceeded(ReliableTasksError):
    """The body ran longer than its hard time limit and its process was killed."""


class WorkerLostError(ReliableTasksError):
    """The process that ran the body died, as often as a message may be delivered."""


class TaskRevokedError(ReliableTasksError):
    """The message was revoked, or expired before it could start."""


class ChordError(ReliableTasksError):
    """A part that this one waits for did not succeed."""


class RemoteError(ReliableTasksError):
    """Stands in for an exception of a class that is not registered as safe to rebuild here.

    The stand-in's class has the name and module of the original; `remote_type` is the qualified
    name, `message` what `str()` gave there.
    """

    remote_type: str = ""
    message: str = ""


class TimeoutError(ReliableTasksError, builtins.TimeoutError):  # noqa: A001 - Celery's name, and it is one
    """The result was not there in time."""


class UnknownResult(ReliableTasksError, LookupError):
    """Nothing is stored under this id."""


class ResultGone(UnknownResult):
    """The message was there, and the store keeps nothing of it any more.

    Its result has expired (`result_expires`), was forgotten, or the store has lost it.
    """


class IncompleteStream(ReliableTasksError):
    """A message has not ended, so what it starts is not known yet."""


class AlreadyQueued(ReliableTasksError):
    """A message with this once-key is already there.

    Attributes:
        countdown: seconds until the key is expected to be free: the rest of its `timeout` where it
            has one, else of its holder's delay; 0.0 where nobody can know.
        task_id: the id of the message that holds the key.
        key: the once-key.
    """

    def __init__(
        self, countdown: float = 0.0, task_id: str | None = None, key: str | None = None
    ) -> None:
        super().__init__(countdown, task_id, key)
        self.countdown = countdown
        self.task_id = task_id
        self.key = key

    @property
    def message(self) -> str:
        """The text of `str()`."""
        return str(self)

    def __str__(self) -> str:
        when = f", expected to be free in {self.countdown:g} s" if self.countdown > 0 else ""
        return f"already queued as {self.task_id} (key {self.key}){when}"


class TaskIdConflict(AlreadyQueued):
    """Another call, of another task or with other arguments, has this `task_id`.

    Attributes:
        task: of this call, which was not stored.
        holder_task: of the call that has the id.
    """

    def __init__(self, task_id: str, task: str, holder_task: str, countdown: float = 0.0) -> None:
        super().__init__(countdown, task_id, None)
        self.args = (task_id, task, holder_task, countdown)
        self.task = task
        self.holder_task = holder_task

    def __str__(self) -> str:
        same = self.task == self.holder_task
        other = (
            "another call of it, with other arguments" if same else f"a call of {self.holder_task}"
        )
        return (
            f"the call of {self.task} with task_id={self.task_id!r} was not stored: {other}, has "
            "this id; give each call an id of its own"
        )


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest of `known`, or an empty string."""
    import difflib  # noqa: PLC0415 - only mistakes need it

    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
