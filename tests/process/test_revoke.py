"""Messages that are not to run any more: revoked before, during and after; expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core.message import State
from reliable_tasks.errors import TaskRevokedError
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.process.harness import Place


def test_pain_28_what_is_revoked_while_no_worker_lives_never_runs(place: Place) -> None:
    result = place.call("nap", 0)
    assert result.revoke() == "revoked"
    place.start_worker("--concurrency", "1")
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2, "the queue has gone on past it"
    assert place.effects("nap") == []
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE_S)


def test_pain_28_a_running_body_is_stopped_by_a_revocation_that_terminates(place: Place) -> None:
    place.start_worker("--concurrency", "1", settings={"heartbeat_interval": 0.2})
    result = place.call("wait_for", "never")
    place.wait_effect("waits")
    assert result.revoke(terminate=True, wait=True, timeout=PATIENCE_S) == "running"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE_S)
    assert place.effects("goes on") == []
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2, "and a new child works"


def test_pain_28_a_revocation_outlives_the_worker_that_runs_its_message(place: Place) -> None:
    worker = place.start_worker("--concurrency", "1")
    result = place.call("wait_for", "never")
    place.wait_effect("waits")
    assert result.revoke() == "running"
    worker.kill_tree()
    place.start_worker("--concurrency", "1")
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE_S)
    assert len(place.effects("waits")) == 1


def test_what_has_expired_does_not_start_and_its_once_key_is_free(place: Place) -> None:
    result = place.call("once_nap", 7, expires=0.001)
    place.start_worker("--concurrency", "1")
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=PATIENCE_S)
    assert place.effects("nap") == []
    assert place.call("once_nap", 7).get(timeout=PATIENCE_S) == 7


def test_pain_1_a_delay_above_the_lease_makes_one_attempt_among_three_workers(
    place: Place,
) -> None:
    for _ in range(3):
        place.start_worker("--concurrency", "1", settings={"session_lease": 0.6})
    result = place.call("nap", 0, countdown=2)
    assert place.record(result).state == State.SCHEDULED
    result.get(timeout=PATIENCE_S)
    record = place.record(result)
    assert (record.attempt, record.delivery) == (1, 1)
    (start,) = place.effects("nap")
    assert record.first_started_ms is not None
    assert record.first_started_ms - record.enqueued_ms >= 2000
    assert start.attempt == 1


def test_pain_26_delayed_messages_stay_in_the_store_and_out_of_the_worker(place: Place) -> None:
    far = [place.call("nap", 0, countdown=3600) for _ in range(300)]
    place.start_worker("--concurrency", "2")
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2, "they are in nobody's way"
    assert sum(s.claims for s in place.store.sessions()) == 0
    assert {place.record(r).state for r in far} == {State.SCHEDULED}
    assert {place.record(r).fence for r in far} == {0}, "none was ever claimed"
