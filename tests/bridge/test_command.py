"""`reliable-tasks bridge`, as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import kombu
import pytest

from reliable_tasks import App
from tests.patience import PATIENCE_S
from tests.process.conftest import store_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["store_url"]

PROGRAM = """
from reliable_tasks import App
app = App("shop", broker={url!r})
@app.task(name="add")
def add(x, y):
    return x + y
"""


class Command:
    """A folder with a program, a broker made of files, and the command on both."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.queue = f"q-{uuid.uuid4().hex}"  # kombu remembers those of other folders
        (folder / "queue").mkdir()
        (folder / "shop.py").write_text(PROGRAM.format(url=url), encoding="utf-8")
        queue = str(folder / "queue")
        self.options = {"data_folder_in": queue, "data_folder_out": queue}
        self.options |= {"control_folder": str(folder / "control")}

    def send(self, *names: str) -> None:
        with kombu.Connection("filesystem://", transport_options=self.options) as connection:
            queue = connection.SimpleQueue(self.queue)
            for name in names:
                queue.put([[1, 2], {}, {}], headers={"task": "add", "id": name})
            queue.close()

    def start(self, *more: str) -> subprocess.Popen[str]:
        said = ["--from", "filesystem://", "--transport-options", json.dumps(self.options)]
        return subprocess.Popen(
            [sys.executable, "-m", "reliable_tasks", "-A", "shop", "bridge", *said, *more],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stored(self, *names: str) -> list[Any]:
        with App("look", broker=self.url, set_as_current=False) as app:
            return [record and record.queue for record in app.store.read(names)]


@pytest.fixture
def command(tmp_path: Path, store_url: str) -> Command:
    return Command(tmp_path, store_url)


def test_once_takes_over_what_is_there_and_ends(command: Command) -> None:
    command.send("a", "b")
    process = command.start("-Q", f"{command.queue}=ours", "--once")
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, out
    assert f"from    filesystem://\n  queues  {command.queue} as ours" in out
    assert "bridge: stopped; 2 stored, 0 duplicates, 0 dead letters" in out
    assert command.stored("a", "b") == ["ours", "ours"]


def test_once_fails_where_the_broker_is_away(command: Command) -> None:
    process = command.start("--from", "amqp://u:secret@127.0.0.1:1//", "-Q", "q", "--once")
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, out
    assert "amqp://u:***@127.0.0.1:1// does not answer" in out
    assert "Traceback" not in out


def test_it_runs_until_it_is_told_to_stop(command: Command) -> None:
    command.send("a")
    with command.start("-Q", command.queue, "-l", "DEBUG") as process:
        assert process.stdout is not None
        line = ""
        while "bridge.stored" not in line:
            line = process.stdout.readline()
            assert line, "it has ended"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "bridge: stopped; 1 stored" in out
    assert command.stored("a") == [command.queue]
