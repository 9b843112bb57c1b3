"""Schedule entries at run time: `app.schedules`, and how entries are shown to people."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events
from reliable_tasks.core import ids
from reliable_tasks.core.codec import loads
from reliable_tasks.errors import ConfigError, ReliableTasksError, StoreError, UnknownEntry, suggest
from reliable_tasks.store.values import Batch, Entry

from .crontab import crontab
from .definition import changed_entry, define, new_entry, unknown_task
from .encoding import (
    FIRST,
    Spec,
    Template,
    Timetable,
    decode_spec,
    decode_template,
    relabelled,
)
from .schedules import schedule
from .solar import solar
from .zones import from_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult

    from .schedules import BaseSchedule

__all__ = ["ScheduleEntry", "Schedules", "in_words"]

_ROUNDS = 10
"""How often to retry a change that another change has overtaken."""


# Showing ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleEntry:
    """An entry as it stands in the store.

    Attributes:
        name: unique in the namespace.
        task: name of the task, or of a workflow's first.
        args, kwargs: of its call; None if they cannot be decoded here.
        schedule: when it fires; None if it cannot be made here.
        words: the same for people to read.
        tz: the zone its times are in.
        catch_up: what is done about slots that were missed.
        jitter: messages start up to so much after their slot.
        start_at, end_at: the slots before and after do not count.
        origin: "code" or "runtime": who made it.
        state: "active", "paused", or "ended" if no slot is left.
        next_run: its next slot.
        last_run: the slot that was fired last.
        last_id: the id of that slot's message. A duplicate of a once-task left no message.
        runs: how many slots were fired.
        missed: how many were passed over.
    """

    name: str
    task: str
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None
    schedule: BaseSchedule | None
    words: str
    tz: str
    catch_up: str
    jitter: timedelta
    start_at: datetime | None
    end_at: datetime | None
    origin: str
    state: str
    next_run: datetime | None
    last_run: datetime | None
    last_id: str | None
    runs: int
    missed: int


_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000))


def _span(span_ms: int) -> str:
    parts = []
    for unit, length in _UNITS:
        count, span_ms = divmod(span_ms, length)
        if count:
            parts.append(f"{count} {unit}")
    if span_ms or not parts:
        parts.append(f"{span_ms / 1000:g} s")
    return " ".join(parts)


def in_words(made: BaseSchedule) -> str:
    """A schedule for people to read: `every 1 h 30 min`, `cron 50 9 * * *`."""
    zone = f" ({made.tz})" if made.tz is not None else ""
    if isinstance(made, schedule):
        relative = ", on the clock" if made.relative else ""
        return f"every {_span(made.run_every // timedelta(milliseconds=1))}{relative}{zone}"
    if isinstance(made, crontab):
        return f"cron {made.to_spec()['cron']}{zone}"
    if isinstance(made, solar):
        return f"{made.event.replace('_', ' ')} at {made.lat:g}, {made.lon:g}"
    return repr(made)


def _when(moment_ms: int | None) -> datetime | None:
    return None if moment_ms is None else from_ms(moment_ms)


def _state(entry: Entry) -> str:
    if entry.paused:
        return "paused"
    return "ended" if entry.next_ms is None else "active"


# Changing -----------------------------------------------------------------------------------------


class Schedules:
    """The schedule entries in an app's store; they may be read and changed while beats run.

    What is changed here is seen by every beat, and lasts until it is changed again.
    """

    def __init__(self, app: AppContext) -> None:
        self._app = app

    def add(
        self,
        name: str,
        schedule: Any,
        task: Any,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        allow_unknown: bool = False,
        **options: Any,
    ) -> ScheduleEntry:
        """Add an entry; it starts with the first slot after now.

        Args:
            name: unique in the namespace.
            schedule: a timedelta, seconds, or a schedule such as `crontab(hour=7)`.
            task: a task, its name, a signature, or a workflow.
            args: positional arguments.
            kwargs: keyword arguments.
            replace: change the entry if it is there already; its next slot stays the same unless
                the schedule is another one.
            allow_unknown: the task need not be registered here.
            **options: `tz`, `catch_up` ("skip", "one" or "all"), `jitter` (seconds or a timedelta),
                `start_at`, `end_at`, `relative`, and those of `apply_async`.

        Raises:
            ConfigError: something is not possible, the task is not registered, or the name is
                taken: without `replace` by any entry, with it by one of the code.
            StoreError: the store cannot be reached.
        """
        store = self._app.store
        now_ms = store.now_ms()
        given = {"task": task, "schedule": schedule, "args": args, "kwargs": kwargs}
        made = define(self._app, name, {**given, "options": options}, now_ms)
        missing = None if allow_unknown else unknown_task(self._app, made.template)
        if missing is not None:
            raise ConfigError(
                f"schedule entry {name!r}: no task is registered as {missing!r}"
                f"{suggest(missing, self._app.tasks)}; with allow_unknown=True it need not be"
            )
        fresh = new_entry(name, made, "runtime", now_ms)
        if fresh.next_ms is None:
            raise ConfigError(
                f"schedule entry {name!r} would never fire: it has no slot after now"
                + (f" and up to end_at={options['end_at']}" if options.get("end_at") else "")
            )
        if store.put_entry(fresh, -1):
            return self._told(name, "added")
        if not replace:
            raise ConfigError(
                f"there is a schedule entry {name!r} already; remove it, or give replace=True"
            )
        return self._change(
            name, "changed", lambda old: changed_entry(_of_runtime(old), made, now_ms)
        )

    def pause(self, name: str) -> ScheduleEntry:
        """Stop an entry from firing until it is resumed.

        Raises:
            UnknownEntry: there is no such entry.
        """
        return self._change(name, "paused", lambda old: msgspec.structs.replace(old, paused=True))

    def resume(self, name: str) -> ScheduleEntry:
        """Let a paused entry fire again, from the first slot after now; none was missed meanwhile.

        Raises:
            UnknownEntry: there is no such entry.
        """
        now_ms = self._app.store.now_ms()

        def resumed(old: Entry) -> Entry:
            if not old.paused:
                return old
            table = Timetable.of(decode_spec(old.spec))
            next_ms = table.after(max(now_ms, old.last_ms or 0))
            return msgspec.structs.replace(old, paused=False, next_ms=next_ms)

        return self._change(name, "resumed", resumed)

    def remove(self, name: str) -> None:
        """Delete an entry.

        Raises:
            UnknownEntry: there is no such entry.
            ConfigError: it is one of the code and would come back.
        """
        if self._entry(name).origin == "code":
            raise ConfigError(
                f"schedule entry {name!r} is one of the code and would be back when a beat starts; "
                "pause it, or remove it from beat_schedule"
            )
        self._app.store.remove_entry(name)
        events.emit("beat.changed", entry=name, change="removed", next_at=None)

    def run_now(self, name: str) -> AsyncResult[Any]:
        """Enqueue an entry's call now, in addition to its slots; paused entries, too.

        Returns:
            the handle on its message; for a workflow, on its first message.

        Raises:
            UnknownEntry: there is no such entry.
            AlreadyQueued: a once-task's message with the same key is there already.
        """
        template = decode_template(self._entry(name).template)
        labels = {FIRST: ids.new_id()}
        messages = relabelled(
            template.messages,
            lambda label: labels.setdefault(label, ids.new_id()),
            origin=f"schedules:{name}",
        )
        if len(messages) == 1:
            only: AsyncResult[Any]
            only = self._app.send_message(messages[0], {"durable": template.durable})
            return only
        self._app.enqueue(Batch(messages=messages, durable=template.durable))
        first: AsyncResult[Any] = self._app.AsyncResult(labels[FIRST])
        return first

    # Reading --------------------------------------------------------------------------------------

    def get(self, name: str) -> ScheduleEntry:
        """One entry.

        Raises:
            UnknownEntry: there is no such entry.
        """
        return self._shown(self._entry(name))

    def list(self) -> tuple[ScheduleEntry, ...]:
        """All entries by name."""
        return tuple(self._shown(entry) for entry in self._app.store.entries())

    def __iter__(self) -> Iterator[ScheduleEntry]:
        return iter(self.list())

    def upcoming(self, name: str, count: int = 10) -> tuple[datetime, ...]:
        """The next slots of an entry, in UTC, at most `count`; paused or not.

        Raises:
            UnknownEntry: there is no such entry.
            ConfigError: its schedule cannot be made here.
        """
        table = Timetable.of(decode_spec(self._entry(name).spec))
        slots = table.upcoming(self._app.store.now_ms())
        return tuple(from_ms(slot) for slot in itertools.islice(slots, count))

    # Inside ---------------------------------------------------------------------------------------

    def _entry(self, name: str) -> Entry:
        entries = {entry.name: entry for entry in self._app.store.entries()}
        if name not in entries:
            raise UnknownEntry(f"there is no schedule entry {name!r}{suggest(name, entries)}")
        return entries[name]

    def _change(self, name: str, kind: str, change: Callable[[Entry], Entry]) -> ScheduleEntry:
        for _ in range(_ROUNDS):
            old = self._entry(name)
            new = change(old)
            if new == old:
                return self._shown(old)
            if self._app.store.put_entry(new, old.version):
                return self._told(name, kind)
        raise StoreError(f"schedule entry {name!r} keeps being changed by others; try again")

    def _told(self, name: str, change: str) -> ScheduleEntry:
        entry = self._entry(name)
        events.emit("beat.changed", entry=name, change=change, next_at=entry.next_ms)
        return self._shown(entry)

    def _shown(self, entry: Entry) -> ScheduleEntry:
        spec, template = decode_spec(entry.spec), decode_template(entry.template)
        made, words = _made(spec)
        args, kwargs = self._call(template)
        return ScheduleEntry(
            name=entry.name,
            task=template.task,
            args=args,
            kwargs=kwargs,
            schedule=made,
            words=words,
            tz=spec.tz,
            catch_up=spec.catch_up,
            jitter=timedelta(milliseconds=spec.jitter_ms),
            start_at=_when(spec.start_ms),
            end_at=_when(spec.end_ms),
            origin=entry.origin,
            state=_state(entry),
            next_run=_when(entry.next_ms),
            last_run=_when(entry.last_ms),
            last_id=entry.last_id,
            runs=entry.runs,
            missed=entry.missed,
        )

    def _call(self, template: Template) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
        try:
            sig = loads(template.call, template.serializer, self._app.accept_content)
            return tuple(sig["args"]), dict(sig["kwargs"])
        except ReliableTasksError:  # its codec is not accepted here, or a type is unknown
            return None, None


def _made(spec: Spec) -> tuple[BaseSchedule | None, str]:
    """A schedule and its words, which say so if it cannot be made here (solar without astral)."""
    try:
        made = Timetable.of(spec).schedule
    except ConfigError as error:
        return None, str(error)
    return made, in_words(made)


def _of_runtime(entry: Entry) -> Entry:
    if entry.origin == "code":
        raise ConfigError(
            f"schedule entry {entry.name!r} is one of the code; change it in beat_schedule"
        )
    return entry
