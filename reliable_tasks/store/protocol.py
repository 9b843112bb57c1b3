"""The store's protocol: its verbs, each over frozen values, by the role of the caller.

Every verb is one atomic step: all of it happens or nothing does, and it may be repeated after a
lost reply. Stores are synchronous and safe to share between threads; asyncio callers hop to a
thread. `property_tests/model/` is the executable meaning of this protocol, and every store is
held against it.

What is large is done in bounded steps, so that nobody else has to wait for long. Each step is
atomic, and leaves a store in which everything is true:

- What an ending does to many others (a chord's header, the dependants of a failure). The first step
  decides: it ends the message, and keeps what is still to be done with those that wait for it. The
  verb goes on until all of it is done; should its process die, `reap` does. Each successor is
  started, or ended, once all the same.
- `revoke`, `replay`, `drop`, `purge` and `close_session` are atomic for each message, and take
  `STEP_MESSAGES` of them in a step. Should the process die, the first ones are done and the others
  as they were: calling again completes it. A session is forgotten in the last step.
- A round of `reap` may be several steps, on Redis, where there is more than one has room for.

Lists are read page by page (`every` and `every_of` of `store.values` read all of one). A page has
at most `max_rows` rows, and `after`: where the next one begins, which is a place in the list and no
number of rows, so that it goes on there whatever came, went or moved meanwhile. What is there from
the first page to the last, and stays where it stands, is listed exactly once. A message that moves
on meanwhile (is claimed, ends) is listed once or twice; one that goes back (is retried, given back
or replayed) may be missed. One page is of an instant at most, and the next one of another.

All verbs raise `StoreUnavailable` (try again), `StoreFull`, `StoreReadOnly` or another
`StoreError`, and nothing of a driver's own.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from reliable_tasks.core.message import Kind
from reliable_tasks.store.values import (
    AuditCut,
    AuditQuery,
    AuditRow,
    Batch,
    Claim,
    ClaimRequest,
    Commit,
    Counts,
    Enqueued,
    Entry,
    Exchange,
    Health,
    Heartbeat,
    LockInfo,
    MessageQuery,
    Page,
    Reaped,
    Receipt,
    Record,
    Replayed,
    RevokeReply,
    SessionInfo,
    StepReply,
    StoreOptions,
    Turn,
    Verdict,
)

__all__ = [
    "STAGE_DROPPED",
    "Clock",
    "OperatorStore",
    "ProducerStore",
    "ReadStore",
    "ScheduleStore",
    "Store",
    "StoreBase",
    "WorkerStore",
]

STAGE_DROPPED = (
    "the first parts of this workflow were dropped, since its producer had been silent for longer "
    "than stage_expires; nothing of it has started: enqueue it again"
)

Clock = Callable[[], int]
"""Gives milliseconds; replaces the store's own clock in tests."""


class StoreBase(Protocol):
    """What every role knows of the store."""

    options: StoreOptions
    location: str
    """Where it is, without secrets: an absolute path or a masked URL."""

    def now_ms(self) -> int:
        """The store's clock."""
        ...


class ProducerStore(StoreBase, Protocol):
    """For producers: enqueue messages, and save groups of results under a name."""

    def enqueue(self, batch: Batch) -> Enqueued:
        """Store messages, taking their once-locks; idempotent by id and token.

        Raises:
            MessageTooLarge: one is larger than `max_message_bytes`; none is stored.
            StoreError: the batch is larger than `max_batch`.
        """
        ...

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[Receipt, ...]:
        """Store plain calls of one kind in one atomic step, as `enqueue` stores `batch_of` them.

        Their ids were made for them, and nobody has tried to store them before: a lone one need not
        be looked for. What may be known, as after an error, is for `enqueue`.

        Returns their receipts; none at all if each was created, which is what to expect.
        """
        ...

    def save_group(self, group_id: str, value: bytes, ttl_ms: int) -> None:
        """Keep a group's description."""
        ...

    def load_group(self, group_id: str) -> bytes | None:
        """Read it back."""
        ...

    def delete_group(self, group_id: str) -> None:
        """Forget it."""
        ...


