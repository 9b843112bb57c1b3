"""Bring the store's schedule entries in line with those that the program's code defines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

import msgspec

from reliable_tasks import events
from reliable_tasks.errors import ConfigError, StoreError, suggest

from .definition import Definition, changed_entry, define, new_entry, rebuilt, unknown_task
from .encoding import decode_template, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.protocol import ScheduleStore
    from reliable_tasks.store.values import Entry

__all__ = ["Change", "changes", "code_definitions", "run_hooks", "sync"]

_ROUNDS = 10
"""How often to try again when others change the same entries at the same time."""

_hooked: WeakSet[AppContext] = WeakSet()


def run_hooks(app: AppContext) -> None:
    """Send `on_after_configure` and `on_after_finalize`, once for each app.

    Raises:
        ConfigError: a receiver raised; the schedule would lack entries.
    """
    if app in _hooked:
        return
    _hooked.add(app)
    for signal in (app.on_after_configure, app.on_after_finalize):
        for receiver, answer in signal.send(app, source=app.conf):
            if isinstance(answer, Exception):
                raise ConfigError(
                    f"{receiver!r}, called at {signal.name}, raised {answer!r}"
                ) from (answer)


def code_definitions(
    app: AppContext, now_ms: int, *, allow_unknown: bool = False
) -> dict[str, Definition]:
    """The entries of `beat_schedule` and `add_periodic_task`, by name.

    Raises:
        ConfigError: one is not possible, or its task is not registered (unless `allow_unknown`).
    """
    found = {
        name: define(app, name, given, now_ms) for name, given in app.settings.beat_schedule.items()
    }
    for name, definition in found.items():
        missing = None if allow_unknown else unknown_task(app, definition.template)
        if missing is not None:
            raise ConfigError(
                f"schedule entry {name!r}: no task is registered as {missing!r}"
                f"{suggest(missing, app.tasks)}; import its module (the setting include), or let "
                "workers that know it run it with --allow-unknown-tasks"
            )
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """One change to a stored entry; `expected` is the version to find, -1 for no entry."""

    kind: Literal["added", "changed", "removed"]
    entry: Entry
    expected: int


def changes(
    code: Mapping[str, Definition], stored: Iterable[Entry], now_ms: int
) -> tuple[Change, ...]:
    """The changes that bring stored entries in line with the code; those made at run time stay.

    Raises:
        ConfigError: an entry of the code has the name of one that was made at run time.
    """
    there = {entry.name: entry for entry in stored}
    found: list[Change] = []
    for name, definition in code.items():
        old = there.get(name)
        if old is None:
            found.append(Change("added", new_entry(name, definition, "code", now_ms), -1))
            continue
        if old.origin != "code":
            raise ConfigError(
                f"schedule entry {name!r} of the code has the name of one that was added at run "
                "time; rename it, or remove the other with reliable-tasks schedules remove"
            )
        new = changed_entry(old, definition, now_ms)
        if new != old:
            found.append(Change("changed", new, old.version))
    gone = (e for e in there.values() if e.origin == "code" and e.name not in code)
    found.extend(Change("removed", entry, entry.version) for entry in gone)
    return tuple(found)


def sync(
    app: AppContext, store: ScheduleStore, code: Mapping[str, Definition], now_ms: int
) -> tuple[Change, ...]:
    """Bring the store's entries up to date with the code, and log what has changed.

    Entries that were made at run time stay; their messages follow their tasks' present options.

    Returns:
        what was done.

    Raises:
        ConfigError: as `changes` does.
        StoreError: the store cannot be reached, or others change the same entries all the time.
    """
    done: list[Change] = []
    for _ in range(_ROUNDS):
        stored = store.entries()
        wanted = (*changes(code, stored, now_ms), *_rebuilt(app, stored))
        if not wanted:
            return tuple(done)
        done.extend(change for change in wanted if _apply(store, change))
    raise StoreError(
        f"the schedule could not be brought up to date: {wanted[0].entry.name!r} keeps changing; "
        "do beats with different schedules share the namespace?"
    )


def _rebuilt(app: AppContext, stored: Iterable[Entry]) -> list[Change]:
    found = []
    for entry in stored:
        if entry.origin == "code":
            continue
        try:
            template = encode(rebuilt(app, decode_template(entry.template)))
        except ConfigError:
            continue  # it is damaged; the scheduler says so when it is due
        if template != entry.template:
            new = msgspec.structs.replace(entry, template=template)
            found.append(Change("changed", new, entry.version))
    return found


def _apply(store: ScheduleStore, change: Change) -> bool:
    """Carry out a change; returns whether this beat did so, and not another."""
    entry = change.entry
    if change.kind == "removed":
        done = store.remove_entry(entry.name)
    else:
        done = store.put_entry(entry, change.expected)
    if done:
        events.emit("beat.changed", entry=entry.name, change=change.kind, next_at=entry.next_ms)
    return done
