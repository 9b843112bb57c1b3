"""Rolling deploys: workers of different versions of a program at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks.errors import RemoteError
from reliable_tasks.store.values import AuditQuery
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from tests.process.harness import Place

OLD = """
import os
from reliable_tasks import App
app = App("old", broker=os.environ["STORE_URL"])
"""


def test_a_task_that_a_worker_does_not_know_goes_back_to_one_that_does(place: Place) -> None:
    place.write("old.py", OLD)
    settings = {"unknown_task_delay": 0.2, "unknown_task_limit": 1_000_000}
    old = place.start_worker("--concurrency", "1", module="old", settings=settings)
    result = place.call("add", 2, 3)
    wait_until(
        lambda: place.store.audit(AuditQuery(id=result.id, event="unknown task")), "it went back"
    )
    assert not result.ready()
    place.start_worker("--concurrency", "1")
    wait_until(result.ready, "the new worker has run it")
    assert result.get() == 5
    assert place.record(result).delivery <= 1, "being sent back is not counted as a death"
    assert "attempt.released" in old.log


def test_a_task_that_no_worker_knows_is_a_dead_letter_after_a_bound(place: Place) -> None:
    place.write("old.py", OLD)
    settings = {"unknown_task_delay": 0.01, "unknown_task_limit": 3}
    place.start_worker("--concurrency", "1", module="old", settings=settings)
    result = place.call("add", 2, 3)
    with pytest.raises((RemoteError, KeyError), match="no worker knew the task 'add'"):
        result.get(timeout=PATIENCE_S)
    assert place.store.counts().dead == 1
