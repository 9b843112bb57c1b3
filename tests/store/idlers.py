"""Threads that block for work on Redis, and what each of them claims when it wakes.

What they would do anyway is put off beyond our patience, so that one who is not woken is seen.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from property_tests.ablations.switching import changed
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore, waiting
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.store.redis_factories import REDIS_FACTORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Scenario = Callable[[RedisStore, float], bool]

__all__ = [
    "Idler",
    "blocked",
    "blocked_clients",
    "claims",
    "goes_unnoticed",
    "nobody_looks_anyway",
    "redis_store",
]

LATE_S = 4 * PATIENCE_S
ABSENT_S = 2.0  # how long nothing must happen for us to say that nothing does


@pytest.fixture(autouse=True)
def nobody_looks_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WORK_SECONDS", LATE_S)


@contextlib.contextmanager
def redis_store(name: str) -> Iterator[RedisStore]:
    with REDIS_FACTORIES[name](v.StoreOptions(), None) as opened:
        assert isinstance(opened, RedisStore)
        yield opened


def goes_unnoticed(scenario: Scenario, server: str, script: str, old: str, new: str = "") -> bool:
    """Whether nobody claims the work in time, with `new` in the place of `old` in the scripts."""
    with redis_store(server) as store, changed(script, old, new):
        return not scenario(store, ABSENT_S)


class Idler(threading.Thread):
    """Blocks for work until it has claimed something."""

    def __init__(self, store: RedisStore, session: str, queues: tuple[str, ...]) -> None:
        super().__init__()
        self.queues = queues
        self.store = store
        self.session = session
        self.claimed: list[str] = []
        self.ends, self._end = os.pipe()
        store.open_session(v.SessionInfo(id=session, worker=session), 600_000)
        before = blocked_clients(store)
        self.start()
        eventually(lambda: blocked_clients(store) > before, "it blocks before those to come")

    def run(self) -> None:
        want = v.ClaimRequest(queues=self.queues, limit=1)
        while not self.claimed and os.get_blocking(self.ends):
            reply = self.store.wait_then_claim(self.session, want, LATE_S, self.ends)
            self.claimed = [c.id for c in reply.claims]

    def end(self) -> None:
        os.set_blocking(self.ends, False)
        os.write(self._end, b"!")
        self.join(PATIENCE_S)
        assert not self.is_alive()
        os.close(self.ends)
        os.close(self._end)


def blocked_clients(store: RedisStore) -> int:
    """How many clients block on the store's server."""
    told: bytes = store._command("INFO", "clients")
    return int(told.partition(b"blocked_clients:")[2].split()[0])


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
