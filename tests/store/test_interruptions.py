"""Whatever a signal's handler raises, wherever: nothing stays locked, open or half read."""

import gc
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from locks import Lock
from reliable_tasks import App
from reliable_tasks.core import outcome
from reliable_tasks.core.codec import dumps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Store
from tests.interrupting import interruptions
from tests.patience import PATIENCE_S
from tests.redis_server import redis_server
from tests.store.empty import empty_store

__all__ = ["redis_server"]

WANT = v.ClaimRequest(queues=("celery",), limit=1)


class Harness:
    """An app, a second connection to its store, and a thread beside the one that is interrupted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app = App("interrupted", broker=url, set_as_current=False)
        self.other = App("other", broker=url, store_busy_timeout=0.2, set_as_current=False).store
        self.task = self.app.task(lambda x: x)
        self.beside = ThreadPoolExecutor(1)
        self.ids = map("m{}".format, itertools.count())
        self.app.store.save_group("g", b"kept", 0)
        self.app.store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)

    @property
    def store(self) -> Store:
        return self.app.store

    def check(self) -> None:
        """The next call works at once: here, in another thread, on another connection."""
        assert self.store.load_group("g") == b"kept"
        asked = self.beside.submit(self.store.load_group, "g")
        assert asked.result(PATIENCE_S) == b"kept"
        self.other.save_group("other", b"written", 0)

    def close(self) -> None:
        self.beside.shutdown()
        self.app.close()
        self.other.close()


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return empty_store(request, tmp_path)


@pytest.fixture
def harness(url: str) -> Iterator[Harness]:
    harness = Harness(url)
    yield harness
    harness.close()


def test_an_enqueue_may_be_interrupted_anywhere(harness: Harness) -> None:
    given = "first"
    harness.task.apply_async((0,), task_id=given)  # what is loaded once is there

    def send() -> Callable[[], object]:
        nonlocal given
        given = next(harness.ids)
        return lambda: harness.task.apply_async((1,), task_id=given)

    stored = 0
    for number, interrupted in enumerate(interruptions(send)):
        harness.check()
        del interrupted
        (record,) = harness.other.read([given])
        stored += record is not None
        assert sum(harness.other.counts().states.values()) == 1 + stored, number
    assert harness.other.read([given])[0] is not None
    assert 0 < stored < number


# A socket that redis-py was about to connect, or a file, is closed by its end, which warns of it.
unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@unclosed
def test_the_first_call_may_be_interrupted_anywhere(url: str) -> None:
    harness = Harness(url)
    harness.task.delay(0)

    def first() -> Callable[[], object]:
        harness.app.close()
        return lambda: harness.task.delay(1)

    for interrupted in interruptions(first):
        harness.check()
        del interrupted
    harness.close()
    gc.collect()


@pytest.mark.parametrize("name", ["get", "revoke", "exchange", "step", "report"])
def test_other_verbs_may_be_interrupted_anywhere(harness: Harness, name: str) -> None:
    harness.task.apply_async((1,), task_id="ended")
    (claim,) = harness.store.exchange("s", (), WANT).claims
    done = v.Commit(id=claim.id, fence=claim.fence, outcome=outcome.Succeeded(result=dumps(1)))
    harness.store.exchange("s", (done,), None)
    harness.task.apply_async((1,), task_id="runs")
    (runs,) = harness.store.exchange("s", (), WANT).claims
    names = map("step {}".format, itertools.count())
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: harness.app.AsyncResult("ended").get(timeout=PATIENCE_S),
        "revoke": lambda: harness.app.AsyncResult("nobody").revoke(),
        "exchange": lambda: harness.store.exchange("s", (done,), None),
        "step": lambda: harness.store.step("runs", runs.fence, next(names), None),
        "report": lambda: harness.store.report("runs", runs.fence, "HALFWAY", b"1"),
    }
    calls[name]()
    for _ in interruptions(lambda: calls[name]):
        harness.check()


def test_waiting_for_a_busy_file_may_be_interrupted(tmp_path: Path) -> None:
    harness = Harness(f"sqlite:///{tmp_path}/tasks.db?synchronous=normal")
    others: Any = harness.other

    harness.task.delay(1)

    def while_held(_: object) -> int:
        every_seventh = interruptions(lambda: lambda: harness.task.delay(1), stride=7)
        return len(list(itertools.islice(every_seventh, 60)))

    assert others._database.write(while_held) == 60
    harness.check()
    harness.close()


@unclosed
def test_locks_may_be_interrupted_anywhere(url: str, tmp_path: Path) -> None:
    store: Any = str(tmp_path / "locks.db")
    if not url.startswith("sqlite"):
        store = redis.Redis.from_url(url)
    names = map("lock {}".format, itertools.count())
    beside = ThreadPoolExecutor(1)

    def hold() -> Callable[[], object]:
        lock = Lock(next(names), store, auto_renew=False)
        return lambda: lock.acquire().release()

    hold()()
    for _ in interruptions(hold):
        free = Lock("free", store, auto_renew=False)
        beside.submit(lambda free=free: free.acquire(PATIENCE_S).release()).result(PATIENCE_S)  # type: ignore[misc]
    beside.shutdown()
    gc.collect()


# With real signals --------------------------------------------------------------------------------

PROGRAM = """
import faulthandler, itertools, os, signal, sys
from reliable_tasks import App

faulthandler.enable()
app = App("prog", broker=sys.argv[1], set_as_current=False)
task = app.task(name="t")(lambda x: x)

class Alarm(Exception):
    pass

rung = False  # what the handler raises may be swallowed: in a `__del__`, or by a tracer

def ring(*_):
    global rung
    rung = True
    raise Alarm

task.delay(0)
sent, interrupted, number = 1, 0, itertools.count(1)
signal.signal(signal.SIGALRM, ring)
while interrupted < 300:
    rung = False
    try:
        # Each a bit later, so that it comes everywhere in the course of a call.
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + (next(number) % 997) / 997 * 0.002)
        while not rung:
            task.delay(1)
            sent += 1
    except Alarm:
        pass
    interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
task.delay(2)
print(sent + 1, interrupted, sum(app.store.counts().states.values()))
"""


def test_hundreds_of_real_signals_during_enqueues(url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], check=False, text=True, capture_output=True,
        timeout=170,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    sent, interrupted, stored = map(int, ran.stdout.split())
    assert sent <= stored <= sent + interrupted
