"""The store on Redis: each verb is one Lua script."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from locks.scripts import load_script
from reliable_tasks.errors import MessageTooLarge, StoreError, StoreUnavailable
from reliable_tasks.store import values as v
from reliable_tasks.store.base import Clock

from . import _wire, keys
from ._connect import connect
from ._errors import translated

__all__ = ["RedisStore"]

_PACKAGE = "reliable_tasks.store.redis"


class RedisStore:
    def __init__(
        self,
        url: str,
        options: v.StoreOptions,
        clock: Clock | None = None,
        transport_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.options = options
        self._clock = clock
        self._server = connect(url, transport_options or {})
        self.location = self._server.location
        self._key = keys.prefix(options.namespace)

    # The way to the server

    def _read(self, name: str, *args: Any) -> Any:
        """Run a script that is told neither the time nor the audit mode."""
        return self._run(name, args, again=True)

    def _do(self, name: str, *args: Any, again: bool = True) -> Any:
        """Run a verb's script."""
        now = "" if self._clock is None else self._clock()
        return self._run(name, (now, self.options.audit, *args), again=again)

    def _run(self, name: str, args: Sequence[Any], *, again: bool) -> Any:
        script = load_script(_PACKAGE, f"{name}.lua")
        try:
            with translated(self.location):
                return script(self._server.client, self._key, *args)
        except StoreUnavailable:
            if not again:
                raise
        with translated(self.location):
            return script(self._server.client, self._key, *args)

    # Producers

    def enqueue(self, batch: v.Batch) -> v.Enqueued:
        reply = self._do("enqueue", *self._batch_args(batch))
        return _wire.parse_enqueued(reply, batch.messages)

    def _batch_args(self, batch: v.Batch) -> tuple[Any, ...]:
        self._check_batch(batch)
        return (
            _wire.pack_messages(batch.messages),
            batch.stage or "",
            "1" if batch.seal else "",
            self.options.stage_ttl_ms,
            self.options.max_batch,
        )

    def _check_batch(self, batch: v.Batch) -> None:
        if len(batch.messages) > self.options.max_batch:
            raise StoreError(
                f"a batch of {len(batch.messages)} messages is larger than "
                f"max_batch={self.options.max_batch}; enqueue in parts, or with a stage"
            )
        limit = self.options.max_message_bytes
        for m in batch.messages:
            size = len(m.payload) + len(m.headers)
            if size > limit:
                raise MessageTooLarge(
                    f"message {m.id} of task {m.task} has {size} bytes, more than "
                    f"max_message_bytes={limit}; store the data elsewhere and send a reference"
                )

    def revoke(
        self, ids: Sequence[str], *, terminate: bool = False, signal: str = "SIGTERM"
    ) -> tuple[v.RevokeReply, ...]:
        if not ids:
            return ()
        found = self._do("revoke", signal if terminate else "", *ids)
        return tuple(
            v.RevokeReply(id=i, found=word.decode()) for i, word in zip(ids, found, strict=True)
        )

    # Workers

    def open_session(self, info: v.SessionInfo, lease_ms: int) -> None:
        packed = _wire.pack(info)
        self._do("open_session", info.id, lease_ms, info.worker, packed)

    def close_session(self, session: str) -> int:
        total, more = 0, 1
        while more:
            given, more = self._do("close_session", session, self.options.max_batch)
            total += given
        return total

    def heartbeat(self, sessions: Sequence[str], lease_ms: int) -> v.Heartbeat:
        lost, commands = self._do("heartbeat", lease_ms, *sessions)
        return v.Heartbeat(
            lost=tuple(s.decode() for s in lost),
            commands=tuple(
                v.Command(session=s.decode(), id=i.decode(), fence=fence, signal=signal.decode())
                for s, i, fence, signal in _wire.by(commands, 4)
            ),
        )

    def exchange(
        self, session: str, commits: Sequence[v.Commit], want: v.Want | None
    ) -> v.Exchange:
        reply = self._do(
            "exchange",
            session,
            _wire.pack_commits(commits) if commits else b"",
            "" if want is None else want.limit,
            "",
            *(() if want is None else want.queues),
            again=False,
        )
        return v.Exchange(
            verdicts=tuple(
                v.Verdict.COMMITTED if byte == _APPLIED else v.Verdict.STALE for byte in reply[0]
            ),
            claims=tuple(_wire.parse_claim(claim) for claim in reply[3:]),
            next_due_ms=reply[2] or None,
            lost=bool(reply[1]),
        )

    def held(self, session: str) -> tuple[v.Claim, ...]:
        reply = self._do("held", session, self.options.max_rows)
        return tuple(_wire.parse_claim(claim) for claim in reply)

    def report(self, message_id: str, fence: int, state: str, meta: bytes) -> v.Verdict:
        applied = self._do("report", message_id, fence, state, meta)
        return v.Verdict.COMMITTED if applied else v.Verdict.STALE

    def step(self, message_id: str, fence: int, name: str, value: bytes | None) -> v.StepReply:
        begin = value is None
        detail = msgspec.json.encode({"step": name})
        known, *outcome = self._do(
            "step", message_id, fence, name, "1" if begin else "0", value or b"", detail
        )
        return v.StepReply(known=known.decode(), value=outcome[0] if outcome else None)

    def reap(self, dead: Sequence[str] = (), limit: int = 500) -> v.Reaped:
        reply = self._do("reap", limit, self.options.audit_ttl_ms, *dead)
        requeued, promoted, expired, deleted, unparked, more, due, *buried = reply
        return v.Reaped(
            requeued=requeued,
            buried=tuple(
                v.Buried(id=i.decode(), task=task.decode()) for i, task in _wire.by(buried, 2)
            ),
            promoted=promoted,
            expired=expired,
            deleted=deleted,
            unparked=unparked,
            more=bool(more),
            next_due_ms=due or None,
        )

    # Readers

    def read(self, ids: Sequence[str], *, full: bool = False) -> tuple[v.Record | None, ...]:
        if not ids:
            return ()
        reply = self._read("read", "1" if full else "", *ids)
        return tuple(
            _wire.parse_record(i, fields, full=full) for i, fields in zip(ids, reply, strict=True)
        )

    def counts(self) -> v.Counts:
        return _wire.parse_counts(self._read("counts"))

    def sessions(self) -> tuple[v.SessionInfo, ...]:
        reply = self._read("sessions", self.options.max_rows)
        found = (_wire.parse_info(*row) for row in _wire.by(reply, 4))
        return tuple(sorted(found, key=lambda s: s.id))

    def locks(self, name: str | None = None) -> tuple[v.LockInfo, ...]:
        now = "" if self._clock is None else self._clock()
        names = () if name is None else (name,)
        return _wire.parse_locks(self._read("locks", now, self.options.max_rows, *names))

    # Operators

    def replay(self, ids: Sequence[str]) -> tuple[v.Replayed, ...]:
        if not ids:
            return ()
        reply = self._do("replay", *ids)
        return tuple(
            v.Replayed(id=i, done=done.decode(), holder=holder.decode() or None)
            for i, (done, holder) in zip(ids, _wire.by(reply, 2), strict=True)
        )

    def drop(self, ids: Sequence[str]) -> int:
        dropped: int = self._do("drop", *dict.fromkeys(ids))
        return dropped

    def purge(self, queue: str, limit: int = 1000) -> int:
        purged: int = self._do("purge", queue, limit, self.options.max_rows)
        return purged

    def release_lock(self, name: str, owner: str) -> bool:
        return bool(self._do("release_lock", name, owner))

    # Beat

    def put_entry(self, entry: v.Entry, expected_version: int | None = None) -> bool:
        expected = "" if expected_version is None else expected_version
        return bool(self._read("put_entry", entry.name, expected, *_wire.pack_entry(entry)))

    def remove_entry(self, name: str) -> bool:
        return bool(self._read("remove_entry", name))

    def fire(self, entry: v.Entry, expected_ms: int | None, batch: v.Batch) -> v.Enqueued | None:
        slots = _wire.pack_slots(entry, expected_ms)
        reply = self._do("fire", *self._batch_args(batch), entry.name, *slots)
        return None if reply is None else _wire.parse_enqueued(reply, batch.messages)

    def entries(self) -> tuple[v.Entry, ...]:
        reply = self._read("entries")
        return tuple(sorted((_wire.parse_entry(*row) for row in _wire.by(reply, 3)), key=lambda e: e.name))

    def now_ms(self) -> int:
        if self._clock is not None:
            return self._clock()
        with translated(self.location):
            seconds, micros = self._server.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def close(self) -> None:
        self._server.close()

_APPLIED = ord("1")
