"""Both spellings of a retry, with the tutorial's own delays: four attempts, five seconds apart."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.store.values import AuditQuery
from tests.process.harness import Place, wait_until
from tests.tutorial.programs import write_program

if TYPE_CHECKING:
    from pathlib import Path

APP = """
from celery import Celery
from celery.utils.log import get_task_logger
logger = get_task_logger(__name__)
app = Celery('tasks', broker='amqp://guest@localhost//')
"""

ASKED_FOR = """
@app.task(bind=True)
def div(self, x, y):
    req = self.request.__dict__
    logger.info(f"Executing task id {req['id']}, args: {req['args']}")
    try:
        result = x / y
    except ZeroDivisionError as e:
        raise self.retry(exc=e, countdown=5, max_retries=3)
    return result
"""

AUTOMATIC = """
@app.task(bind=True, autoretry_for=(Exception,), retry_kwargs={'countdown': 5, 'max_retries': 3})
def div(self, x, y):
    req = self.request.__dict__
    logger.info(f"Executing task id {req['id']}, args: {req['args']}")
    result = x / y
    return result
"""


def test_both_spellings_of_a_retry_make_four_attempts_five_seconds_apart(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        tried = []
        for name, source in (("asked", ASKED_FOR), ("automatic", AUTOMATIC)):
            folder = tmp_path / name
            folder.mkdir()
            place = Place(folder, f"sqlite:///{folder / 'store.db'}")
            stack.enter_context(contextlib.closing(place))
            write_program(place, "tasks.py", APP + source)
            worker = place.start_worker("--loglevel=info", "-c", "1", module="tasks")
            tried.append((place, worker, place.app.send_task("tasks.div", (2, 0))))
        for _, _, result in tried:
            wait_until(lambda r=result: r.state == "RETRY", "the first retry")  # type: ignore[misc]
        for place, worker, result in tried:
            with pytest.raises(ZeroDivisionError, match="division by zero"):
                result.get(timeout=30)
            assert worker.log.count(f"Executing task id {result.id}, args: (2, 0)") == 4
            assert result.retries == 3
            rows = place.store.audit(AuditQuery(id=result.id, event="retry"))
            delays = [json.loads(row.detail)["delay"] for row in rows]
            assert delays == [5.0, 5.0, 5.0]
            record = place.record(result)
            assert record.ended_ms is not None
            assert 15_000 <= record.ended_ms - record.enqueued_ms < 25_000
