"""Producers that know nothing of us: the tutorial's program with Celery, and raw JSON over AMQP."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import amqp
import pytest

from reliable_tasks import App
from reliable_tasks.contrib.bridge.bridge import Bridge
from tests.bridge.bridging import app, dead, store_url, work
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bridge.rabbitmq import RabbitMQ

__all__ = ["app", "store_url"]

ROOT = Path(__file__).parents[2]

# The tutorial's first program; only the URLs are those of the test's servers.
PROGRAM = """
from celery import Celery
broker = '{}'
backend = 'rpc://'
app = Celery('tasks', broker=broker, backend=backend)

@app.task
def add(x, y):
    return x + y

@app.task
def multify(x, y):
    return x * y
"""
MAIN = """
from task import add, multify

if __name__ == '__main__':
    print(add.delay(2, 3), multify.delay(4, 5))
"""
FROM = "from celery import Celery"
TO = "from reliable_tasks import App as Celery"


def _python(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def _running(folder: Path, *words: str) -> Iterator[None]:
    process = _python(folder, "-m", "reliable_tasks", "-A", "task", *words)
    try:
        yield
    finally:
        process.terminate()
        said, _ = process.communicate()
    assert process.returncode == 0, said


@pytest.mark.parametrize("broker", ["rabbitmq", "zookeeper"])
def test_the_tutorials_program_sends_and_ours_runs_what_it_sent(
    broker: str, request: pytest.FixtureRequest, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    url = (rabbitmq if broker == "rabbitmq" else request.getfixturevalue(broker)).url
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    store = f"sqlite:///{tmp_path / 'store.db'}"
    for folder, program in (
        (theirs, PROGRAM.format(url)),
        (ours, PROGRAM.format(store).replace(FROM, TO).replace("backend=backend", "")),
    ):
        folder.mkdir()
        (folder / "task.py").write_text(program)
        (folder / "main.py").write_text(MAIN)
    # ZooKeeper has no rpc:// of Celery's to reply by.
    if broker == "zookeeper":
        (theirs / "task.py").write_text(PROGRAM.format(url).replace("'rpc://'", "None"))
    with _python(theirs, "main.py") as sender:
        said, _ = sender.communicate()
    assert sender.returncode == 0, said
    first, second = said.split()[-2:]  # behind what its libraries may say
    with (
        _running(ours, "worker", "-c", "1", "-l", "warning"),
        _running(ours, "bridge", "--from", url, "-Q", "celery"),
        App("here", broker=store, set_as_current=False) as here,
    ):
        results = [here.AsyncResult(name) for name in (first, second)]
        wait_until(lambda: all(result.ready() for result in results), "both have run")
        assert [result.get() for result in results] == [5, 20]


class Until:
    """Stops a bridge once it has taken over so many messages."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.bridge: Bridge | None = None

    def is_set(self) -> bool:
        assert self.bridge is not None
        return self.bridge.counts.stored + self.bridge.counts.refused >= self.count

    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError(f"something is unavailable, to be tried again after {timeout} s")


def test_raw_json_over_amqp(app: App, rabbitmq: RabbitMQ) -> None:
    queue = f"raw-{uuid.uuid4().hex}"
    kind = {"content_type": "application/json"}
    protocol_1 = {"id": "one", "task": "add", "args": [1, 2], "kwargs": {}}
    sent: list[tuple[Any, dict[str, Any]]] = [
        (json.dumps([[3], {"y": 4}, None]), {"id": "two", "task": "add"}),
        (json.dumps(protocol_1), {}),
        ("not JSON", {"id": "broken", "task": "add"}),
        (json.dumps(["a" * 300_000]), {"id": "frames", "task": "add"}),
    ]
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, auto_delete=False)
        for body, headers in sent:
            message = amqp.Message(body, application_headers=headers, delivery_mode=2, **kind)
            channel.basic_publish(message, routing_key=queue)
    until = Until(len(sent))
    until.bridge = Bridge(app, rabbitmq.url, {queue: "ours"})
    counts = until.bridge.run(until)
    assert (counts.stored, counts.refused) == (2, 2)
    work(app, "ours")
    assert [app.AsyncResult(name).get() for name in ("one", "two")] == [3, 7]
    assert "not JSON" in dead(app)["broken"]
    assert "the body of protocol 2 is" in dead(app)["frames"]
    with rabbitmq.connect() as connection:
        assert connection.channel().queue_delete(queue) == 0, "what is stored was acknowledged"
