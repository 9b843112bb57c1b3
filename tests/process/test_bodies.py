"""Bodies in every pool: plain functions, coroutines, what they raise, and who runs them."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.errors import RemoteError
from tests.patience import PATIENCE_S
from tests.process.tasks import Spoiled, Stranger

if TYPE_CHECKING:
    from tests.process.harness import Place


def test_one_worker_does_all_that_a_program_asks_of_it(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    assert place.call("add", 2, 3).get(timeout=PATIENCE_S) == 5
    assert place.call("flaky", 2).get(timeout=PATIENCE_S) == 2
    assert place.call("who").get(timeout=PATIENCE_S) != os.getpid()
    assert [place.call("add", n, n).get(timeout=PATIENCE_S) for n in range(5)] == [0, 2, 4, 6, 8]


def test_many_children_run_each_message_once(place: Place) -> None:
    place.start_worker("--concurrency", "4")
    results = [place.call("nap", 0.002) for _ in range(200)]
    pids = {r.get(timeout=PATIENCE_S) for r in results}
    assert len(pids) > 1, "more than one child worked"
    starts = Counter(e.id for e in place.effects("nap"))
    assert starts == Counter(r.id for r in results)


def test_an_exception_comes_back_as_its_own_class_if_that_is_imported_here(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    with pytest.raises(Spoiled, match="gone off"):
        place.call("spoil", "own").get(timeout=PATIENCE_S)
    with pytest.raises(Stranger, match="hello"):
        place.call("spoil", "imported").get(timeout=PATIENCE_S)
    result = place.call("spoil", "local")
    with pytest.raises(RemoteError) as caught:
        result.get(timeout=PATIENCE_S)
    assert type(caught.value).__name__ == "Local"
    assert caught.value.remote_type == "tests.process.tasks.local_error.<locals>.Local"
    assert caught.value.message == "who knows"
    assert result.failed()
    assert 'raise {"own": Spoiled("gone off"), "imported"' in (result.traceback or "")


def test_pain_42_a_coroutine_runs_in_prefork_on_one_loop_that_is_kept(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    assert place.call("async_add", 2, 3).get(timeout=PATIENCE_S) == 5
    first, second = (place.call("loop_id").get(timeout=PATIENCE_S) for _ in range(2))
    assert first == second, "the same process and the same loop"


def test_pain_42_a_coroutine_that_blocks_its_loop_keeps_its_lease(place: Place) -> None:
    place.start_worker("--concurrency", "1", settings={"session_lease": 2})
    place.start_worker("--concurrency", "1", settings={"session_lease": 2})
    result = place.call("async_block", 4.5)
    assert result.get(timeout=PATIENCE_S) == "kept"
    assert len(place.effects("nap")) == 1, "nobody took it for dead"


@pytest.mark.parametrize(("pool", "task"), [("threads", "wait_for"), ("asyncio", "async_wait_for")])
def test_a_pool_of_one_process_runs_many_bodies_at_once(place: Place, pool: str, task: str) -> None:
    place.start_worker("--pool", pool, "--concurrency", "8", module="tests.process.unlimited")
    results = [place.call(task, "go") for _ in range(8)]
    place.wait_effect("waits", 8)
    assert len({e.pid for e in place.effects("waits")}) == 1, "one process"
    place.write("go", "")
    assert [r.get(timeout=PATIENCE_S) for r in results] == ["go"] * 8


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_every_pool_runs_functions_and_coroutines_and_stops_when_told(
    place: Place, pool: str
) -> None:
    worker = place.start_worker("--pool", pool, "-c", "2", module="tests.process.unlimited")
    assert place.call("add", 2, 3).get(timeout=PATIENCE_S) == 5
    assert place.call("async_add", 2, 3).get(timeout=PATIENCE_S) == 5
    assert worker.stop() == 0


def test_pain_21_fifty_threads_wait_for_results_at_once(place: Place) -> None:
    place.start_worker("--concurrency", "2")
    with ThreadPoolExecutor(50) as threads:
        sums = threads.map(lambda n: place.call("add", n, n).get(timeout=PATIENCE_S), range(100))
        assert list(sums) == [n * 2 for n in range(100)]


def test_pain_27_short_messages_do_not_wait_behind_a_long_one(place: Place) -> None:
    place.start_worker("--concurrency", "2")
    long = place.call("wait_for", "go")
    place.wait_effect("waits")
    short = [place.call("nap", 0.001) for _ in range(50)]
    for result in short:
        result.get(timeout=PATIENCE_S)
    assert not long.ready()
    place.write("go", "")
    assert long.get(timeout=PATIENCE_S) == "go"
