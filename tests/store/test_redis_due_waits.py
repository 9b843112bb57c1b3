"""Who blocks on Redis for what is due ends the wait by its own clock, and loses nothing by that.

The server ends a blocked wait when its timers run, `hz` times a second, which would be too late. So
we say when, by UNBLOCK on another connection: what comes to the wait at that moment is claimed.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reliable_tasks import errors
from reliable_tasks.core import clock
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer
from tests.store.driver import message
from tests.store.idlers import LATE_S, blocked, claims, nobody_looks_anyway

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["nobody_looks_anyway"]

WANT = v.ClaimRequest(queues=("celery",), limit=1)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with RedisServer() as server, Proxy(server.port, verb_of) as opened:
        yield opened


@pytest.fixture
def beside(proxy: Proxy) -> Iterator[RedisStore]:
    """A store on the server itself."""
    url = f"redis://127.0.0.1:{proxy.target[1]}/0"
    with contextlib.closing(RedisStore(url, v.StoreOptions())) as opened:
        yield opened


@pytest.fixture
def store(proxy: Proxy) -> Iterator[RedisStore]:
    """A store by way of the proxy; its connections are there, and have ended a wait before."""
    with contextlib.closing(RedisStore(proxy.url, v.StoreOptions())) as opened:
        opened.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
        put(opened, "first", delay_ms=20)
        assert next_claim(opened) == "first"
        yield opened


def put(store: RedisStore, message_id: str, **fields: int) -> None:
    store.enqueue(v.Batch(messages=(message(message_id, **fields),)))


def next_claim(store: RedisStore, session: str = "s") -> str:
    """What becomes due may end the wait a little before."""
    while not (found := store.wait_then_claim(session, WANT, LATE_S).claims):
        pass
    return found[0].id


@contextlib.contextmanager
def claiming(store: RedisStore) -> Iterator[list[str | None]]:
    """Claim in a thread: the id, or None where the store failed."""
    found: list[str | None] = []

    def run() -> None:
        try:
            found.append(next_claim(store))
        except errors.StoreUnavailable:
            found.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    yield found
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_what_is_due_ends_the_wait_although_the_server_does_not(beside: RedisStore) -> None:
    """The server would go on waiting for longer than we do."""
    with blocked(beside, 1) as idlers:
        put(beside, "late", delay_ms=50)
        assert claims(idlers, "late", PATIENCE_S)


def test_what_is_due_when_the_wait_would_begin_is_not_waited_for(beside: RedisStore) -> None:
    beside.open_session(v.SessionInfo(id="s", worker="w"), 600_000)
    put(beside, "late", delay_ms=1)
    assert beside.exchange("s", (), WANT).claims or next_claim(beside) == "late"


def test_what_comes_while_we_end_the_wait_is_claimed(
    store: RedisStore, beside: RedisStore, proxy: Proxy
) -> None:
    ending = proxy.delay_next_request("CLIENT", PATIENCE_S)
    put(beside, "late", delay_ms=50)
    asked = proxy.seen.count("CLIENT")
    with claiming(store) as found:
        eventually(lambda: proxy.seen.count("CLIENT") > asked, "we end it")
        put(beside, "now")
        eventually(lambda: beside.counts().states.get("running") == 2, "the wait was ended by it")
        ending.released.set()
    second = next_claim(store)
    assert {found[0], second} == {"late", "now"}
    assert store.exchange("s", (), WANT).claims == ()


def test_an_end_of_the_wait_that_comes_before_it_is_said_again(
    store: RedisStore, proxy: Proxy
) -> None:
    store._watches["s"] = clock.monotonic() + 0.02
    late = proxy.delay_next_request("XREADGROUP", PATIENCE_S)
    asked = proxy.seen.count("CLIENT")
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(store.wait_then_claim, "s", WANT, LATE_S)
        eventually(lambda: proxy.seen.count("CLIENT") > asked + 1, "it is said twice")
        late.released.set()
        assert reply.result(PATIENCE_S).claims == ()


def test_an_end_of_the_wait_whose_reply_is_lost_loses_no_message(
    store: RedisStore, beside: RedisStore, proxy: Proxy
) -> None:
    proxy.lose_next_reply("CLIENT")
    put(beside, "late", delay_ms=50)
    with claiming(store) as found:
        pass
    assert found == [None]
    # The claim behind the wait may be made after we ask: a worker asks again.
    eventually(lambda: "late" in _had(store), "it is held, or to be had")


def _had(store: RedisStore) -> list[str]:
    return [claim.id for claim in (*store.exchange("s", (), WANT).claims, *store.held("s"))]


def test_each_is_claimed_once_whatever_comes_at_the_moment_it_is_due(beside: RedisStore) -> None:
    dice, count = random.Random(7), 120
    names = [f"m{number}" for number in range(count)]
    found: Counter[str] = Counter()

    def work(session: str) -> None:
        while not (name := next_claim(beside, session)).startswith("end"):
            found[name] += 1

    for session in ("s", "t"):
        beside.open_session(v.SessionInfo(id=session, worker="w"), 600_000)
    threads = [threading.Thread(target=work, args=(session,)) for session in ("s", "t")]
    for thread in threads:
        thread.start()
    for name in names:
        put(beside, name, delay_ms=dice.choice((0, 1, 2, 3, 5, 8)))
    eventually(lambda: found.total() >= count, "all are claimed")
    for thread in threads:
        put(beside, f"end of {thread.name}")
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == Counter(names)
