"""Who blocks for work on Redis hears in time of what is due, and each line of that is needed.

One of those who block watches for what is due next; the others sleep on. With what they do anyway
put off beyond our patience, a watcher that is not told, or not replaced, is seen.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from property_tests.switching import changed
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.redis import waiting as _waiting
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.store.driver import message
from tests.store.redis_factories import REDIS_FACTORIES

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE_S = 4 * PATIENCE_S
ABSENT_S = 2.0  # how long nothing must happen for us to say that nothing does


@pytest.fixture(autouse=True)
def _nobody_looks_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_waiting, "WORK_SECONDS", LATE_S)


@pytest.fixture
def store() -> Iterator[RedisStore]:
    with REDIS_FACTORIES["redis"](v.StoreOptions(), None) as opened:
        assert isinstance(opened, RedisStore)
        yield opened


class Idler(threading.Thread):
    """Blocks for work, and claims once when it wakes."""

    def __init__(self, store: RedisStore, session: str, queues: tuple[str, ...]) -> None:
        super().__init__()
        self.queues = queues
        self.store = store
        self.session = session
        self.claimed: list[str] = []
        self.ends, self._end = os.pipe()
        store.open_session(v.SessionInfo(id=session, worker=session), 600_000)
        noted, blocked = _idle(store, queues[-1]), _blocked(store)
        self.start()
        eventually(lambda: _idle(store, queues[-1]) > noted, "it is noted")
        eventually(lambda: _blocked(store) > blocked, "it blocks, so before those that come later")

    def run(self) -> None:
        want = v.ClaimRequest(queues=self.queues, limit=1)
        while not self.claimed and self.store.wait_for_work(self.queues, LATE_S, self.ends):
            if os.get_blocking(self.ends) is False:
                return
            self.claimed = [c.id for c in self.store.exchange(self.session, (), want).claims]

    def end(self) -> None:
        os.set_blocking(self.ends, False)
        os.write(self._end, b"!")
        self.join(PATIENCE_S)
        assert not self.is_alive()
        os.close(self.ends)
        os.close(self._end)


def _idle(store: RedisStore, queue: str) -> int:
    return int(store._command("ZCARD", f"{store._key}idle:{queue}"))


def _blocked(store: RedisStore) -> int:
    told: bytes = store._command("INFO", "clients")
    return int(told.partition(b"blocked_clients:")[2].split()[0])


def put(store: RedisStore, message_id: str, **fields: Any) -> None:
    store.enqueue(v.Batch(messages=(message(message_id, **fields),)))


def _watched(store: RedisStore) -> bool:
    return bool(store._command("EXISTS", f"{store._key}watcher"))


def _what_is_due_wakes(store: RedisStore, patience_s: float) -> bool:
    """Something becomes due after all have blocked: until then nobody watched."""
    with blocked(store, 1) as idlers:
        put(store, "late", delay_ms=50)
        return claims(idlers, "late", patience_s)


def _what_is_due_earlier_wakes(store: RedisStore, patience_s: float) -> bool:
    """The watcher knows of something that is due much later."""
    with blocked(store, 1) as idlers:
        put(store, "later", delay_ms=3_600_000)
        eventually(lambda: _watched(store), "it watches")
        put(store, "sooner", delay_ms=50)
        return claims(idlers, "sooner", patience_s)


def _another_watches(store: RedisStore, patience_s: float) -> bool:
    """The watcher has work to do; what becomes due meanwhile is for another."""
    put(store, "late", delay_ms=1_000, queue="other")
    with blocked(store, 1, queues=("celery", "other")) as (watcher,):
        eventually(lambda: _watched(store), "it watches")
        with blocked(store, 1, queues=("other",), first=1) as idlers:
            put(store, "now")
            eventually(lambda: watcher.claimed == ["now"], "the watcher has work")
            return claims(idlers, "late", patience_s)


@contextlib.contextmanager
def blocked(
    store: RedisStore, count: int, *, first: int = 0, queues: tuple[str, ...] = ("celery",)
) -> Iterator[list[Idler]]:
    idlers = [Idler(store, f"w{first + n}", queues) for n in range(count)]
    try:
        yield idlers
    finally:
        for idler in idlers:
            idler.end()


def claims(idlers: list[Idler], name: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if any(name in idler.claimed for idler in idlers):
            return True
        time.sleep(0.005)
    return False


CASES = {
    "nobody watches": (_what_is_due_wakes, "if nudge_one(queue) then return end"),
    "something is due earlier": (_what_is_due_earlier_wakes, "    nudge(watcher)\n"),
    "the watcher has work": (
        _another_watches,
        "if next_due() and nudge_one(ARGV[index]) then return end",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_due_is_heard_of(store: RedisStore, name: str) -> None:
    scenario, _ = CASES[name]
    assert scenario(store, PATIENCE_S)


@pytest.mark.parametrize("name", CASES)
def test_without_a_nudge_it_is_not(store: RedisStore, name: str) -> None:
    scenario, line = CASES[name]
    with changed("lua:*", line, ""):
        assert not scenario(store, ABSENT_S)
