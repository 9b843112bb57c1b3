"""`verify`: check the invariants on the trail and the records of an installation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from reliable_tasks.audit.verify import INVARIANTS, NEED_FULL_TRAIL, verify
from reliable_tasks.store.values import AuditEvent, AuditQuery, MessageQuery, every, every_of

from ._context import Chosen, app_options
from ._output import echo_json, instant, since_ms
from ._progress import told
from ._say import say
from .audit import print_story

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reliable_tasks.audit.verify import Violation
    from reliable_tasks.store.protocol import ReadStore
    from reliable_tasks.store.values import AuditRow, Counts, LockInfo, Record, SessionInfo

__all__ = ["command"]

_LOCKS = 1000
_RECORDS = 200  # read in full, with their arguments
_BESIDES = frozenset({"locks", "counters"})
_LOOKS = 3
_NOT_WHOLE = 'the trail is not whole here; set audit="all" to keep every transition'
_AT_WORK = "the store was at work meanwhile"


@click.command("verify")
@click.option("--since", metavar="WHEN", help="Only what is younger: 1h, 2d, or a date and time.")
@click.option(
    "--stories", type=click.IntRange(0), default=10, show_default=True, help="Stories to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each violation.")
@app_options
@click.pass_obj
def command(chosen: Chosen, since: str | None, stories: int, as_json: bool) -> None:
    """Check that nothing was lost, nothing ended twice, and no claim that was over was committed.

    Reads the audit trail, the messages, the locks and the counters, and changes nothing. All of it
    can be checked where the trail is kept whole, with the setting audit="all"; how much could be
    is said first. Workers may be running. The exit code is 1 if an invariant is broken.
    """
    app = chosen.open_app()
    store = app.store
    kept_whole = app.settings.audit == "all" or not chosen.names_app
    whole_since = _whole_since(store) if kept_whole else None
    asked = since_ms(since, store.now_ms())
    reading = _Reading(store, whole_since is not None, max(whole_since or 0, asked or 0))
    found = reading.verify()
    if not chosen.quiet:
        for line in _coverage(reading):
            say(line, err=as_json)
    if as_json:
        for violation in found:
            echo_json(_as_dict(violation))
    else:
        _print(reading, found, stories, chosen.quiet)
    if found:
        click.get_current_context().exit(1)


def _whole_since(store: ReadStore) -> int | None:
    """Since when the trail has everything, by its oldest row that only a whole one has."""
    oldest = store.audit(AuditQuery(event=AuditEvent.ENQUEUED, limit=1))
    return oldest[0].at_ms if oldest else None


@dataclass(slots=True)
class _Reading:
    """Reads a store that may be at work meanwhile."""

    store: ReadStore
    full: bool
    horizon_ms: int
    messages: int = 0
    rows: int = 0
    moving: bool = False
    """The store was at work, so that counters and messages cannot be compared."""
    parents: dict[str, list[str]] = field(default_factory=dict)

    def verify(self) -> list[Violation]:
        before = self.store.counts()
        # The trail after the records: what happens meanwhile is seen there, and looked at again.
        rows = self._counted(told(self._trail(), "rows of the trail"))
        records, locks = told(self._records(), "messages"), told(self._locks(), "locks")
        found = self._verify(rows, records, locks, before)
        # What rows say they say for ever; all else may have been seen in the middle of a change.
        still = set(self._still([v for v in found if not v.seq and v.invariant not in _BESIDES]))
        if any(v.invariant == "locks" for v in found):
            still |= set(self._locks_again())
        self.moving = self.store.counts() != before
        if not self.moving and any(v.invariant == "counters" for v in found):
            still |= set(self._counters_again())
            self.moving = self.store.counts() != before
        found = [v for v in found if v.seq or v in still]
        return [v for v in found if not (self.moving and v.invariant == "counters")]

    def _verify(
        self,
        rows: Iterable[AuditRow],
        records: Iterable[Record],
        locks: Iterable[LockInfo] = (),
        counts: Counts | None = None,
    ) -> list[Violation]:
        def sessions() -> Iterator[SessionInfo]:
            yield from self.store.sessions()  # read when asked for: after the records

        return verify(
            rows,
            records,
            locks,
            counts,
            sessions=sessions(),
            full=self.full,
            horizon_ms=self.horizon_ms,
        )

    def _records(self) -> Iterator[Record]:
        for record in every_of(self.store.find, MessageQuery(limit=_RECORDS, full=True)):
            self.messages += 1
            for child, _, _ in record.edges:
                self.parents.setdefault(child, []).append(record.id)
            yield record

    def _trail(self) -> Iterator[AuditRow]:
        return every_of(self.store.audit, AuditQuery(since_ms=self.horizon_ms or None))

    def _locks(self) -> Iterator[LockInfo]:
        return every(lambda after: self.store.locks(after=after, limit=_LOCKS))

    def _counted(self, rows: Iterable[AuditRow]) -> Iterator[AuditRow]:
        for row in rows:
            self.rows += 1
            yield row

    def _locks_again(self) -> list[Violation]:
        """Locks, and then the messages that they are about."""
        locks = list(self._locks())
        ids = sorted({lock.owner for lock in locks}.union(*(lock.parked for lock in locks)))
        owners = [r for r in self.store.read(ids) if r is not None]
        gone = set(ids) - {r.id for r in owners}
        rows = (row for row in self._trail() if row.id in gone) if gone else ()
        return [v for v in verify(rows, owners, locks, None, full=False) if v.invariant == "locks"]

    def _counters_again(self) -> list[Violation]:
        """Counters, with the number of messages."""
        records = every_of(self.store.find, MessageQuery(limit=_LOCKS))
        found = verify((), records, (), self.store.counts(), full=False)
        return [v for v in found if v.invariant == "counters"]

    def _still(self, found: list[Violation]) -> list[Violation]:
        """Those that are so at a second look, at an instant at which nothing changes.

        However many there are, each look reads the trail once.
        """
        joins = [v for v in found if v.invariant == "joins" and self._waits(v)]
        moving = {v.id for v in found if v.invariant != "joins"}
        sure: set[tuple[str, str]] = set()
        for _ in range(_LOOKS):
            if not moving:
                break
            before = self._read(moving)
            rows = [row for row in self._trail() if row.id in moving]
            after = self._read(moving)
            quiet = {message_id for message_id in moving if before[message_id] == after[message_id]}
            again = self._verify(
                (row for row in rows if row.id in quiet),
                (record for message_id in quiet if (record := after[message_id]) is not None),
            )
            sure |= {(v.id, v.invariant) for v in again}
            moving -= quiet
        return [v for v in found if v in joins or (v.id, v.invariant) in sure]

    def _read(self, ids: Iterable[str]) -> dict[str, Record | None]:
        wanted = sorted(ids)
        return dict(zip(wanted, self.store.read(wanted, full=True), strict=True))

    def _waits(self, violation: Violation) -> bool:
        """Whether what was seen of it and its parents is so at one instant."""
        ids = [*self.parents.get(violation.id, ()), violation.id]
        records = [r for r in self.store.read(ids, full=True) if r is not None]
        return violation in verify((), records, (), None, full=False)


def _coverage(reading: _Reading) -> Iterator[str]:
    """How many of the invariants could be checked; which could not, and why."""
    partly = {} if reading.full else dict.fromkeys(NEED_FULL_TRAIL, _NOT_WHOLE)
    left_out = partly | ({"counters": _AT_WORK} if reading.moving else {})
    yield f"{len(INVARIANTS) - len(left_out)} of {len(INVARIANTS)} invariants checked"
    for reason in dict.fromkeys(left_out.values()):
        names = sorted(name for name, why in left_out.items() if why == reason)
        yield f"not checked: {', '.join(names)}: {reason}"


def _print(reading: _Reading, found: list[Violation], stories: int, quiet: bool) -> None:
    for violation in found:
        say(f"BROKEN {violation}")
    for message_id in list(dict.fromkeys(v.id for v in found if v.id))[:stories]:
        say()
        print_story(reading.store, message_id)
    if quiet:
        return
    if found:
        say()
        for name in dict.fromkeys(v.invariant for v in found):
            say(f"{name} means: {INVARIANTS[name]}")
    since = f" since {instant(reading.horizon_ms)}" if reading.horizon_ms else ""
    some = "1 violation" if len(found) == 1 else f"{len(found)} violations"
    say(
        f"{some} in {reading.messages:,} messages and {reading.rows:,} rows of the trail{since}, "
        f"in {reading.store.location}"
    )


def _as_dict(violation: Violation) -> dict[str, object]:
    return {
        "invariant": violation.invariant,
        "id": violation.id or None,
        "text": violation.text,
        "seq": violation.seq or None,
    }
