"""What a store is filled with, and each verb and command at that size: see longest_steps.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from reliable_tasks import App, OnceTask, chord, group
from reliable_tasks.cli import cli
from reliable_tasks.cli._context import Chosen
from reliable_tasks.core.message import Edge, Message, On, OnceLock
from reliable_tasks.core.outcome import Failed, Released, Replaced, Retry, Succeeded
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks.core.outcome import Outcome

__all__ = ["ROWS", "Filled", "Row"]

LEASE_MS = 3_600_000
QUEUE = "celery"
MANY_COMMITS = 256  # what a worker commits, or claims, at once
VALUE = 900 * 1024
LARGE_RESULT = b"\xc4" + bytes(1024 * 1024)


class Filled:
    """A store, and what its rows ask of it.

    Args:
        app: on an empty store.
        size: how many messages there are to be of whatever there are many of.
        clock: the store's, which this sets forward.
    """

    def __init__(self, app: App, size: int, clock: Clock) -> None:
        self.app, self.store, self.size, self.clock = app, app.store, size, clock
        self.plain: Any = app.task(name="plain")(_body)
        self.once: Any = app.task(name="once", base=OnceTask)(_body)
        self.ids = [f"m{number:06}" for number in range(size)]
        self.store.open_session(v.SessionInfo(id="s", worker="w@here"), LEASE_MS)

    def put(self, ids: Sequence[str] | None = None, **fields: Any) -> None:
        """Store messages with these fields."""
        names = self.ids if ids is None else ids
        for first in range(0, len(names), 200):
            some = (Message(id=i, task="plain", **fields) for i in names[first : first + 200])
            self.store.enqueue(v.Batch(messages=tuple(some)))

    def put_once(self) -> None:
        """Store messages, each with a once-key of its own."""
        for first in range(0, self.size, 200):
            some = self.ids[first : first + 200]
            messages = tuple(Message(id=i, task="once", once=OnceLock(i)) for i in some)
            self.store.enqueue(v.Batch(messages=messages))

    def put_parent(self, on: On = On.SUCCESS, slot: int = -1) -> None:
        """Store a message that all others wait for."""
        self.put(waits=1)
        edges = tuple(Edge(i, on, slot) for i in self.ids)
        self.store.enqueue(v.Batch(messages=(Message(id="parent", task="plain", edges=edges),)))

    def claim(self, limit: int = MANY_COMMITS, session: str = "s") -> tuple[v.Claim, ...]:
        """Claim some."""
        want = v.ClaimRequest(queues=(QUEUE,), limit=limit)
        return self.store.exchange(session, (), want).claims

    def claim_all(self, session: str = "s") -> list[v.Claim]:
        """Claim all."""
        found = list[v.Claim]()
        while claims := self.claim(session=session):
            found += claims
        return found

    def commit(self, claims: Sequence[v.Claim], outcome: Outcome) -> None:
        """Commit the same outcome for all of them."""
        for first in range(0, len(claims), MANY_COMMITS):
            some = claims[first : first + MANY_COMMITS]
            commits = [v.Commit(id=c.id, fence=c.fence, outcome=outcome) for c in some]
            self.store.exchange("s", commits, None)

    def end_all(self, outcome: Outcome) -> None:
        """Run all that is queued."""
        self.commit(self.claim_all(), outcome)

    def reap(self, *dead: str) -> None:
        """Reap until nothing is left to do."""
        while self.store.reap(dead).more:
            pass

    def later(self) -> None:
        """Let everything come due, lapse and expire."""
        self.clock.ahead_ms += 2 * LEASE_MS
        self.store.open_session(v.SessionInfo(id="s", worker="w@here"), LEASE_MS)

    def cli(self, *words: str) -> None:
        """Run a command.

        Raises:
            AssertionError: it failed.
        """
        done = CliRunner().invoke(cli, words, obj=Chosen(given=self.app))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception


class Clock:
    """The store's clock, which can be set forward."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.ahead_ms = 0

    def __call__(self) -> int:
        """Milliseconds."""
        return self._now_ms() + self.ahead_ms


@dataclass(frozen=True, slots=True)
class Row:
    """What is measured.

    Attributes:
        name: in the table.
        prepare: fills the store.
        act: is measured.
    """

    name: str
    prepare: Callable[[Filled], object]
    act: Callable[[Filled], object]


def _body(number: int = 0, value: str = "") -> object:
    return number, value


def _nothing(_: Filled) -> None:
    pass


