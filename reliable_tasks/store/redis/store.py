"""The store on Redis: each verb is one Lua script."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from reliable_tasks import events
from reliable_tasks.core.clock import monotonic
from reliable_tasks.core.message import Kind
from reliable_tasks.errors import StoreError
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import STAGE_DROPPED
from reliable_tasks.store.redis import opening
from reliable_tasks.store.redis.codec import fast_path, layout, records, schedules
from reliable_tasks.store.redis.errors import translated
from reliable_tasks.store.redis.readers import Readers

__all__ = ["RedisStore"]

STAGE_GONE: Final = [-1]
ALL_CREATED: Final = [0]
HAS_EDGES_LEFT: Final = 2
LOOK_ON: Final = 4


class RedisStore(Readers):
    """Messages, results, once-locks, schedules and audit in one namespace of a server.

    The verbs are those of `reliable_tasks.store.protocol.Store`; see there for their meaning.

    Args:
        url: redis://, rediss:// (TLS), unix://, redis+sentinel://host1,host2/service or
            redis+cluster://; valkey:// and the like are the same.
        options: of the store.
        clock: in place of the server's, for tests.
        transport_options: timeouts, TLS files and the like, as redis-py names them.

    Raises:
        ConfigError: the URL or an option is not valid.
        StoreError: `options.durable` is not to be had of this server.
    """

    # Producers

    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        """Store messages, taking their once-locks; idempotent by id and token."""
        v.check_batch(batch, self.options)
        plain = self._plain(batch)
        if plain or len(batch.messages) == 1:
            return self._store_part(batch, plain)
        parts = steps.parts_of(batch, steps.stored_together(batch.messages))
        done = [self._store_part(part, self._plain(part)) for part in parts]
        return steps.all_of(done)

    def _plain(self, batch: v.Batch) -> bytes | None:
        return None if batch.stage or batch.after else fast_path.pack_plain(batch.messages)

    def _store_part(self, batch: v.Batch, plain: bytes | None) -> v.Enqueued:
        reply = self._store(batch, plain)
        if reply == STAGE_GONE:
            raise StoreError(STAGE_DROPPED)
        return self._enqueued(reply, batch)

    def _store(self, batch: v.Batch, plain: bytes | None) -> Any:
        rows = b"" if plain else records.pack_messages(batch.messages)
        kept = "1" if batch.keep_ended else ""
        args = (rows, *self._stage_args(batch), batch.after or "", plain or b"", kept)
        return self._do("enqueue", *args, durable=batch.durable)

    def enqueue_plain(
        self,
        kind: Kind,
        ids: Sequence[str],
        payloads: Sequence[bytes],
        durable: str | None = None,
    ) -> tuple[v.Receipt, ...]:
        """Store plain calls of one kind in one atomic step, as `enqueue` stores `batch_of` them."""
        largest = self.options.max_message_bytes - len(kind.headers)
        plain = None
        if max(map(len, payloads), default=0) <= min(largest, fast_path.LARGEST):
            if len(ids) == 1 and not kind.priority and self.options.audit != "all":
                executor = self._executor(durable or self.options.durable)
                if self._inboxes.leave(kind, ids[0], payloads[0], executor):
                    return ()
            elif len(ids) <= self.options.max_batch:
                plain = fast_path.pack_of_kind(kind, ids, payloads)
        if plain is None:
            return self.enqueue(v.batch_of(kind, ids, payloads, durable)).receipts
        reply = self._store(v.Batch(durable=durable), plain)
        if reply == ALL_CREATED:
            return ()
        return self._enqueued(reply, v.batch_of(kind, ids, payloads)).receipts

    def _enqueued(self, reply: list[Any], batch: v.Batch) -> v.Enqueued:
        if reply[0] < 0:
            reply[0] = -2 - reply[0]
            self._resume()
        return records.parse_enqueued(reply, batch.messages)

    def _stage_args(self, batch: v.Batch) -> tuple[Any, ...]:
        return (
            batch.stage or "",
            "1" if batch.seal else "",
            self.options.stage_ttl_ms,
            min(self.options.max_batch, steps.STORED_AT_ONCE),
        )

    def revoke(
        self, ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
    ) -> tuple[v.RevokeReply, ...]:
        """End messages that have not started; flag those that run."""
        if not ids:
            return ()
        told = signal if terminate else ""
        found = [word for some in self._some(ids) for word in self._do("revoke", told, *some)]
        self._resume()
        return tuple(
            v.RevokeReply(id=i, found=word.decode()) for i, word in zip(ids, found, strict=True)
        )

    # Workers

    def open_session(self, info: v.SessionInfo, lease_ms: int) -> None:
        """Open a session for a worker process; its lease starts now."""
        about = info.worker, layout.pack(info), *_place(info)
        self._do("open_session", info.id, lease_ms, *about)

    def close_session(self, session: str) -> int:
        """Give back, uncounted, what a session still holds and forget it; returns how many."""
        total, more = 0, 1
        while more:
            given, more = self._do("close_session", session, steps.STEP_MESSAGES)
            total += given
        self._resume()
        return total

    def heartbeat(self, sessions: Sequence[str], lease_ms: int) -> v.Heartbeat:
        """Renew the leases of sessions that were not taken back."""
        lost, commands, now = self._do("heartbeat", lease_ms, *sessions)
        return v.Heartbeat(
            lost=tuple(s.decode() for s in lost),
            commands=tuple(
                v.Command(session=s.decode(), id=i.decode(), fence=fence, signal=signal.decode())
                for s, i, fence, signal in records.by(commands, 4)
            ),
            now_ms=now,
        )

    def exchange(
        self, session: str, commits: Sequence[v.Commit], want: v.ClaimRequest | None
    ) -> v.Exchange:
        """Commit outcomes and claim more work, in one round trip; never repeated by itself."""
        packed = records.pack_commits(commits) if commits else b""
        if len(packed) > 2 * steps.STEP_BYTES and len(commits) > 1:
            return steps.in_exchanges(
                lambda some, ask: self.exchange(session, some, ask), commits, want
            )
        args = self._exchange_args(session, packed, want)
        return self._exchanged(session, self._do("exchange", *args, again=False), want)

    def _exchanged(self, session: str, reply: list[Any], want: v.ClaimRequest | None) -> v.Exchange:
        verdicts, told = reply[0], reply[1]
        while reply[1] & LOOK_ON:
            args = self._exchange_args(session, b"", want)
            reply = self._do("exchange", *args, again=False)
            told |= reply[1]
        reply[0] = verdicts
        unread: records.Unread = []
        exchange = records.parse_exchange(self._with_inputs(reply, 4), unread)
        if reply[3] >= 0:
            self._watches[session] = monotonic() + reply[3] / 1000
        self._set_aside(session, unread)
        if told & HAS_EDGES_LEFT:
            self._resume()
        return exchange

    def _with_inputs(self, reply: Sequence[Any], first: int) -> Sequence[Any]:
        """Fetch inputs that are too large to come along with their claims."""
        if not any(type(inputs) is int for inputs in reply[first + 3 :: 4]):
            return reply
        full = list(reply[:first])
        for message_id, packed, apart, inputs in records.by(reply, 4, first):
            fetched = inputs
            if type(inputs) is int and inputs <= self.options.max_input_bytes:
                fetched = self._command("HGETALL", f"{self._key}in:{message_id.decode()}")
            if fetched != []:  # else the claim was taken away meanwhile, and its message has ended
                full += message_id, packed, apart, fetched
        return full

    def _some(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """Slices of at most as many ids as one script may handle."""
        return steps.in_steps(ids, min(steps.STEP_MESSAGES, self.options.max_batch))

    def _resume(self) -> None:
        """Follow the edges of ended messages in bounded steps; if one fails, `reap` goes on."""
        with contextlib.suppress(StoreError):
            while self._do("resume"):
                pass

    def _set_aside(self, session: str, unread: records.Unread) -> None:
        """Dead-letter records that cannot be decoded, which would be claimed for ever."""
        if unread:
            self._do("set_aside", session, *(part for row in unread for part in row))
            for message_id, _ in unread:
                events.emit(
                    "message.dead_lettered", id=message_id.decode(), task="", reason="unreadable"
                )

    @staticmethod
    def _exchange_args(
        session: str, packed: bytes, want: v.ClaimRequest | None, *, waited: bool = False
    ) -> list[Any]:
        limit, queues = ("", ()) if want is None else (want.limit, want.queues)
        return [session, packed, limit, "1" if waited else "", *queues]

    def wait_then_claim(
        self, session: str, want: v.ClaimRequest, timeout: float, wake_fd: int = -1
    ) -> v.Exchange:
        """Block until work may be there, and claim it.

        The claim is sent along with the wait, and so is made by what ends that: a lone message is
        on its way to a worker before its producer knows that it is stored.
        """
        args = self._exchange_args(session, b"", want, waited=True)
        along: list[tuple[Any, ...]] = []
        # A test's clock stands still in a command that waits; and what is to be durable is waited
        # for after the claim.
        if self._clock is None and self.options.durable in {None, "memory"}:
            along.append(self._command_of("exchange", self._now(), self._audit_mode, *args))
        due_s = max(0.0, self._watches.pop(session, math.inf) - monotonic())
        with translated(self.location):
            reply = self._waiting.for_work(want.queues, timeout, wake_fd, *along, due_s=due_s)
        if reply is None:
            reply = self._do("exchange", *args, again=False)
        return self._exchanged(session, reply, want)

    def held(self, session: str) -> tuple[v.Claim, ...]:
        """The claims that a session holds, for a worker whose reply was lost."""
        unread: records.Unread = []
        claims, after = list[v.Claim](), 0
        while reply := self._do("held", session, after, steps.STEP_MESSAGES):
            after, *found = reply
            claims += records.parse_claims(self._with_inputs(found, 0), unread)
        self._set_aside(session, unread)
        return tuple(claims)

    def report(self, message_id: str, fence: int, state: str, meta: bytes) -> v.Verdict:
        """Record the progress of a running body; at its latest claim only."""
        applied = self._do("report", message_id, fence, state, meta)
        return v.Verdict.COMMITTED if applied else v.Verdict.STALE

    def step(self, message_id: str, fence: int, name: str, value: bytes | None) -> v.StepReply:
        """Begin a step (`value` None) or record its outcome."""
        begin = value is None
        detail = msgspec.json.encode({"step": name})
        known, *outcome = self._do(
            "step", message_id, fence, name, "1" if begin else "0", value or b"", detail
        )
        return v.StepReply(known=known.decode(), value=outcome[0] if outcome else None)

    def take_turn(self, asks: v.SessionInfo, *, patient: bool = False) -> v.Turn:
        """Take what nobody has had for `TURN_MS` of what one has to do for all."""
        which = "patient" if patient else "all"
        if self._clock is None and self._turns.are_taken(which, asks.host):
            return v.Turn()
        args = self._now(), self.options.audit, v.TURN_MS, which, *_place(asks)
        reply = self._run("take_turn", args)  # which needs not be durable
        return records.parse_turn(reply, asks.host)

    def reap(
        self, dead: Sequence[str] = (), limit: int = 500, lapsed_by_ms: int | None = None
    ) -> v.Reaped:
        """One bounded round of recovery and housekeeping."""
        by = "" if lapsed_by_ms is None else lapsed_by_ms
        return steps.in_rounds(lambda some: self._reap(some, by, dead), limit)

    def _reap(self, limit: int, by: int | str, dead: Sequence[str]) -> v.Reaped:
        reply = self._do("reap", limit, self.options.audit_ttl_ms, by, *dead)
        requeued, promoted, expired, deleted, unparked, more, due, *dead_lettered = reply
        return v.Reaped(
            requeued=requeued,
            dead_lettered=tuple(
                v.DeadLettered(id=i.decode(), task=task.decode())
                for i, task in records.by(dead_lettered, 2)
            ),
            promoted=promoted,
            expired=expired,
            deleted=deleted,
            unparked=unparked,
            more=bool(more),
            next_due_ms=due or None,
        )

    # Operators

    def replay(self, ids: Sequence[str]) -> tuple[v.Replayed, ...]:
        """Queue dead letters again as if new, and revive the dependants they had ended."""
        if not ids:
            return ()
        reply = [part for some in self._some(ids) for part in self._do("replay", *some)]
        self._resume()
        return tuple(
            v.Replayed(id=i, done=done.decode(), holder=holder.decode() or None)
            for i, (done, holder) in zip(ids, records.by(reply, 2), strict=True)
        )

    def drop(self, ids: Sequence[str]) -> int:
        """Delete final records; returns how many there were."""
        dropped: int = sum(self._do("drop", *some) for some in self._some([*dict.fromkeys(ids)]))
        self._resume()
        return dropped

    def purge(self, queue: str, limit: int | None = None) -> int:
        """Revoke what is queued or scheduled on a queue, at most `limit`; returns how many."""
        most, purged, more, start = steps.STEP_MESSAGES, 0, 1, ["", ""]
        while more and (limit is None or purged < limit):
            some = most if limit is None else min(most, limit - purged)
            done, more, *start = self._do("purge", queue, some, self._page, *start)
            purged += done
        self._resume()
        return purged

    def release_lock(self, name: str, owner: str) -> bool:
        """Free a once-lock by hand if `owner` holds it."""
        return bool(self._do("release_lock", name, owner))  # it ends nothing

    # Beat

    def put_entry(self, entry: v.Entry, expected_version: int | None = None) -> bool:
        """Create or change an entry, if nobody has changed or fired it (expected -1: absent)."""
        expected = "" if expected_version is None else expected_version
        return bool(self._read("put_entry", entry.name, expected, *schedules.pack_entry(entry)))

    def remove_entry(self, name: str) -> bool:
        """Delete an entry."""
        return bool(self._read("remove_entry", name))

    def fire(self, entry: v.Entry, expected_ms: int | None, batch: v.Batch) -> v.Enqueued | None:
        """Advance an entry and enqueue its messages, if its next slot is still the expected one."""
        slots = schedules.pack_slots(entry, expected_ms)
        v.check_batch(batch, self.options)
        steps.check_whole(batch.messages, entry.name)
        rows = records.pack_messages(batch.messages)
        args = (rows, *self._stage_args(batch), entry.name, *slots)
        # Whether a lost reply said yes is not known: beat reads the entry again.
        reply = self._do("fire", *args, again=False, durable=batch.durable)
        return None if reply is None else self._enqueued(reply, batch)

    # Groups

    def save_group(self, group_id: str, value: bytes, ttl_ms: int) -> None:
        """Keep a group's description for `ttl_ms` (0 = for ever)."""
        lapse = ("PX", ttl_ms) if ttl_ms > 0 else ()
        self._command("SET", f"{self._key}group:{group_id}", value, *lapse)

    def load_group(self, group_id: str) -> bytes | None:
        """Read it back."""
        value: bytes | None = self._command("GET", f"{self._key}group:{group_id}")
        return value

    def delete_group(self, group_id: str) -> None:
        """Forget it."""
        self._command("DEL", f"{self._key}group:{group_id}")

    # The store itself

    def health(self) -> v.Health:
        """Promises that hold on this server as it is configured, and those that do not."""
        with translated(self.location):
            holds = opening.guarantees(self._server, self._key, self.options.durable)
            return v.Health(holds=holds, warnings=opening.warnings(self._server, self._key))

    def acl_rules(self) -> str:
        """The least that a user of this server needs, as `ACL SETUSER <name>` takes it."""
        with translated(self.location):
            version = opening.version_of(self._server, self._key)
        namespace, is_cluster = self.options.namespace, self._server.is_cluster
        return opening.acl_rules(namespace, version, is_cluster=is_cluster)

    def now_ms(self) -> int:
        """The store's clock."""
        if self._clock is not None:
            return self._clock()
        seconds, micros = self._command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def close(self) -> None:
        """Give back connections; the next verb opens them again."""
        self._server.close()


def _place(info: v.SessionInfo) -> tuple[str, str]:
    """Where a session's process is, as take_turn.lua compares it."""
    return info.host, f"{info.pid} {info.pid_started}"
