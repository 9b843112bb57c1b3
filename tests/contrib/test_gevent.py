"""gevent in a producer: `monkey.patch_all`, `.then` and `get`, as the tutorials have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contrib.django_projects import Project
from tests.patience import PATIENCE_S
from tests.process.conftest import redis_server, store_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["redis_server", "store_url"]

pytest.importorskip("gevent")


def test_the_promise_of_the_tutorial(tmp_path: Path, store_url: str) -> None:
    with Project("gevent_promise", tmp_path, STORE=store_url) as project:
        program = project.start("promise.py")
        project.wait_for("others go on")
        assert "Received" not in project.log()
        worker = project.start("reliable-tasks", "-A", "tasks", "worker", "-c", "1")
        assert program.wait(PATIENCE_S) == 0, project.log()
        assert worker.poll() is None
        said = project.log()
        assert ": 4" in said[said.index("Received result for id '") :].splitlines()[0]
        assert "get 6" in said
        assert "many 380" in said
