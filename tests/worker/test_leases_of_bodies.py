"""Locks that a body has taken and forgot: its thread goes on to other bodies, and is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from locks import AsyncLock, Lock
from reliable_tasks import App
from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", POOLS)
def test_a_lease_is_not_renewed_when_its_body_has_ended(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "locks.db")
    with App("leases", broker="sqlite://", set_as_current=False) as app:
        app.store.open_session(v.SessionInfo(id="s", worker="w@h"), 600_000)

        @app.task(name="forgets")
        def forgets() -> int:
            return Lock("plain", path, ttl=0.3).acquire().fence

        @app.task(name="raises")
        def raises() -> None:
            Lock("raised", path, ttl=0.3).acquire()
            raise ValueError("between the two")

        @app.task(name="awaits")
        async def awaits() -> int:
            return (await AsyncLock("async", path, ttl=0.3).acquire()).fence

        with Running(app, name):
            for task in (forgets, raises, awaits):
                task.delay().get(timeout=PATIENCE_S, propagate=False)
            for lock in ("plain", "raised", "async"):
                Lock(lock, path).acquire(timeout=PATIENCE_S).release()
