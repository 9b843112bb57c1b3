"""Short calls to a store, for tests that read as a story."""

from typing import Any

from reliable_tasks.core.message import Edge, Kind, Message, OnceLock, State
from reliable_tasks.core.outcome import Outcome, Succeeded
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Store
from tests.fakes import FakeClock

LEASE_MS = 20_000
SESSION = "session-1"
WORKER = "worker-1@here"


def message(message_id: str, **fields: Any) -> Message:
    """A message with the few fields a test is about."""
    return Message(id=message_id, task=fields.pop("task", "add"), **fields)


def kind(**fields: Any) -> Kind:
    """What plain calls have in common, as `message` makes them."""
    first = message("", **fields)
    return Kind(**{name: getattr(first, name) for name in Kind.__struct_fields__})


def once(key: str = "key", **fields: Any) -> OnceLock:
    """A once-lock."""
    return OnceLock(key, **fields)


def edge(child: str, on: Any = "success", slot: int = -1) -> Edge:
    """An edge."""
    return Edge(child, on, slot)


class Driver:
    """A store, its virtual clock, and one worker's session."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.open(SESSION)

    def open(self, session: str, lease_ms: int = LEASE_MS) -> None:
        info = v.SessionInfo(id=session, worker=WORKER, queues=("celery",))
        self.store.open_session(info, lease_ms)

    def put(self, *messages: Message) -> tuple[v.Receipt, ...]:
        return self.store.enqueue(v.Batch(messages=messages)).receipts

    def put_one(self, message_id: str, **fields: Any) -> v.Receipt:
        return self.put(message(message_id, **fields))[0]

    def claim(
        self, limit: int = 1, queues: tuple[str, ...] = ("celery",), session: str = SESSION
    ) -> tuple[v.Claim, ...]:
        return self.store.exchange(session, (), v.ClaimRequest(queues=queues, limit=limit)).claims

    def claim_one(self, session: str = SESSION) -> v.Claim:
        (claim,) = self.claim(session=session)
        return claim

    def commit(
        self, claim: v.Claim, outcome: Outcome | None = None, session: str = SESSION
    ) -> v.Verdict:
        done = v.Commit(id=claim.id, fence=claim.fence, outcome=outcome or Succeeded())
        (verdict,) = self.store.exchange(session, (done,), None).verdicts
        return verdict

    def run(self, outcome: Outcome | None = None) -> v.Claim:
        """Claim the next message and commit its outcome."""
        claim = self.claim_one()
        assert self.commit(claim, outcome) == v.Verdict.COMMITTED
        return claim

    def lapse(self) -> v.Reaped:
        """Let all leases pass, reap, and open the worker's session anew."""
        self.clock.advance(LEASE_MS)
        reaped = self.store.reap()
        self.open(SESSION)
        return reaped

    def record(self, message_id: str, *, full: bool = False) -> v.Record:
        (record,) = self.store.read([message_id], full=full)
        assert record is not None, f"no record of {message_id}"
        return record

    def state(self, message_id: str) -> State:
        return self.record(message_id).state

    def events(self, message_id: str | None = None) -> list[str]:
        """What the trail tells of a message, oldest first."""
        return [row.event for row in self.store.audit(v.AuditQuery(id=message_id))]

    def holder(self, key: str = "key") -> str | None:
        """Who holds a once-lock."""
        found = self.store.locks(key)
        return found[0].owner if found else None
