"""Time limits, limits of a child's life, and pools that refuse what they cannot enforce."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.errors import AlreadyQueued, SoftTimeLimitExceeded, TimeLimitExceeded
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.process.harness import Place


def test_pain_29_a_body_over_its_hard_limit_is_killed_and_its_hooks_are_run(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    result = place.call("too_long")
    with pytest.raises(TimeLimitExceeded, match=r"longer than 0\.5 s"):
        result.get(timeout=PATIENCE_S)
    assert len(place.effects("starts")) == 1, "it is not run again"
    assert [e.id for e in place.effects("on_failure:TimeLimitExceeded")] == [result.id]
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2, "another child has taken its place"


def test_a_soft_limit_is_raised_in_the_body_which_may_tidy_up(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    assert place.call("asked_to_hurry", True).get(timeout=PATIENCE_S) == "tidied"
    with pytest.raises(SoftTimeLimitExceeded):
        place.call("asked_to_hurry", False).get(timeout=PATIENCE_S)
    assert place.call("asked_to_hurry", True, "at an event").get(timeout=PATIENCE_S) == "tidied"
    with pytest.raises(SoftTimeLimitExceeded, match=r"longer than 0\.3 s"):
        place.call("async_hurry").get(timeout=PATIENCE_S)
    assert place.effects("on_failure:SoftTimeLimitExceeded")


def test_soft_limits_within_calls_of_the_store_leave_nothing_behind(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    sent = 0
    for _ in range(5):
        number, called = place.call("busy_with_the_store").get(timeout=PATIENCE_S)
        assert len(called) == len(set(called)), "each step is called once"
        assert len(called) >= number - 1, "and is called, unless it was interrupted itself"
        sent += number
    waiting = place.store.counts().queues["nobodys"]["queued"]
    assert sent <= waiting <= sent + 5, "one more at a time, of which the body did not hear"
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2


def test_limits_of_the_command_line_hold_for_tasks_without_their_own(place: Place) -> None:
    place.start_worker("--concurrency", "1", "--time-limit", "0.5")
    with pytest.raises(TimeLimitExceeded):
        place.call("nap", 60).get(timeout=PATIENCE_S)


def test_pain_31_a_once_key_is_freed_only_after_a_stubborn_body_is_dead(place: Place) -> None:
    place.start_worker("--concurrency", "1")
    first = place.call("stubborn")
    place.wait_effect("alive")
    with pytest.raises(AlreadyQueued):
        place.call("stubborn")
    wait_until(lambda: not place.store.locks(), "the key is free")
    freed = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        first.get(timeout=PATIENCE_S)
    assert max(e.at for e in place.effects("alive", first.id)) < freed


def test_a_child_is_replaced_after_so_many_messages(place: Place) -> None:
    place.start_worker("--concurrency", "1", "--max-tasks-per-child", "3")
    pids = [place.call("who").get(timeout=PATIENCE_S) for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_a_child_that_uses_too_much_memory_is_replaced(place: Place) -> None:
    place.start_worker("--concurrency", "1", "--max-memory-per-child", str(128 * 1024))
    lean = place.call("who").get(timeout=PATIENCE_S)
    assert place.call("who").get(timeout=PATIENCE_S) == lean
    assert place.call("swell", 200).get(timeout=PATIENCE_S) == lean, "its message still succeeds"
    assert place.call("who").get(timeout=PATIENCE_S) != lean


@pytest.mark.parametrize(
    ("options", "module", "said"),
    [
        (["--time-limit", "5"], "unlimited", "cannot enforce time or memory limits"),
        (["--max-memory-per-child", "5000"], "unlimited", "cannot enforce time or memory limits"),
        ([], "program", "cannot enforce the time limit of task 'asked_to_hurry'"),
    ],
)
@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_pain_30_a_pool_that_cannot_enforce_a_limit_refuses_to_start(
    place: Place, pool: str, options: list[str], module: str, said: str
) -> None:
    worker = place.start_worker(
        "--pool", pool, *options, module=f"tests.process.{module}", ready=False
    )
    assert worker.wait() == 2
    assert said in worker.log
    assert "Traceback" not in worker.log