def _producing() -> Iterator[Row]:
    yield Row(
        "enqueue_many, plain",
        _nothing,
        lambda f: f.plain.enqueue_many([(n,) for n in range(f.size)]),
    )
    yield Row(
        "enqueue_many, once-task",
        _nothing,
        lambda f: f.once.enqueue_many([(n,) for n in range(f.size)]),
    )
    yield Row(
        "enqueue_many, countdown",
        _nothing,
        lambda f: f.plain.enqueue_many([(n,) for n in range(f.size)], countdown=60),
    )
    yield Row(
        "enqueue_many, 900 KiB each",
        _nothing,
        lambda f: f.plain.enqueue_many((n, "x" * VALUE) for n in range(f.size // 100)),
    )
    yield Row(
        "group of as many",
        _nothing,
        lambda f: group(f.plain.s(n) for n in range(f.size)).apply_async(),
    )
    yield Row(
        "group of once-tasks",
        _nothing,
        lambda f: group(f.once.s(n) for n in range(f.size)).apply_async(),
    )
    yield Row(
        "chord of as many",
        _nothing,
        lambda f: chord((f.plain.s(n) for n in range(f.size)), f.plain.si()).apply_async(),
    )
    yield Row(
        "group, 900 KiB each",
        _nothing,
        lambda f: group(
            f.plain.s(n, str(n % 10) * VALUE) for n in range(f.size // 100)
        ).apply_async(),
    )


def _operating() -> Iterator[Row]:
    yield Row("revoke", Filled.put, lambda f: f.store.revoke(f.ids))
    yield Row("revoke, once-keys", Filled.put_once, lambda f: f.store.revoke(f.ids))
    yield Row(
        "revoke, parked behind one key",
        lambda f: f.put(once=OnceLock("k", on_conflict="reschedule")),
        lambda f: f.store.revoke(f.ids),
    )
    yield Row("purge", Filled.put, lambda f: f.store.purge(QUEUE, f.size))
    yield Row("purge (command)", Filled.put, lambda f: f.cli("purge", "-f"))
    yield Row(
        "purge of scheduled (command)",
        lambda f: f.put(delay_ms=LEASE_MS),
        lambda f: f.cli("purge", "-f"),
    )
    yield Row("drop", _all_dead, lambda f: f.store.drop(f.ids))
    yield Row("drop, with once-keys", _all_dead_once, lambda f: f.store.drop(f.ids))
    yield Row("replay", _all_dead, lambda f: f.store.replay(f.ids))
    yield Row("replay of what had ended as many", _fallen, lambda f: f.store.replay(["parent"]))
    for words in ("dead list", "dead replay --all", "dead drop --all -f"):
        yield Row(f"{words} (command)", _all_dead, _running(words))
    for words in (
        "status",
        "locks list",
        "audit",
        "verify",
        "audit m000001",
        "locks explain m000001",
    ):
        yield Row(f"{words} (command)", Filled.put_once, _running(words))


def _running(words: str) -> Callable[[Filled], None]:
    return lambda f: f.cli(*words.split())


def _all_dead(filled: Filled) -> None:
    filled.put()
    filled.end_all(Failed(failure=b"f"))


def _all_dead_once(filled: Filled) -> None:
    filled.put_once()
    filled.end_all(Failed(failure=b"f"))


def _fallen(filled: Filled) -> None:
    filled.put_parent()
    filled.end_all(Failed(failure=b"f"))


def _reading() -> Iterator[Row]:
    yield Row("read", Filled.put, lambda f: f.store.read(f.ids))
    yield Row("read, full", Filled.put, lambda f: f.store.read(f.ids, full=True))
    yield Row(
        "find", Filled.put, lambda f: f.store.find(v.MessageQuery(task="other", limit=f.size))
    )
    yield Row("counts", Filled.put, lambda f: f.store.counts())
    yield Row("locks", Filled.put_once, lambda f: f.store.locks())
    yield Row("audit", _all_dead, lambda f: f.store.audit(v.AuditQuery(limit=f.size)))
    yield Row("held", _all_claimed, lambda f: f.store.held("s"))


def _all_claimed(filled: Filled) -> None:
    filled.put()
    filled.claim_all()


def _working() -> Iterator[Row]:
    yield Row("claim", Filled.put, lambda f: f.claim_all())
    yield Row("claim, once-keys", Filled.put_once, lambda f: f.claim_all())
    yield Row("claim of what has expired", _then_later(_expiring), Filled.claim)
    yield Row("claim, 900 KiB each", _large_payloads, lambda f: f.claim())
    yield Row("claim, inputs of 1 MiB each", _large_inputs, lambda f: f.claim())
    outcomes: dict[str, Outcome] = {
        "success": Succeeded(result=b"1"),
        "failure": Failed(failure=b"f"),
        "retry": Retry(delay_ms=1000),
        "release": Released(),
        "success with 1 MiB": Succeeded(result=LARGE_RESULT),
    }
    for name, outcome in outcomes.items():
        yield Row(f"commits of {name}", Filled.put, _ending(outcome))
    yield Row("commit of a replacement by 1,000", Filled.put, _replace)
    yield Row("commit that as many wait for", Filled.put_parent, _ending(Succeeded(), 1))
    yield Row(
        "the same, with a result of 1 MiB", _wanting, _ending(Succeeded(result=LARGE_RESULT), 1)
    )
    yield Row("failure that as many wait for", Filled.put_parent, _ending(Failed(failure=b"f"), 1))
    yield Row("closing a session", _all_claimed, lambda f: f.store.close_session("s"))
    yield Row("heartbeat with stops", _stopping, lambda f: f.store.heartbeat(["s"], LEASE_MS))


def _ending(outcome: Outcome, most: int = MANY_COMMITS) -> Callable[[Filled], None]:
    return lambda f: f.commit(f.claim(most), outcome)


def _replace(filled: Filled) -> None:
    (claim,) = filled.claim(1)
    members = tuple(
        Message(id=f"r{n}", task="plain", edges=(Edge("end", On.SUCCESS, n),)) for n in range(999)
    )
    end = Message(id="end", task="plain", waits=999, edges=(Edge(claim.id, On.MIRROR, -1),))
    filled.commit([claim], Replaced(messages=(end, *members)))


def _expiring(filled: Filled) -> None:
    filled.put(expires_in_ms=1000)


def _large_payloads(filled: Filled) -> None:
    filled.put(filled.ids[: filled.size // 100], payload=bytes(VALUE))


def _large_inputs(filled: Filled) -> None:
    children = filled.ids[: filled.size // 100]
    filled.put(children, waits=1)
    edges = tuple(Edge(i, On.SUCCESS, 0) for i in children)
    filled.store.enqueue(v.Batch(messages=(Message(id="parent", task="plain", edges=edges),)))
    filled.commit(filled.claim(1), Succeeded(result=bytes(1_000_000)))


def _wanting(filled: Filled) -> None:
    """A parent whose result many are given."""
    children = filled.ids[: filled.size // 50]
    filled.put(children, waits=1)
    edges = tuple(Edge(i, On.SUCCESS, 0) for i in children)
    filled.store.enqueue(v.Batch(messages=(Message(id="parent", task="plain", edges=edges),)))


def _joining(filled: Filled) -> None:
    """A chord's body with inputs of 1 MiB each."""
    parents = filled.ids[: filled.size // 16]
    end = Message(id="end", task="plain", waits=len(parents))
    filled.store.enqueue(v.Batch(messages=(end,)))
    for at in range(0, len(parents), 200):
        filled.store.enqueue(
            v.Batch(
                messages=tuple(
                    Message(id=i, task="plain", edges=(Edge("end", On.SUCCESS, n),))
                    for n, i in enumerate(parents[at : at + 200], at)
                )
            )
        )
    for _ in parents:
        filled.commit(filled.claim(1), Succeeded(result=LARGE_RESULT, keep=False))


def _stopping(filled: Filled) -> None:
    _all_claimed(filled)
    filled.store.revoke(filled.ids, terminate=True)


def _keeping_house() -> Iterator[Row]:
    yield Row("reap: a dead session's claims", _all_claimed, lambda f: f.reap("s"))
    for name, prepare in {
        "as many are due": lambda f: f.put(delay_ms=1000),
        "as many have expired": _expiring,
        "as many results past their time": _ended,
        "as many locks past their cap": _capped,
        "an abandoned stage": _staged,
        "results of 1 MiB past their time": _large,
    }.items():
        yield Row(f"reap: {name}", _then_later(prepare), Filled.reap)
    yield Row(
        "a chord's body with 600 MiB of inputs: claim, and its end",
        _joining,
        lambda f: f.commit(f.claim(1), Succeeded()),
    )


def _then_later(prepare: Callable[[Filled], object]) -> Callable[[Filled], None]:
    def prepared(filled: Filled) -> None:
        prepare(filled)
        filled.later()

    return prepared


def _ended(filled: Filled) -> None:
    filled.put(result_ttl_ms=1000)
    filled.end_all(Succeeded(result=b"1"))


def _large(filled: Filled) -> None:
    filled.put(filled.ids[: filled.size // 50], result_ttl_ms=1000)
    while claims := filled.claim(4):
        filled.commit(claims, Succeeded(result=LARGE_RESULT))


def _capped(filled: Filled) -> None:
    for first in range(0, filled.size, 200):
        some = filled.ids[first : first + 200]
        messages = tuple(
            Message(id=i, task="once", once=OnceLock(i, timeout_ms=1000)) for i in some
        )
        filled.store.enqueue(v.Batch(messages=messages))


def _staged(filled: Filled) -> None:
    for first in range(0, filled.size, 200):
        messages = tuple(Message(id=i, task="plain") for i in filled.ids[first : first + 200])
        filled.store.enqueue(v.Batch(messages=messages, stage="stage"))


ROWS = (*_producing(), *_operating(), *_reading(), *_working(), *_keeping_house())
