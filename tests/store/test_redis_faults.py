"""The Redis store over a network that loses replies and cuts connections.

Two stores live through the same story on one virtual clock, one of them behind the faults. All that
can be read of them afterwards must be the same: what was said twice has happened once.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from reliable_tasks import errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Edge, On
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore, keys
from tests.fakes import START_MS, FakeClock
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.redis_server import RedisServer, default_server
from tests.store.driver import Driver, message, once
from tests.store.redis_factories import server_of

TRANSPORT = {"socket_timeout": 2.0}
WANT = v.ClaimRequest(queues=("celery",), limit=2)
_numbers = itertools.count(1)


@pytest.fixture
def server() -> RedisServer:
    return server_of(default_server())


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port, verb_of) as opened:
        yield opened


@pytest.fixture
def open_world(server: RedisServer) -> Iterator[Callable[[str], "World"]]:
    """Open a namespace of its own by a URL, with the same things in it each time."""
    with contextlib.ExitStack() as stack:

        def opened(url: str) -> World:
            namespace = f"faults{next(_numbers)}"
            clock = FakeClock()
            options = v.StoreOptions(namespace=namespace, audit="all", max_message_bytes=1 << 27)
            store = RedisStore(url, options, clock, TRANSPORT)
            stack.callback(_remove, server, namespace)
            stack.callback(store.close)
            return World(store, clock)

        yield opened


def _remove(server: RedisServer, namespace: str) -> None:
    with redis.Redis.from_url(server.unix_url) as client:
        for key in client.scan_iter(f"{keys.prefix(namespace)}*", count=1000):
            client.delete(key)


class World(Driver):
    """A store with a message in each state, a held once-lock, a schedule and two sessions."""

    def __init__(self, store: RedisStore, clock: FakeClock) -> None:
        super().__init__(store, clock)
        self.redis = store
        self.open("idle session")
        self.put_one("dead")
        self.run(oc.Failed(failure=b"why"))
        self.put_one("done")
        self.run(oc.Succeeded(result=b"result"))
        self.put(message("running"), message("doomed", max_deliveries=1))
        self.running, self.doomed = self.claim(2)
        store.step("running", self.running.fence, "begun step", None)
        self.put_one("later", delay_ms=10_000)
        self.put_one("holder", once=once())
        self.put_one("parked", once=once(on_conflict="reschedule"))
        self.put_one("queued")
        self.put_one("elsewhere", queue="other")
        store.put_entry(v.Entry(name="tick", spec=b"s", next_ms=START_MS))
        store.save_group("saved", b"group", 60_000)

    def snapshot(self) -> dict[str, Any]:
        """All that can be read, but for numbers that need only grow."""
        store = self.redis
        found = {r.id: r for r in store.find(v.MessageQuery(limit=1000))}
        records = store.read(sorted(found), full=True)
        return {
            "records": [r and msgspec.structs.replace(r, version=0) for r in records],
            "counts": store.counts(),
            "sessions": store.sessions(),
            "locks": store.locks(),
            "entries": store.entries(),
            "audit": self._trail(),
            "held": store.held("session-1"),
            "groups": [store.load_group(name) for name in ("saved", "new")],
        }

    def _trail(self) -> list[v.AuditRow]:
        """Without the rows of calls that stored nothing: said twice, they are noted twice."""
        rows = self.redis.audit(v.AuditQuery())
        return [msgspec.structs.replace(r, seq="") for r in rows if r.event not in NOTED_EACH_TIME]


Act = Callable[[World], Any]
NOTED_EACH_TIME = {"duplicate", "replaced"}
TICKED = v.Entry(name="tick", version=1, next_ms=START_MS + 60_000, last_ms=START_MS, runs=1)


def _enqueue(world: World) -> Any:
    return world.put(
        message("new"),
        message("duplicate", once=once()),
        message("replacing", once=once(on_conflict="replace"), payload=b"newer"),
        message("in line", once=once(on_conflict="reschedule")),
        message("holder", payload=b"another, with its id"),
    )


def _fire(world: World) -> Any:
    batch = v.Batch(messages=(message("fired"),))
    return world.store.fire(TICKED, START_MS, batch)


def _set_aside(world: World) -> Any:
    store = world.redis
    packed = store._command("GET", f"{store._key}m:running")
    return store._do("set_aside", "session-1", "running", packed)


ACTS: dict[str, Act] = {
    "enqueue": _enqueue,
    "open_session": lambda w: w.open("new session"),
    "open_inbox": lambda w: w.redis._waiting.open_inbox("celery"),
    "heartbeat": lambda w: w.store.heartbeat(["session-1", "unknown"], 20_000),
    "held": lambda w: w.store.held("session-1"),
    "report": lambda w: w.store.report("running", w.running.fence, "BUSY", b"half"),
    "step": lambda w: w.store.step("running", w.running.fence, "new step", None),
    "read": lambda w: w.store.read(["queued", "unknown"], full=True),
    "await": lambda w: w.store.read_ended("done", 1.0),
    "counts": lambda w: w.store.counts(),
    "sessions": lambda w: w.store.sessions(),
    "locks": lambda w: w.store.locks(),
    "entries": lambda w: w.store.entries(),
    "audit": lambda w: len(w.store.audit(v.AuditQuery())),
    "find": lambda w: w.store.find(v.MessageQuery()),
    "places": lambda w: w.store.find(v.MessageQuery(queue="celery")),
    "user_locks": lambda w: w.store.locks(users=True),
    "SET": lambda w: w.store.save_group("new", b"group", 60_000),
    "GET": lambda w: w.store.load_group("saved"),
    "DEL": lambda w: w.store.delete_group("saved"),
}
"""Verbs whose repeated call has the answer of the first."""

ASKS = v.SessionInfo(id="asks", worker="w@h", host="h", pid=7, pid_started="1")
TOLD_ONCE: dict[str, tuple[Act, Any]] = {
    "close_session": (lambda w: w.store.close_session("session-1"), 0),
    "revoke": (
        lambda w: [r.found for r in w.store.revoke(["queued", "running", "done"], terminate=True)],
        ["ended", "running", "ended"],
    ),
    "reap": (lambda w: w.store.reap(["session-1"]).requeued, 0),
    "set_aside": (_set_aside, 0),
    "replay": (lambda w: [r.done for r in w.store.replay(["dead", "done"])], ["not dead"] * 2),
    "drop": (lambda w: w.store.drop(["done", "dead"]), 0),
    "purge": (lambda w: w.store.purge("other"), 0),
    "release_lock": (lambda w: w.store.release_lock("key", "holder"), False),
    "put_entry": (lambda w: w.store.put_entry(v.Entry(name="tock"), -1), False),
    "remove_entry": (lambda w: w.store.remove_entry("tick"), False),
    "take_turn": (lambda w: w.store.take_turn(ASKS).reaps, False),
}
"""Verbs whose repeated call says, after a lost reply, that there was nothing left to do."""


@pytest.mark.parametrize("verb", ACTS)
def test_a_verb_whose_reply_was_lost_is_said_again_and_answered_as_before(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy, verb: str
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    fault = proxy.lose_next_reply(verb)
    expected = ACTS[verb](plain)
    assert ACTS[verb](faulty) == expected
    assert fault.happened.is_set()
    assert faulty.snapshot() == plain.snapshot()


@pytest.mark.parametrize("verb", TOLD_ONCE)
def test_a_verb_whose_reply_was_lost_has_been_done_once(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy, verb: str
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    act, said_again = TOLD_ONCE[verb]
    fault = proxy.lose_next_reply(verb)
    assert act(plain) != said_again
    assert act(faulty) == said_again
    assert fault.happened.is_set()
    assert faulty.snapshot() == plain.snapshot()


def test_every_verb_of_the_store_is_among_them() -> None:
    scripts = {path.stem for path in (Path(keys.__file__).parent / "lua").glob("*.lua")}
    assert len(scripts) > 20
    others = {"exchange", "fire", "resume", "idle", "watch", "enqueue_plain"}
    assert scripts <= {*ACTS, *TOLD_ONCE, *others}


@pytest.mark.parametrize("verb", [*ACTS, *TOLD_ONCE])
def test_a_request_that_was_cut_is_said_again(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy, verb: str
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    act = ACTS[verb] if verb in ACTS else TOLD_ONCE[verb][0]
    fault = proxy.cut_next_request(verb)
    assert act(faulty) == act(plain)
    assert fault.happened.is_set()
    assert faulty.snapshot() == plain.snapshot()


LATE = ["enqueue", "open_session", "heartbeat", "report", "step", "SET", "DEL", *TOLD_ONCE]


@pytest.mark.parametrize("verb", LATE)
def test_a_request_that_arrives_after_its_repetition_changes_nothing(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy, verb: str
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    act = ACTS[verb] if verb in ACTS else TOLD_ONCE[verb][0]
    fault = proxy.hold_next_request(verb)
    assert act(faulty) == act(plain)
    fault.deliver()
    assert faulty.snapshot() == plain.snapshot()


# Exchange and fire are not repeated by the store: their callers ask first ------------------------


def _commits(world: World) -> list[v.Commit]:
    succeeded = oc.Succeeded(result=b"r")
    return [
        v.Commit(id=c.id, fence=c.fence, outcome=succeeded) for c in (world.running, world.doomed)
    ]


@pytest.mark.parametrize("fault", ["lose_next_reply", "cut_next_request"])
def test_commits_said_again_are_committed_and_their_claims_are_found(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy, fault: str
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    expected = plain.store.exchange("session-1", _commits(plain), WANT)
    getattr(proxy, fault)("exchange")
    with pytest.raises(errors.StoreUnavailable):
        faulty.store.exchange("session-1", _commits(faulty), WANT)
    found = faulty.store.held("session-1")
    again = faulty.store.exchange("session-1", _commits(faulty), None)
    assert again.verdicts == expected.verdicts == (v.Verdict.COMMITTED,) * 2
    if fault == "lose_next_reply":
        assert found == expected.claims, "those that nobody heard of"
    else:
        assert {c.id for c in found} == {"running", "doomed"}, "nothing was applied"
        assert faulty.claim(2) == expected.claims
    assert faulty.snapshot() == plain.snapshot()


@pytest.mark.parametrize(
    "outcome",
    [
        oc.Failed(failure=b"f"),
        oc.Retry(delay_ms=5000),
        oc.Released(),
        oc.KilledAtLimit(failure=b"limit"),
        oc.Ignored(),
        oc.Rejected(),
        oc.Rejected(requeue=True),
        oc.Revoked(),
        oc.Replaced(messages=(message("graft", edges=(Edge("running", On.MIRROR),)),)),
        oc.KeyAssigned(once=once("another key")),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_any_outcome_is_committed_once_however_often_it_is_said(
    open_world: Callable[[str], World],
    server: RedisServer,
    proxy: Proxy,
    outcome: oc.Outcome,
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    verdict = plain.commit(plain.running, outcome)
    for _ in range(2):
        proxy.lose_next_reply("exchange")
        with pytest.raises(errors.StoreUnavailable):
            faulty.commit(faulty.running, outcome)
    assert faulty.commit(faulty.running, outcome) == verdict
    assert faulty.snapshot() == plain.snapshot()


def test_a_commit_that_arrives_after_its_repetition_changes_nothing(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    fault = proxy.hold_next_request("exchange")
    with pytest.raises(errors.StoreUnavailable):
        faulty.commit(faulty.running, oc.Retry())
    assert faulty.commit(faulty.running, oc.Retry()) == plain.commit(plain.running, oc.Retry())
    again = [world.claim(9) for world in (plain, faulty)]
    assert again[0] == again[1]
    fault.deliver()
    assert faulty.snapshot() == plain.snapshot(), "the next attempt goes on undisturbed"


def test_a_slot_whose_reply_was_lost_was_fired_once(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy
) -> None:
    plain, faulty = open_world(server.unix_url), open_world(proxy.url)
    proxy.lose_next_reply("fire")
    with pytest.raises(errors.StoreUnavailable):
        _fire(faulty)
    assert _fire(plain) is not None
    assert _fire(faulty) is None, "somebody was first: oneself"
    assert faulty.snapshot() == plain.snapshot()


# Scripts and what a server says of itself ---------------------------------------------------------


def test_scripts_that_were_flushed_before_each_verb_are_sent_again(
    open_world: Callable[[str], World], server: RedisServer
) -> None:
    plain, flushed = open_world(server.unix_url), open_world(server.unix_url)
    with redis.Redis.from_url(server.unix_url) as client:
        for act in ACTS.values():
            expected = act(plain)
            client.script_flush()
            assert act(flushed) == expected
    assert flushed.snapshot() == plain.snapshot()


def test_a_script_that_was_flushed_and_whose_reply_was_lost_is_said_again(
    open_world: Callable[[str], World], server: RedisServer, proxy: Proxy
) -> None:
    world = open_world(proxy.url)
    with redis.Redis.from_url(server.unix_url) as client:
        client.script_flush()
    fault = proxy.lose_next_reply("enqueue")
    assert world.put_one("new").kind == v.ReceiptKind.CREATED
    assert fault.happened.is_set()
    assert world.events("new") == ["enqueued"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("LOADING Redis is loading the dataset in memory", errors.StoreUnavailable),
        ("READONLY You can't write against a read only replica.", errors.StoreUnavailable),
        ("MASTERDOWN Link with MASTER is down", errors.StoreUnavailable),
        ("CLUSTERDOWN The cluster is down", errors.StoreUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", errors.StoreUnavailable),
        ("BUSY Redis is busy running a script.", errors.StoreUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", errors.StoreUnavailable),
        ("OOM command not allowed when used memory > 'maxmemory'.", errors.StoreFull),
        ("MISCONF Redis is configured to save RDB snapshots", errors.StoreFull),
        ("NOAUTH Authentication required.", errors.StoreError),
        ("NOPERM this user has no permissions to run 'evalsha'", errors.StoreError),
    ],
)
def test_what_a_server_says_of_itself_is_told_as_the_stores_own(
    open_world: Callable[[str], World], proxy: Proxy, reply: str, error: type[Exception]
) -> None:
    world = open_world(proxy.url)
    for _ in range(2):  # the second one where the store says it again by itself
        proxy.answer_next(reply, "enqueue")
    with pytest.raises(error) as told:
        world.put_one("new")
    assert type(told.value) is error
    assert world.redis.location in str(told.value)
    proxy.restore()
    world.put_one("new")


def test_a_verb_gives_up_in_time_and_goes_on_after_a_blackhole(
    open_world: Callable[[str], World], proxy: Proxy
) -> None:
    world = open_world(f"{proxy.url}?socket_timeout=0.2")
    before = world.snapshot()
    proxy.blackhole()
    with pytest.raises(errors.StoreUnavailable, match="cannot be reached"):
        world.put_one("new")
    proxy.restore()
    assert world.snapshot() == before
    world.put_one("new")
