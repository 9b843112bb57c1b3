"""The embedded store: the verbs, each one transaction."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from locks.files import FILE_MODE
from reliable_tasks.core import clock as clocks
from reliable_tasks.core.message import Kind
from reliable_tasks.errors import ConfigError, StoreError, suggest
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Clock
from reliable_tasks.store.sqlite import backup, enqueue, exchange, operators, reap, schedules, turns
from reliable_tasks.store.sqlite.connection import MEMORY, Database
from reliable_tasks.store.sqlite.plain import IdTaken, is_usual, store_alone
from reliable_tasks.store.sqlite.sessions import (
    close_session,
    heartbeat,
    open_session,
    report,
    step,
)
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.vacuum import Told, vacuum
from reliable_tasks.store.sqlite.waits import Waits

if TYPE_CHECKING:
    from reliable_tasks.config.conf import StoreUrl

__all__ = ["SqliteStore"]

SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


class SqliteStore(Waits):
    """A store in one SQLite file, which any number of processes on the machine may share.

    Args:
        path: the file, made when it is first used; None or "" keeps everything in memory, for the
            threads of this process, until `close`.
        options: limits and habits of the store.
        clock: replaces the machine's clock, in tests.
        synchronous: SQLite's setting: with FULL a verb that returned survives a loss of power.
        file_mode: the permissions of a file that is made.

    Raises:
        ConfigError: `synchronous` is not one of SQLite's values.
    """

    def __init__(
        self,
        path: str | None,
        options: v.StoreOptions,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        file_mode: int = FILE_MODE,
    ) -> None:
        synchronous = synchronous.upper()
        if synchronous not in SYNCHRONOUS:
            known = ", ".join(SYNCHRONOUS)
            hint = suggest(synchronous, SYNCHRONOUS)
            raise ConfigError(f"synchronous={synchronous!r} is not one of {known}{hint}")
        self.location = str(Path(path).expanduser().absolute()) if path else MEMORY
        self._synchronous = synchronous
        self._file_mode = file_mode
        database = Database(
            self.location,
            namespace=options.namespace,
            busy_timeout_ms=options.busy_timeout_ms,
            synchronous=synchronous,
            file_mode=file_mode,
        )
        super().__init__(database, options, clock or clocks.now_ms)

    @classmethod
    def from_url(cls, url: "StoreUrl", options: v.StoreOptions) -> Self:
        """The store at a `sqlite://` URL."""
        if url.busy_timeout is not None:
            busy_timeout_ms = round(url.busy_timeout * 1000)
            options = msgspec.structs.replace(options, busy_timeout_ms=busy_timeout_ms)
        return cls(url.path, options, synchronous=url.synchronous)

    def _check(self, batch: v.Batch) -> None:
        in_memory = self.location == MEMORY
        reason = enqueue.lacking(batch.durable, self._synchronous, in_memory=in_memory)
        if reason is not None:
            raise StoreError(reason)
        v.check_batch(batch, self.options)

    # Producers ------------------------------------------------------------------------------------

    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        """Store messages, taking their once-locks."""
        self._check(batch)
        if len(batch.messages) == 1:
            return self._write(enqueue.enqueue, batch)
        parts = steps.parts_of(batch, self.options.max_batch)
        done = [self._write(enqueue.enqueue, part) for part in parts]
        return steps.all_of(done)

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[v.Receipt, ...]:
        """Store plain calls of one kind, as `enqueue` does."""
        if len(ids) == 1 and durable is None and is_usual(kind, payloads[0], self.options):
            with contextlib.suppress(IdTaken):
                self._database.write(
                    lambda c: store_alone(c, kind, ids[0], payloads[0], self._clock())
                )
                self._news.tell(work=True, changes=False)
                return ()
        return self.enqueue(v.batch_of(kind, ids, payloads, durable)).receipts

    def revoke(
        self, ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
    ) -> tuple[v.RevokeReply, ...]:
        """End messages that have not started; flag those that run."""
        told = signal if terminate else None
        return self._each(ids, lambda work, i: operators.revoke(work, i, told))

    # Workers --------------------------------------------------------------------------------------

    def open_session(self, info: v.SessionInfo, lease_ms: int) -> None:
        """Open a session for a worker process."""
        self._write(open_session, info, lease_ms)

    def close_session(self, session: str) -> int:
        """Give back, uncounted, what a session still holds and forget it."""
        given = some = self._write(close_session, session)
        while some == steps.STEP_MESSAGES:
            some = self._write(close_session, session)
            given += some
        return given

    def heartbeat(self, sessions: Sequence[str], lease_ms: int) -> v.Heartbeat:
        """Renew the leases of sessions that were not taken back."""
        return self._write(heartbeat, sessions, lease_ms)

    def exchange(
        self, session: str, commits: Sequence[v.Commit], want: v.ClaimRequest | None
    ) -> v.Exchange:
        """Commit outcomes and claim more work."""
        if len(commits) > 1:
            return steps.in_exchanges(
                lambda c, w: self._write(exchange.exchange, session, c, w), commits, want
            )
        return self._write(exchange.exchange, session, commits, want)

    def held(self, session: str) -> tuple[v.Claim, ...]:
        """The claims that a session holds."""
        return self._read(lambda reader: reader.held(session))

    def report(self, message_id: str, fence: int, state: str, meta: bytes) -> v.Verdict:
        """Record the progress of a running body."""
        return self._write(report, message_id, fence, state, meta)

    def step(self, message_id: str, fence: int, name: str, value: bytes | None) -> v.StepReply:
        """Begin a step or record its outcome."""
        return self._write(step, message_id, fence, name, value)

    def take_turn(self, asks: v.SessionInfo, *, patient: bool = False) -> v.Turn:
        """Take what nobody has had for `TURN_MS` of what one has to do for all."""
        turn = self._read(lambda reader: reader.turn(asks, patient=patient))
        return self._write(turns.take, asks, patient=patient) if turn is None else turn

    def reap(
        self, dead: Sequence[str] = (), limit: int = 500, lapsed_by_ms: int | None = None
    ) -> v.Reaped:
        """One bounded round of recovery and housekeeping."""
        reaped = self._write(reap.reap, dead, limit, lapsed_by_ms)
        self._database.shorten_log()
        return reaped

    # Readers --------------------------------------------------------------------------------------

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[v.Record | None, ...]:
        """The records of messages."""
        return self._read(lambda reader: reader.read(ids, full=full))

    def find(self, query: v.MessageQuery) -> v.Page[v.Record]:
        """A page of the records that match."""
        return self._read(lambda reader: reader.find(query))

    def counts(self) -> v.Counts:
        """How many messages stand where."""
        return self._read(lambda reader: reader.counts())

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        """The sessions that are known."""
        return self._read(lambda reader: reader.sessions())

    def audit(self, query: v.AuditQuery) -> v.Page[v.AuditRow]:
        """A page of the audit trail."""
        return self._read(lambda reader: reader.audit(query))

    def audit_cut(self, message_id: str) -> v.AuditCut:
        """What the trail has lost of a message, and of all."""
        return self._glance(lambda reader: reader.audit_cut(message_id))

    def locks(
        self,
        name: str | None = None,
        *,
        users: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> v.Page[v.LockInfo]:
        """The locks that are held, and who is parked behind them; users' locks among them."""
        del users
        return self._read(lambda reader: reader.locks(name, after, limit))

    # Operators ------------------------------------------------------------------------------------

    def replay(self, ids: Sequence[str]) -> tuple[v.Replayed, ...]:
        """Queue dead letters again as if new, and revive the dependants they had ended."""
        return self._each(ids, operators.replay)

    def drop(self, ids: Sequence[str]) -> int:
        """Delete final records; returns how many there were."""
        return sum(self._write(operators.drop, some) for some in self._some([*dict.fromkeys(ids)]))

    def purge(self, queue: str, limit: int | None = None) -> int:
        """Revoke what is queued or scheduled on a queue, at most `limit`."""
        most, purged, start = steps.STEP_MESSAGES, 0, operators.BEGINNING
        while start is not None and (limit is None or purged < limit):
            some = most if limit is None else min(most, limit - purged)
            done, start = self._write(operators.purge, queue, some, start)
            purged += done
        return purged

    def release_lock(self, name: str, owner: str) -> bool:
        """Free a once-lock by hand if `owner` holds it."""
        return self._write(operators.release_lock, name, owner)

    # Groups ---------------------------------------------------------------------------------------

    def save_group(self, group_id: str, value: bytes, ttl_ms: int) -> None:
        """Keep a group's description for that long (0: for ever)."""
        self._write(schedules.save_group, group_id, value, ttl_ms)

    def load_group(self, group_id: str) -> bytes | None:
        """Read it back."""
        return self._read(lambda reader: reader.load_group(group_id))

    def delete_group(self, group_id: str) -> None:
        """Forget it."""
        self._write(lambda work: work.execute(load("groups/delete"), (group_id,)))

    # Beat -----------------------------------------------------------------------------------------

    def entries(self) -> tuple[v.Entry, ...]:
        """All schedule entries by name."""
        return self._read(lambda reader: reader.entries())

    def put_entry(self, entry: v.Entry, expected_version: int | None = None) -> bool:
        """Create or change an entry, if its version is still the expected one (-1: absent)."""
        return self._write(schedules.put_entry, entry, expected_version)

    def remove_entry(self, name: str) -> bool:
        """Delete an entry."""
        return self._write(schedules.remove_entry, name)

    def fire(self, entry: v.Entry, expected_ms: int | None, batch: v.Batch) -> v.Enqueued | None:
        """Advance an entry and enqueue its messages, if its next slot is still the expected one."""
        self._check(batch)
        steps.check_whole(batch.messages, entry.name)
        return self._write(schedules.fire, entry, expected_ms, batch)

    # The store itself -----------------------------------------------------------------------------

    def health(self) -> v.Health:
        """Which promises hold on what this store stands on, and which do not."""
        if self.location == MEMORY:
            gone = "the store is in memory: what it holds ends with this process"
            return v.Health(holds=("atomic commits",), warnings=(gone,))
        found, survives = self._database.warnings(), "a loss of power"
        if self._synchronous in {"OFF", "NORMAL"}:
            survives = "kill -9"
            weak = f"synchronous={self._synchronous}: a loss of power may undo the latest commits"
            found.insert(0, f"{weak}; use FULL to keep what was acknowledged")
        kept = f"what was acknowledged survives {survives} (SQLite WAL, {self._synchronous})"
        return v.Health(holds=("atomic commits", kept), warnings=tuple(found))

    def backup(self, target: str, *, force: bool = False) -> v.Counts:
        """Write a copy of the store to a file, while others work on it.

        Args:
            target: the copy, which is complete as soon as it is there.
            force: replace a file that is there.

        Returns:
            what is in the copy.

        Raises:
            StoreError: it cannot be written, or a file is there.
        """
        return backup.write_copy(
            self.location, target, self.options, mode=self._file_mode, force=force
        )

    def vacuum(self, told: Told) -> tuple[int, int]:
        """Give the file's free pages back to the system, while others work on it.

        Args:
            told: told how many of how many pages are done, after each step.

        Returns:
            how large the file was, and is, in bytes.

        Raises:
            StoreError: an older release made the file, and workers use it.
        """
        return vacuum(self._database, self._clock(), told)

    def now_ms(self) -> int:
        """The store's clock."""
        return self._clock()

    def close(self) -> None:
        """Close the connection; the next verb opens it again (a store in memory starts empty)."""
        self._database.close()
        self._news.close()
