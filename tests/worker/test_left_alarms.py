"""Signals that an earlier body has arranged for, and that come when another is about to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.attempts.executor import Executor
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from reliable_tasks import App
    from reliable_tasks.store import values as v


class _Interrupted(Executor):
    """An alarm that an earlier body has left behind goes off before the next one begins."""

    alarms = 1

    def begin(self, claim: v.Claim, port: Any) -> Any:
        if self.alarms:
            self.alarms -= 1
            raise KeyboardInterrupt
        return super().begin(claim, port)


@pytest.mark.parametrize("name", POOLS)
def test_an_alarm_left_behind_costs_the_next_message_a_release(app: App, name: str) -> None:
    app.task(name="one")(lambda: 1)
    result = app.send_task("one")
    with Running(app, name, _Interrupted(app, "w@h")):
        assert result.get(timeout=PATIENCE_S) == 1
    (record,) = app.store.read([result.id])
    assert record is not None
    assert (record.delivery, record.bounces) == (1, 1), "counted, so that it can be bounded"


@pytest.mark.parametrize("name", POOLS)
def test_alarms_without_end_make_a_dead_letter(app: App, name: str) -> None:
    app.task(name="one")(lambda: 1)
    result = app.send_task("one")
    executor = _Interrupted(app, "w@h")
    executor.alarms = 1000
    with Running(app, name, executor):
        eventually(lambda: result.state == "FAILURE", "it is a dead letter")
    assert executor.alarms > 900
