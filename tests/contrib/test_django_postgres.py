"""Connections to a database that is a server: kept, restarted, not shared with forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contrib.django_projects import Project
from tests.contrib.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path

WHICH = """
from shop.tasks import backend_pid
handles = [backend_pid.delay() for _ in range(2)]
print(*[handle.get(timeout=100) for handle in handles], *[handle.retries for handle in handles])
"""
FORK = """
import os
from django.db import connection
from reliable_tasks.contrib.django.connections import after_fork
from shop.tasks import backend_pid
mine = backend_pid()
reads, writes = os.pipe()
if os.fork() == 0:
    try:
        after_fork()
        os.write(writes, str(backend_pid()).encode())
        connection.close()
    finally:
        os._exit(0)
os.wait()
print(int(os.read(reads, 20)) != mine, backend_pid() == mine)
"""


def test_connections_are_kept_outlive_a_restart_and_are_not_shared(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    with postgres() as server:
        database = server.settings(CONN_MAX_AGE=600)
        with Project(
            "django_celery_layout", tmp_path, SHOP_STORE=store, SHOP_DATABASE=database
        ) as project:
            project.start("reliable-tasks", "-A", "proj", "worker", "-c", "1")
            first = project.shell(WHICH).split()
            assert first[0] == first[1], "the connection was not kept"
            server.restart()
            then = project.shell(WHICH).split()
            assert then[0] == then[1] != first[0]
            assert then[2:] == ["0", "0"], "the restart has cost an attempt"
            assert project.shell(FORK) == "True True"
