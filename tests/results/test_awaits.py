"""Many results waited for at once: `await`, and the callbacks of `then`."""

import asyncio
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import App, AsyncResult, GroupResult
from reliable_tasks.core import context, outcome
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.errors import ResultGone, StoreUnavailable
from reliable_tasks.results import then
from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S
from tests.redis_server import redis_server
from tests.store.empty import empty_store

__all__ = ["redis_server"]

MANY = 1200  # more than are watched at a time


class Driver:
    """An app and a worker's session on its store, worked by hand."""

    def __init__(self, url: str) -> None:
        self.app = App("awaits", broker=url, set_as_current=False)
        self.app.store.open_session(v.SessionInfo(id="s", worker="w"), 600_000)

    def call(self, number: int = 1) -> list[AsyncResult[Any]]:
        return self.app.enqueue_many(self.app.signature("t", (i,)) for i in range(number))

    def end_all(self, failing: int = -1) -> None:
        """End what is queued, each with its number; one of them in failure."""
        want = v.ClaimRequest(queues=("celery",), limit=500)
        while claims := self.app.store.exchange("s", (), want).claims:
            commits = []
            for claim in claims:
                ((number,), _) = self.app.AsyncResult(claim.id)._call()  # type: ignore[misc]
                done: outcome.Outcome = outcome.Succeeded(result=dumps(number))
                if number == failing:
                    done = outcome.Failed(failure=encode_failure(KeyError(number)))
                commits.append(v.Commit(id=claim.id, fence=claim.fence, outcome=done))
            self.app.store.exchange("s", commits, None)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(empty_store(request, tmp_path))
    yield driver
    driver.app.close()


def settled(condition: Callable[[], object]) -> None:
    """Wait until a thread of ours has come so far."""
    over = threading.Event()
    for _ in range(6000):
        if condition():
            return
        over.wait(0.01)
    raise AssertionError("it never came to that")


def watchers() -> int:
    names = {"reliable_tasks.await", "reliable_tasks.then"}
    return sum(t.name in names for t in threading.enumerate())


def test_many_are_awaited_by_one_thread(driver: Driver) -> None:
    handles = driver.call(MANY)

    async def main() -> list[Any]:
        before = set(threading.enumerate())
        awaited = [asyncio.ensure_future(_awaiting(handle)) for handle in handles]
        await asyncio.sleep(0)
        assert len(set(threading.enumerate()) - before) == 1
        threading.Thread(target=driver.end_all).start()
        return await asyncio.wait_for(asyncio.gather(*awaited), PATIENCE_S)

    assert asyncio.run(main()) == list(range(MANY))
    settled(lambda: not watchers())


async def _awaiting(handle: Any) -> Any:
    return await handle


def test_what_was_cancelled_is_not_waited_for(driver: Driver) -> None:
    handles = driver.call(100)

    async def main() -> None:
        tasks = [asyncio.wait_for(_awaiting(handle), 0.01) for handle in handles]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {TimeoutError}

    asyncio.run(main())
    settled(lambda: not watchers())


def test_a_group_is_awaited_until_one_fails(driver: Driver) -> None:
    good = GroupResult(results=driver.call(20), app=driver.app)

    async def main(group: GroupResult) -> list[Any]:
        return await group

    driver.end_all()
    assert asyncio.run(main(good)) == list(range(20))
    bad = GroupResult(results=[*driver.call(20), good], app=driver.app)
    threading.Thread(target=driver.end_all, args=(7,)).start()
    with pytest.raises(KeyError, match="7"):
        asyncio.run(main(bad))
    settled(lambda: not watchers())


