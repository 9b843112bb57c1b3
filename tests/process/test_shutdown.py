"""How workers stop: warmly, coldly, and when their time is up."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core.message import State
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.process.harness import Place


def test_a_warm_shutdown_finishes_what_runs_and_gives_back_the_rest_uncounted(
    place: Place,
) -> None:
    worker = place.start_worker("--concurrency", "2")
    running = [place.call("wait_for", "go") for _ in range(2)]
    place.wait_effect("waits", 2)
    waiting = [place.call("add", n, 1) for n in range(20)]
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "worker.stopping" in worker.log, "it was heard")
    place.write("go", "")
    assert worker.wait() == 0
    assert [r.get(timeout=PATIENCE_S) for r in running] == ["go", "go"]
    for result in waiting:
        record = place.record(result)
        assert (record.state, record.delivery) == (State.QUEUED, 0)
    assert place.store.sessions() == ()


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_an_idle_worker_stops_at_once_in_every_pool(place: Place, pool: str) -> None:
    """Its main thread hears the word whatever it waits for."""
    worker = place.start_worker(
        "--pool", pool, "-c", "1", "--shutdown-timeout", "3600", module="tests.process.unlimited"
    )
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_work_claimed_ahead_goes_back_when_a_body_runs_long(place: Place) -> None:
    worker = place.start_worker("--concurrency", "1")
    for _ in range(20):
        place.call("add", 1, 1).get(timeout=PATIENCE_S)
    long = place.call("wait_for", "go")
    short = [place.call("add", n, 1) for n in range(20)]
    place.wait_effect("waits")
    wait_until(
        lambda: {place.record(r).state for r in short} <= {State.QUEUED, State.SUCCEEDED},
        "nothing but the long one is held",
    )
    place.write("go", "")
    assert long.get(timeout=PATIENCE_S) == "go"
    assert worker.stop() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGQUIT])
def test_a_second_word_gives_everything_back_now_and_uncounted(
    place: Place, second: signal.Signals
) -> None:
    worker = place.start_worker("--concurrency", "1")
    result = place.call("wait_for", "go")
    place.wait_effect("waits")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "worker.stopping" in worker.log, "the first was heard")
    assert worker.running
    worker.signal(second)
    assert worker.wait() == 0
    record = place.record(result)
    assert (record.state, record.delivery) == (State.QUEUED, 0)
    place.write("go", "")
    place.start_worker("--concurrency", "1")
    assert result.get(timeout=PATIENCE_S) == "go"


def test_ctrl_c_is_a_warm_shutdown_although_the_whole_group_hears_it(place: Place) -> None:
    worker = place.start_worker("--concurrency", "1")
    result = place.call("wait_for", "go")
    place.wait_effect("waits")
    worker.signal_tree(signal.SIGINT)
    wait_until(lambda: "worker.stopping" in worker.log, "it was heard")
    place.write("go", "")
    assert worker.wait() == 0
    assert result.get(timeout=PATIENCE_S) == "go"
    assert len(place.effects("waits")) == 1


@pytest.mark.xdist_group("timing")
def test_pain_43_a_warm_shutdown_ends_with_its_grace_period_and_gives_leases_back_at_once(
    place: Place,
) -> None:
    worker = place.start_worker("--concurrency", "1", "--shutdown-timeout", "0.5")
    result = place.call("wait_for", "go")
    place.wait_effect("waits")
    told = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert time.monotonic() - told >= 0.5
    record = place.record(result)
    assert (record.state, record.delivery) == (State.QUEUED, 0), "no lease is waited for"
