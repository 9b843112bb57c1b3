"""Workers that are killed, stopped and continued, with what they were running."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import State
from reliable_tasks.errors import AlreadyQueued, WorkerLostError
from reliable_tasks.store.values import AuditQuery, MessageQuery
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.process.harness import Place, Worker

timing = pytest.mark.xdist_group("timing")


def events_of(place: Place, message_id: str) -> list[str]:
    return [row.event for row in place.store.audit(AuditQuery(id=message_id))]


@timing
def test_pain_3_and_16_nothing_is_lost_when_the_whole_worker_is_killed_four_times(
    place: Place,
) -> None:
    settings = {"audit": "all"}
    results = [place.call("once_nap", n) for n in range(400)]
    worker = place.start_worker("--concurrency", "2", settings=settings)
    for death in range(1, 5):
        place.wait_effect("woke", death * 60)
        worker.kill_tree()
        begun = len(place.effects("nap"))
        restarted = time.monotonic()
        worker = place.start_worker("--concurrency", "2", settings=settings)
        first = place.wait_effect("nap", begun + 1)
        assert first.at - restarted < 3.0, "the first new attempt begins within 3 s"
    assert [r.get(timeout=PATIENCE_S) for r in results] == list(range(400))
    counts = place.store.counts()
    assert counts.states == {State.SUCCEEDED: 400}
    assert counts.dead == 0
    succeeded = Counter(row.id for row in place.store.audit(AuditQuery(event="succeeded")))
    assert succeeded == Counter(r.id for r in results), "each was committed once"
    assert place.store.locks() == (), "every once-key is free"
    place.call("once_nap", 1).get(timeout=PATIENCE_S)


def test_pain_14_a_poison_message_stops_at_the_delivery_limit_as_a_dead_letter(
    place: Place,
) -> None:
    place.start_worker("--concurrency", "1", settings={"max_deliveries": 3})
    place.app.conf.max_deliveries = 3
    result = place.call("poison_unless", "cure")
    with pytest.raises(WorkerLostError, match="died in each of the 3 deliveries"):
        result.get(timeout=PATIENCE_S)
    assert len(place.effects("poison")) == 3
    record = place.record(result)
    assert (record.state, record.reason) == (State.FAILED, "delivery limit")
    assert decode_failure(record.failure or b"").type == "WorkerLostError"
    assert events_of(place, result.id).count("reaped") == 3
    assert [r.id for r in place.store.find(MessageQuery(dead=True))] == [result.id]

    place.write("cure", "")
    (replayed,) = place.store.replay([result.id])
    assert replayed.done == "replayed"
    assert place.app.AsyncResult(result.id).get(timeout=PATIENCE_S) == "cured"


def test_pain_29_hooks_of_a_message_that_killed_its_workers_are_run(place: Place) -> None:
    place.app.conf.max_deliveries = 2
    place.start_worker("--concurrency", "1")
    result = place.call("poison")
    result.get(timeout=PATIENCE_S, propagate=False)
    assert [e.id for e in place.effects("on_failure:WorkerLostError")] == [result.id]


def test_pain_2_a_worker_stopped_beyond_its_lease_commits_nothing_when_it_goes_on(
    place: Place,
) -> None:
    settings = {"session_lease": 1}
    stopped = place.start_worker("--concurrency", "1", settings=settings)
    result = place.call("nap_until", "dawn")
    first = place.wait_effect("nap")
    place.freeze(stopped)
    place.start_worker("--concurrency", "1", settings=settings)
    second = place.wait_effect("nap", 2)
    place.write("dawn", "")
    value = result.get(timeout=PATIENCE_S)
    version = place.record(result).version
    stopped.signal_tree(signal.SIGCONT)
    stale = wait_until(
        lambda: place.store.audit(AuditQuery(id=result.id, event="stale")), "a row of the stale one"
    )
    assert [row.fence for row in stale] == [first.fence]
    assert second.fence > first.fence
    assert value == second.pid
    record = place.record(result)
    assert (record.state, record.version) == (State.SUCCEEDED, version), "one result"
    done = place.call("who").get(timeout=PATIENCE_S)
    assert done, "and both workers go on"


def test_children_die_at_once_with_their_supervisor(place: Place) -> None:
    worker = place.start_worker("--concurrency", "2")
    children = wait_until(
        lambda: found if len(found := worker.children) == 2 else [], "two children"
    )
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not worker.children, f"{children} are gone")


@timing
def test_pain_15_a_message_whose_child_is_killed_begins_again_long_before_its_lease_ends(
    place: Place,
) -> None:
    lease = {"session_lease": 4 * PATIENCE_S}
    worker = place.start_worker("--concurrency", "2", settings=lease)
    result = place.call("wait_for", "go")
    first = place.wait_effect("waits")
    os.kill(first.pid, signal.SIGKILL)
    place.wait_effect("waits", 2)
    place.write("go", "")
    assert result.get(timeout=PATIENCE_S) == "go"
    assert events_of(place, result.id) == ["reaped"]
    assert "child.died" in worker.log
    assert "SIGKILL" in worker.log


def test_messages_that_only_waited_are_not_blamed_for_the_death_of_their_child(
    place: Place,
) -> None:
    place.app.conf.max_deliveries = 2
    place.start_worker("--concurrency", "1")
    innocent = [place.call("nap", 0.001) for _ in range(30)]
    place.call("poison")
    innocent += [place.call("nap", 0.001) for _ in range(30)]
    for result in innocent:
        result.get(timeout=PATIENCE_S)
    deliveries = [place.record(r).delivery for r in innocent]
    assert set(deliveries) <= {1, 2}, "one that had ended, and was not committed, begins again once"
    assert deliveries.count(1) >= 30


@pytest.mark.parametrize("ending", ["once_poison", "once_too_long"])
def test_pain_5_the_once_key_of_a_message_that_was_killed_is_free(
    place: Place, ending: str
) -> None:
    place.app.conf.max_deliveries = 1
    first = place.call(ending)
    with pytest.raises(AlreadyQueued):
        place.call(ending)
    place.start_worker("--concurrency", "1")
    first.get(timeout=PATIENCE_S, propagate=False)
    assert first.failed()
    second = place.call(ending)
    assert second.id != first.id


def test_pain_24_a_retry_is_one_change_of_the_same_record_whenever_the_worker_dies(
    place: Place,
) -> None:
    def start() -> Worker:
        return place.start_worker("--concurrency", "1", settings={"audit": "all"})

    worker = start()
    result = place.call("flaky", 4)
    for attempt in (2, 4):
        place.wait_effect("flaky", attempt)
        worker.kill_tree()
        worker = start()
    assert result.get(timeout=PATIENCE_S) == 4
    rows = place.store.audit(AuditQuery(id=result.id, event="retry"))
    assert [row.attempt for row in rows] == [1, 2, 3, 4], "each retry was committed once"
    detail = msgspec.json.decode(rows[0].detail)
    assert detail["reason"] == "the body asked for it: retry 1 of 5"