class WorkerStore(StoreBase, Protocol):
    """For workers: open sessions, claim, commit, recover."""

    def open_session(self, info: SessionInfo, lease_ms: int) -> None:
        """Open a session for a worker process; its lease starts now.

        The turn to look after its host is anybody's then (see `take_turn`).
        """
        ...

    def close_session(self, session: str) -> int:
        """Give back, uncounted, what a session still holds and forget it; returns how many."""
        ...

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The sessions that are known, lapsed ones not yet reaped included."""
        ...

    def heartbeat(self, sessions: Sequence[str], lease_ms: int) -> Heartbeat:
        """Renew the leases of sessions, also of lapsed ones that nobody has taken back yet."""
        ...

    def exchange(
        self, session: str, commits: Sequence[Commit], want: ClaimRequest | None
    ) -> Exchange:
        """Commit outcomes and claim more work, in one round trip.

        Commits are judged by their fences alone, each on its own, in order, before claiming.
        A lapsed or unknown session gets no claims.
        """
        ...

    def wait_then_claim(
        self, session: str, want: ClaimRequest, timeout: float, wake_fd: int = -1
    ) -> Exchange:
        """Block until work may be there, and then `exchange` without commits.

        Waits for at most `timeout` seconds, and no longer when `wake_fd` is readable; it claims
        what there is however the waiting ended. Never repeated by itself, as `exchange` is not.
        """
        ...

    def held(self, session: str) -> tuple[Claim, ...]:
        """The claims that a session holds, for a worker whose reply was lost."""
        ...

    def report(self, message_id: str, fence: int, state: str, meta: bytes) -> Verdict:
        """Record the progress of a running body; at its latest claim only."""
        ...

    def step(self, message_id: str, fence: int, name: str, value: bytes | None) -> StepReply:
        """Begin a step (`value` None) or record its outcome.

        Steps live as long as the message can run again: a dead letter keeps them for its replay.
        They go when it has ended otherwise, or when its arguments are replaced by another call's.
        """
        ...

    def take_turn(self, asks: SessionInfo, *, patient: bool = False) -> Turn:
        """Take what nobody has had for `TURN_MS` of what one has to do for all, once in so long.

        One process reaps for the whole store, and one on each host sees whether its neighbours
        live. Nobody holds a turn: who takes one and dies, or is stopped, keeps others from it for
        no longer than that. Who has the store to itself may have every turn.

        Args:
            asks: whose host, pid and start are those of the asking process.
            patient: it does not take lapsed sessions for lost now (see `reap`), and must not take
                the turn of one who does.
        """
        ...

    def reap(
        self, dead: Sequence[str] = (), limit: int = 500, lapsed_by_ms: int | None = None
    ) -> Reaped:
        """One bounded round of recovery and housekeeping, safe from any number of processes.

        Lapsed are the sessions whose lease had ended by `lapsed_by_ms`, if that is given: a call
        that had to wait does not blame those who had to wait as well.

        Takes back what `dead` and lapsed sessions held (counted as deliveries), promotes what is
        due, revokes what has expired, frees once-locks whose cap has passed, goes on with sealed
        stages and drops abandoned ones, deletes records past their time and audit rows beyond the
        bounds of the trail.
        """
        ...


class ReadStore(StoreBase, Protocol):
    """For readers: verbs that change nothing."""

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[Record | None, ...]:
        """The records of messages; payload, headers and edges only with `full`."""
        ...

    def wait(
        self, seen: dict[str, int], timeout: float, *, ended: bool = False, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages has another version than the one seen.

        With `ended` until one of them is in a final state, whatever was seen of them.

        Returns at once when `wake_fd` is readable.

        Returns True when something may have changed, False after `timeout` seconds (at most one
        is waited at a time). A hint: read again in both cases. Unknown messages have version -1.
        """
        ...

    def read_ended(self, message_id: str, timeout: float) -> Record | None:
        """Block until a message has ended, for at most `timeout` seconds (one at a time).

        Returns its record; None where that time passed, or it may have ended without our knowing.
        """
        ...

    def find(self, query: MessageQuery) -> Page[Record]:
        """A page of the records that match.

        Raises:
            StoreError: `after` is not from a page of such a list.
        """
        ...

    def counts(self) -> Counts:
        """How many messages stand where."""
        ...

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The sessions that are known, lapsed ones not yet reaped included."""
        ...

    def audit(self, query: AuditQuery) -> Page[AuditRow]:
        """A page of the audit trail.

        It is bounded by age, by rows and by bytes, see `StoreOptions`; the oldest rows go first. A
        verb that adds rows drops what is too many, at the latest when a bound is exceeded by a
        64th, and at most twice as many as it adds or 100; `reap` drops up to the bounds, and what
        is too old.

        Raises:
            StoreError: `after` is not from a page of the trail.
        """
        ...

    def audit_cut(self, message_id: str) -> AuditCut:
        """What the trail has lost of a message, and of all."""
        ...

    def locks(
        self,
        name: str | None = None,
        *,
        users: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> Page[LockInfo]:
        """The once-locks that are held, and who is parked behind them.

        Without `limit` all of them, by name; with it a page, in the store's order. A lock that one
        owner holds throughout is listed.

        With `users` those of the package `locks` in this namespace as well, which a file lists in
        any case: for operators, since a big Redis is gone through a page at a time. They come
        last, and may come twice.

        Raises:
            StoreError: `after` is not from a page of locks.
        """
        ...


class OperatorStore(ReadStore, Protocol):
    """For operators: look at messages and locks, then revoke, replay, drop, purge or free."""

    def revoke(
        self, ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
    ) -> tuple[RevokeReply, ...]:
        """End messages that have not started; flag those that run.

        A flagged one may still succeed, but is not retried, released or delivered again; with
        `terminate` its supervisor is told to stop it.
        """
        ...

    def replay(self, ids: Sequence[str]) -> tuple[Replayed, ...]:
        """Queue dead letters again as if new, and revive the dependants they had ended."""
        ...

    def drop(self, ids: Sequence[str]) -> int:
        """Delete final records (dead letters, results); returns how many there were."""
        ...

    def purge(self, queue: str, limit: int | None = None) -> int:
        """Revoke what is queued or scheduled on a queue, at most `limit`; returns how many.

        In bounded steps; what comes meanwhile may be among them.
        """
        ...

    def release_lock(self, name: str, owner: str) -> bool:
        """Free a once-lock by hand if `owner` holds it; audited. Whoever is parked goes on."""
        ...


class ScheduleStore(StoreBase, Protocol):
    """For beat: keep schedule entries and fire them."""

    def entries(self) -> tuple[Entry, ...]:
        """All schedule entries by name."""
        ...

    def put_entry(self, entry: Entry, expected_version: int | None = None) -> bool:
        """Create or change an entry, if its version is still the expected one (-1: absent).

        Nor may it have fired since it was read, or its slots would be set back: `runs` and `missed`
        have to be those that are stored. None skips both checks. The stored version is one more
        than the one before.
        """
        ...

    def remove_entry(self, name: str) -> bool:
        """Delete an entry."""
        ...

    def fire(self, entry: Entry, expected_ms: int | None, batch: Batch) -> Enqueued | None:
        """Advance an entry and enqueue its messages, if its next slot is still the expected one.

        Takes `next_ms`, `last_ms`, `last_id`, `runs` and `missed` of `entry`. None when another
        beat was first, or the entry has changed (another version), or is gone or paused.
        """
        ...

    def wait_for_entries(self, timeout: float, wake_fd: int = -1) -> bool:
        """Block until an entry may have been changed by someone, for at most `timeout` seconds."""
        ...


@runtime_checkable
class Store(ProducerStore, WorkerStore, OperatorStore, ScheduleStore, Protocol):
    """Where messages, results, once-locks, schedules and audit live together: all roles."""

    def health(self) -> Health:
        """Which promises hold on what this store stands on, and which do not."""
        ...

    def close(self) -> None:
        """Give back connections; the next verb opens them again."""
        ...
