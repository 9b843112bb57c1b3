"""What a child is set up with."""

from __future__ import annotations

import os
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.worker import child
from reliable_tasks.worker.options import WorkerOptions
from reliable_tasks.worker.scoreboard import Scoreboard


class Made(Exception):
    """The consumer is made; the rest is not run."""


def test_it_believes_the_store_for_half_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def consumer(*_: Any, **options: Any) -> None:
        told.update(options)
        raise Made

    monkeypatch.setattr(child, "Consumer", consumer)
    monkeypatch.setattr(child, "_stand_apart", lambda: None)  # pytest may lead a session
    monkeypatch.setattr(child, "_die_with", lambda _: None)
    app = App("t", broker="sqlite://", session_lease=6.0, set_as_current=False)
    with pytest.raises(Made):
        child.run_child(app, WorkerOptions(hostname="w@h"), "s", Scoreboard(1), os.getppid())
    app.close()
    assert told["trusted_s"] == 3.0
