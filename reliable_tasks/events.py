"""Named events with plain fields: the core emits them, and anybody may subscribe.

The log, metrics and traces are subscribers. Nothing here does I/O. An event without subscribers
costs one look-up; hot paths ask `enabled` before they collect fields.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DEBUG",
    "ERROR",
    "EVENTS",
    "INFO",
    "WARNING",
    "Event",
    "Subscriber",
    "emit",
    "enabled",
    "events_table",
    "listening",
    "outlive_exits",
    "outlived",
    "report",
    "subscribe",
]

DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

Subscriber = Callable[[str, Mapping[str, Any]], object]
"""Called with the event's name and its fields."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event's level in the log, its meaning, and the fields it may carry."""

    level: int
    meaning: str
    fields: tuple[str, ...]


_ATTEMPT = ("task", "id", "root_id", "attempt", "delivery", "fence", "once_key", "queue", "worker")
_RETRY = ("max_retries", "delay", "next_at", "policy", "exception", "message", "reason")
_MESSAGE = ("task", "id", "root_id", "queue", "once_key")
_CHILD = ("worker", "pid", "session")
_LIMIT = (*_CHILD, "id", "fence", "limit")
_TICK = ("entry", "slot", "task", "id")


def _attempt(level: int, meaning: str, *fields: str) -> Event:
    return Event(level, meaning, (*_ATTEMPT, *fields))


EVENTS: Mapping[str, Event] = {
    # A worker's processes
    "worker.started": Event(
        INFO,
        "A worker consumes.",
        ("worker", "pid", "queues", "concurrency", "pool", "store", "tasks"),
    ),
    "worker.stopping": Event(
        INFO, "A worker was told to stop.", ("worker", "signal", "how", "reason")
    ),
    "worker.stopped": Event(INFO, "A worker has stopped.", ("worker", "pid", "code")),
    "worker.reaped": Event(
        WARNING,
        "A worker took back what dead sessions held.",
        ("worker", "requeued", "dead_lettered"),
    ),
    "child.started": Event(DEBUG, "A worker's child process runs.", _CHILD),
    "child.died": Event(
        ERROR,
        "A child process died; `ids` are of the messages it ran.",
        (*_CHILD, "how", "ids"),
    ),
    "child.crashed": Event(
        ERROR, "A child process ended by an error of its own code.", ("pid", "error")
    ),
    "worker.internal_error": Event(
        ERROR,
        "A fault of the worker's own failed a message.",
        ("task", "id", "error"),
    ),
    "child.leftovers": Event(
        WARNING,
        "What the bodies of a dead process had started was killed with it.",
        ("worker", "pid"),
    ),
    "child.retired": Event(
        WARNING,
        "A body is past its limit: its process ends with the others that run in it.",
        (*_CHILD, "id"),
    ),
    "child.stuck": Event(
        ERROR, "A child process makes no progress and is killed.", (*_CHILD, "reason")
    ),
    "child.not_started": Event(
        ERROR, "A child process could not be started; it is tried again.", ("error", "delay")
    ),
    "session.lost": Event(WARNING, "A session's lease has lapsed; a new one is opened.", _CHILD),
    "store.unavailable": Event(
        ERROR,
        "The store cannot be reached; it is tried again.",
        ("store", "error"),
    ),
    "store.recovered": Event(WARNING, "The store can be reached again.", ("store", "after")),
    "store.not_watched": Event(
        WARNING,
        "An SQLite file cannot be watched; it is looked at every few milliseconds instead.",
        ("store", "reason"),
    ),
    # The bridge
    "bridge.not_told": Event(
        WARNING,
        "A bridge could not tell how messages ended; it tries again.",
        ("bridge", "place", "error", "delay"),
    ),
    "bridge.untold": Event(
        ERROR,
        "A result backend does not take how a message ended: that is a dead letter now.",
        ("bridge", "place", "id", "error"),
    ),
    # Attempts: one line each but for `attempt.started`
    "attempt.started": _attempt(DEBUG, "A body is about to run."),
    "attempt.succeeded": _attempt(INFO, "A body returned.", "runtime"),
    "attempt.failed": _attempt(
        ERROR,
        "A message ended as a dead letter.",
        *("exception", "message", "reason", "einfo", "expected"),
    ),
    "attempt.retried": _attempt(INFO, "A message is to be tried again.", *_RETRY),
    "attempt.replaced": _attempt(INFO, "A signature took the message's place."),
    "attempt.released": _attempt(WARNING, "A message was given back unrun.", "reason", "delay"),
    "attempt.stale": Event(
        WARNING,
        "An outcome was not applied: the claim had been taken away.",
        ("id", "fence", "outcome"),
    ),
    "attempt.rejected": _attempt(WARNING, "A body refused its message.", "reason", "requeue"),
    "attempt.ignored": _attempt(INFO, "A body ended its message without a result.", "state"),
    "attempt.revoked": _attempt(WARNING, "A running message was revoked.", "reason"),
    "attempt.not_stopped": Event(
        WARNING,
        "A running message was revoked with terminate; its pool cannot stop its body.",
        ("id", "fence"),
    ),
    "limit.soft": Event(WARNING, "A body ran into its soft time limit.", _LIMIT),
    "limit.hard": Event(ERROR, "A body ran into its hard time limit.", _LIMIT),
    "hook.failed": _attempt(ERROR, "A hook raised; the outcome stands.", "hook", "einfo"),
    # Messages, apart from attempts
    "message.enqueued": Event(DEBUG, "A message was stored.", (*_MESSAGE, "delay", "next_at")),
    "message.duplicate": Event(
        INFO, "A message was not stored: its once-key is held.", (*_MESSAGE, "kind", "holder")
    ),
    "message.conflict": Event(
        WARNING,
        "A message was not stored: another call has its id, of `holder_task`.",
        (*_MESSAGE, "holder_task", "message"),
    ),
    "message.dead_lettered": Event(
        ERROR,
        "The store dead-lettered a message whose hooks nobody ran.",
        ("task", "id", "reason"),
    ),
    # The bridge
    "bridge.started": Event(
        INFO,
        "A bridge takes over what comes to a broker's queues.",
        ("bridge", "pid", "broker", "queues", "store"),
    ),
    "bridge.stored": Event(
        DEBUG, "A bridge has stored a batch; the broker is told.", ("bridge", "messages", "runtime")
    ),
    "bridge.refused": Event(
        ERROR,
        "A broker's message cannot be taken over, and is a dead letter under this id.",
        ("bridge", "id", "queue", "reason"),
    ),
    "bridge.stopped": Event(
        INFO,
        "A bridge has stopped; what it took over since it started.",
        ("bridge", "pid", "stored", "duplicates", "refused", "conflicts"),
    ),
    "broker.unavailable": Event(
        ERROR, "The broker cannot be reached; it is tried again.", ("broker", "error", "delay")
    ),
    "broker.recovered": Event(WARNING, "The broker can be reached again.", ("broker", "after")),
    # Everything else
    "config.note": Event(WARNING, "Something to know about the settings.", ("note",)),
    "log.dropped": Event(
        WARNING, "Lines of the log were lost: it could not be written.", ("lines", "error")
    ),
    "beat.started": Event(INFO, "A beat watches the schedule.", ("beat", "pid", "entries")),
    "beat.stopped": Event(INFO, "A beat has stopped.", ("beat", "pid")),
    "beat.fired": Event(INFO, "A slot's message was enqueued.", (*_TICK, "late")),
    "beat.suppressed": Event(
        INFO, "A slot's message is a duplicate: the one before still lives.", (*_TICK, "holder")
    ),
    "beat.missed": Event(
        WARNING, "Slots passed while no beat ran.", ("entry", "missed", "since", "policy")
    ),
    "beat.changed": Event(
        INFO,
        "An entry of the schedule was added, changed or removed.",
        ("entry", "change", "next_at"),
    ),
    "beat.lost": Event(
        WARNING,
        "Entries of the code were gone from the store; `restored` where it had lost them all.",
        ("entries", "restored"),
    ),
    "beat.failed": Event(
        ERROR,
        "A slot could not be fired; it is tried again.",
        ("entry", "slot", "error", "delay"),
    ),
}
"""Every event there is."""

_lock = threading.Lock()
# Tuples are replaced and never changed, so that readers need no lock.
_subscribers: dict[str, tuple[Subscriber, ...]] = dict.fromkeys(EVENTS, ())
listening: Mapping[str, tuple[Subscriber, ...]] = _subscribers
"""The subscribers of each event, where the call of `enabled` would be felt."""


def enabled(event: str) -> bool:
    """Whether `event` has a subscriber.

    Raises:
        LookupError: there is no such event.
    """
    return bool(_subscribers[event])


def emit(event: str, /, **fields: Any) -> None:
    """Call the subscribers of `event`.

    Raises:
        LookupError: there is no such event.
    """
    for callback in _subscribers[event]:
        try:
            callback(event, fields)
        except outlived() as error:
            # The event has happened already: a failing subscriber must not undo or repeat it.
            report(f"a subscriber of {event!r} raised", error)


_outlived: tuple[type[BaseException], ...] = (Exception,)


def outlived() -> tuple[type[BaseException], ...]:
    """What listeners may raise without stopping the code that calls them."""
    return _outlived


def outlive_exits() -> None:
    """Let no listener end this process; for workers, which also run the messages of others.

    In other programs `sys.exit()` or Ctrl-C in a listener ends the program, as usual.
    """
    global _outlived  # noqa: PLW0603 - one for the process
    _outlived = (BaseException,)


def report(what: str, error: BaseException) -> None:
    """Log that a listener raised."""
    try:
        logging.getLogger(__name__).error(what, exc_info=error)
    except outlived():
        return  # the log itself raised, and there is nowhere else to report it


def subscribe(callback: Subscriber, *events: str) -> Callable[[], None]:
    """Call `callback` at each of `events`, or at every event if none is named.

    Returns:
        a function that ends the subscription.

    Raises:
        LookupError: there is no such event.
    """
    names = events or tuple(EVENTS)
    unknown = set(names) - set(EVENTS)
    if unknown:
        raise LookupError(f"there is no event {min(unknown)!r}; see reliable_tasks.events.EVENTS")
    with _lock:
        for name in names:
            _subscribers[name] = (*_subscribers[name], callback)

    def unsubscribe() -> None:
        with _lock:
            for name in names:
                _subscribers[name] = tuple(c for c in _subscribers[name] if c is not callback)

    return unsubscribe


def events_table() -> str:
    """The reference of events, as a Markdown table."""
    rows = ["| event | level | meaning | fields |", "| --- | --- | --- | --- |"]
    for name, event in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in event.fields)
        level = logging.getLevelName(event.level)
        rows.append(f"| `{name}` | {level} | {event.meaning} | {fields} |")
    return "\n".join(rows) + "\n"