def test_aget_gives_values_and_errors(driver: Driver) -> None:
    good, bad = driver.call(2)
    told: list[tuple[str, Any]] = []

    async def main() -> None:
        waits = asyncio.ensure_future(good.aget(callback=lambda *it: told.append(it)))
        threading.Thread(target=driver.end_all, args=(1,)).start()
        assert await waits == 0
        with pytest.raises(KeyError, match="1"):
            await bad.aget(timeout=PATIENCE_S)
        assert isinstance(await bad.aget(propagate=False), KeyError)
        both = GroupResult(results=[good, bad], app=driver.app)
        with pytest.raises(KeyError):
            await both.aget(timeout=PATIENCE_S)
        assert str(await both.aget(propagate=False)) == str([0, KeyError(1)])
        again = driver.app.AsyncResult(good.id)
        assert await again.aget(timeout=0) == 0, "it has ended, however short the time is"

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert told == [(good.id, 0)]


@pytest.mark.parametrize("timeout", [None, PATIENCE_S])
def test_a_body_s_own_timeout_error_is_not_taken_for_the_wait_s(
    driver: Driver, timeout: float | None
) -> None:
    (bad,) = driver.call()
    claim = driver.app.store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=1)).claims[
        0
    ]
    failed = outcome.Failed(failure=encode_failure(TimeoutError("the body's own")))
    driver.app.store.exchange("s", [v.Commit(id=bad.id, fence=claim.fence, outcome=failed)], None)
    both = GroupResult(results=[*driver.call(), bad], app=driver.app)
    with pytest.raises(TimeoutError, match="the body's own"):
        asyncio.run(asyncio.wait_for(both.aget(timeout), PATIENCE_S))


def test_what_is_gone_is_not_awaited_for_ever(driver: Driver) -> None:
    (handle,) = driver.call()
    driver.end_all()
    driver.app.store.drop([handle.id])
    with pytest.raises(ResultGone):
        asyncio.run(asyncio.wait_for(_awaiting(handle), PATIENCE_S))
    settled(lambda: not watchers())


def test_awaiting_is_refused_inside_a_body(driver: Driver) -> None:
    (handle,) = driver.call()
    token = context.forbid_waiting.set(True)
    try:
        for each in (handle, GroupResult(results=[handle], app=driver.app)):
            with pytest.raises(RuntimeError, match="Never call"):
                asyncio.run(_awaiting(each))
    finally:
        context.forbid_waiting.reset(token)


class Away:
    """A store that is away when it is to be, or deaf to what happens in it."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.away = self.deaf = False
        self.asked = threading.Event()
        self.waits = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, ids: list[str], *, full: bool = False) -> Any:
        self.asked.set()
        if self.away:
            raise StoreUnavailable("away")
        return self.inner.read(ids, full=full)

    def wait(self, seen: dict[str, int], timeout: float, *, ended: bool, wake_fd: int) -> bool:
        self.waits.set()
        if not self.deaf:
            return bool(self.inner.wait(seen, timeout, ended=ended, wake_fd=wake_fd))
        poll = select.poll()
        poll.register(wake_fd, select.POLLIN)
        return bool(poll.poll(PATIENCE_S * 1000))


def test_another_one_is_looked_at_at_once(tmp_path: Path) -> None:
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    first, second = driver.call(2)
    store = driver.app.store = Away(driver.app.store)  # type: ignore[assignment]
    store.deaf = True

    async def main() -> None:
        waits = asyncio.ensure_future(_awaiting(first))
        await asyncio.to_thread(store.waits.wait, PATIENCE_S)
        await asyncio.to_thread(driver.end_all)
        assert await _awaiting(second) == 1, "nobody but ourselves could wake the thread"
        assert await waits == 0

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    driver.app.close()


def test_the_store_is_opened_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    (handle,) = driver.call()
    driver.end_all()
    app = App("other", broker=f"sqlite:///{tmp_path}/tasks.db", set_as_current=False)
    opened_by: list[int] = []
    before = app._opened

    def opened() -> Any:
        opened_by.append(threading.get_ident())
        return before()

    monkeypatch.setattr(app, "_opened", opened)
    assert asyncio.run(asyncio.wait_for(app.AsyncResult(handle.id).aget(), PATIENCE_S)) == 0
    assert opened_by
    assert threading.get_ident() not in opened_by
    app.close()
    driver.app.close()


def test_a_store_that_is_away_at_first_is_told_at_once(tmp_path: Path) -> None:
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    (handle,) = driver.call()
    store = driver.app.store = Away(driver.app.store)  # type: ignore[assignment]
    store.away = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(asyncio.wait_for(_awaiting(handle), PATIENCE_S))
    driver.app.close()


@pytest.mark.parametrize("away_s", [60.0, 0.0])
def test_a_store_may_be_away_for_a_minute_later(
    tmp_path: Path, away_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(then, "_STORE_AWAY_S", away_s)
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    first, second = driver.call(2)
    store = driver.app.store = Away(driver.app.store)  # type: ignore[assignment]

    async def main() -> Any:
        waits = asyncio.ensure_future(_awaiting(first))
        await asyncio.to_thread(store.waits.wait, PATIENCE_S)
        store.away = True
        store.asked.clear()
        with pytest.raises(StoreUnavailable):
            await _awaiting(second)
        store.asked.clear()
        await asyncio.to_thread(store.asked.wait, 0.3)
        store.away = False
        await asyncio.to_thread(driver.end_all)
        return await waits

    if away_s:
        assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) == 0
    else:
        with pytest.raises(StoreUnavailable):
            asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    driver.app.close()


def test_then_calls_back_for_one_result(driver: Driver) -> None:
    (handle,) = driver.call()
    told: list[Any] = []
    assert handle.then(told.append) is handle
    assert told == []
    driver.end_all()
    settled(lambda: told)
    assert told[0].get() == 0
    settled(lambda: not watchers())


def test_then_calls_all_whatever_one_of_them_raises(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    handles = driver.call(4)
    told: list[int] = []

    def note(result: AsyncResult[Any]) -> None:
        told.append(result.get())
        if result.get() == 1:
            raise SystemExit(3)
        if result.get() == 2:
            raise ValueError("of the callback")

    with caplog.at_level(logging.ERROR):
        for handle in handles:
            handle.then(note)
        driver.end_all()
        settled(lambda: not watchers())
    assert sorted(told) == [0, 1, 2, 3]
    assert sum("raised" in record.message for record in caplog.records) == 2


def test_then_waits_for_a_store_that_is_away(tmp_path: Path) -> None:
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    (handle,) = driver.call()
    store = driver.app.store = Away(driver.app.store)  # type: ignore[assignment]
    store.away = True
    told: list[Any] = []
    handle.then(told.append)
    assert store.asked.wait(PATIENCE_S)
    store.away = False
    driver.end_all()
    settled(lambda: told)
    settled(lambda: not watchers())
    driver.app.close()


def test_a_fork_waits_by_itself(tmp_path: Path) -> None:
    driver = Driver(f"sqlite:///{tmp_path}/tasks.db")
    mine, childs = driver.call(2)
    told: list[Any] = []
    mine.then(told.append)
    child = os.fork()
    if child == 0:
        done = threading.Event()
        childs.then(lambda _: done.set())
        os._exit(0 if done.wait(PATIENCE_S) and not told else 1)
    driver.end_all()
    assert os.waitpid(child, 0)[1] == 0
    settled(lambda: told)
    driver.app.close()


PROGRAM = """
import asyncio, sys
from reliable_tasks import App

app = App("prog", broker=sys.argv[1], set_as_current=False)

async def main():
    async def wait(handle):
        return await handle
    handle = app.send_task("t")
    try:
        await asyncio.wait_for(wait(handle), 0.3)
    except TimeoutError:
        print("timed out")

asyncio.run(main())
"""


def test_a_program_may_end_while_it_awaits(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"sqlite:///{tmp_path}/tasks.db"],
        check=True, text=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.stdout == "timed out\n"
