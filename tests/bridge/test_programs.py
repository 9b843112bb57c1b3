"""Programs of a Celery tutorial at a broker: with another import, and with none."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.bridge.conftest import redis_server
from tests.process.harness import Place, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ
    from tests.bridge.zookeeper import ZooKeeper

__all__ = ["redis_server"]

GEVENT = """
import gevent.monkey
from gevent import monkey
monkey.patch_all()

import time
from celery import Celery

app = Celery(broker='amqp://', backend='rpc')

@app.task
def add(x, y):
    return x + y

def on_result_ready(result):
    print('Received result for id %r: %r' % (result.id, result.result))

add.delay(2, 2).then(on_result_ready)
"""

FIRST = """
from celery import Celery
# 配置 broker
broker = 'redis://localhost:6379/1'
# 配置backend, 用来存储任务结果
backend = 'redis://localhost:6379/0'
app = Celery('tasks', broker=broker, backend=backend)

# 普通函数装饰为 celery task
@app.task
def add(x, y):
    return x + y

# 普通函数装饰为 celery task
@app.task
def multify(x, y):
    return x * y
"""

MAIN = """
from task import add, multify

if __name__ == '__main__':
    # delay 会把这个任务写到任务队列然后返回
    res = add.delay(2, 3)
    # task id 是 celery 返回的
    print(res)
    # 没有取到值会一直堵塞住
    print(res.get())
    try:
        multify.delay('a', 'b').get()
    except TypeError as e:
        print('TypeError', e)
"""

OURS = ("from celery import Celery", "from reliable_tasks import App as Celery")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.closing(Place(tmp_path, f"sqlite:///{tmp_path}/store.db")) as opened:
        yield opened


def empty(rabbitmq: RabbitMQ, *queues: str) -> None:
    connection = rabbitmq.connect()
    for name in queues:
        channel = connection.channel()
        channel.queue_delete(name)
    connection.close()


def test_the_gevent_program_runs_with_another_import(place: Place, rabbitmq: RabbitMQ) -> None:
    empty(rabbitmq, "celery")
    source = GEVENT.replace(*OURS).replace("'amqp://'", repr(rabbitmq.url))
    place.write("prog.py", source.lstrip())
    settings = {"store_url": place.store_url}
    worker = place.start_worker("-c", "1", module="prog", settings=settings)
    said = place.python("-c", "import prog")
    assert said.startswith("Received result for id '")
    assert said.endswith("': 4\n")
    assert "until the bridge has stored a message the broker's promises hold" in worker.log
    assert worker.stop() == 0
    wait_until(lambda: not worker.children, "the bridge and what tells results have ended")


@pytest.mark.parametrize("kind", ["rpc", "memcached", "postgres"])
def test_the_first_program_is_an_unchanged_producer(
    place: Place, rabbitmq: RabbitMQ, request: pytest.FixtureRequest, kind: str
) -> None:
    empty(rabbitmq, "celery")
    source = FIRST.replace("'redis://localhost:6379/1'", repr(rabbitmq.url))
    backend = backend_of(request, kind)
    source = source.replace("'redis://localhost:6379/0'", repr(backend))
    place.write("task.py", source.lstrip())
    place.write("main.py", MAIN.lstrip())
    (place.path / "ours").mkdir()
    place.write("ours/task.py", source.replace(*OURS).lstrip())
    settings = {"store_url": place.store_url}
    worker = place.start_worker("-c", "1", "--workdir", "ours", module="task", settings=settings)
    _, value, error = place.python("main.py").splitlines()
    assert value == "5"
    assert error.startswith("TypeError can't multiply sequence")
    assert worker.stop() == 0


def backend_of(request: pytest.FixtureRequest, kind: str) -> str:
    if kind == "rpc":
        return "rpc://"
    if kind == "memcached":
        return str(request.getfixturevalue("memcached").url)
    return f"db+{request.getfixturevalue('postgres_server').url}"


def test_the_same_through_zookeeper(
    place: Place, zookeeper: ZooKeeper, request: pytest.FixtureRequest
) -> None:
    source = FIRST.replace("'redis://localhost:6379/1'", repr(zookeeper.url))
    backend = backend_of(request, "memcached")
    source = source.replace("'redis://localhost:6379/0'", repr(backend))
    place.write("task.py", source.replace(*OURS).lstrip())
    place.write("main.py", MAIN.lstrip())
    settings = {"store_url": place.store_url, "task_default_queue": "of-the-tutorial"}
    place.start_worker("-c", "1", module="task", settings=settings)
    place._env["RELIABLE_TASKS_TASK_DEFAULT_QUEUE"] = "of-the-tutorial"
    _, value, error = place.python("main.py").splitlines()
    assert (value, error[:9]) == ("5", "TypeError")


def test_the_bridge_ends_with_a_worker_that_is_killed(place: Place, rabbitmq: RabbitMQ) -> None:
    source = FIRST.replace("'redis://localhost:6379/1'", repr(rabbitmq.url))
    place.write(
        "task.py", source.replace(*OURS).replace("redis://localhost:6379/0", "rpc").lstrip()
    )
    settings = {"store_url": place.store_url}
    worker = place.start_worker("-c", "1", module="task", settings=settings)
    wait_until(lambda: "bridge.started" in worker.log, "the bridge runs")
    worker.signal(signal.SIGKILL)
    worker.process.wait()
    wait_until(lambda: not worker.children, "all of it is gone")


CELERYS = """
from celery import Celery

app = Celery("tasks", broker=BROKER, backend="rpc://")
app.conf.task_default_queue = "of-celery"


@app.task(name="shop.describe", bind=True)
def describe(self, x):
    request = self.request
    return [x, request.shadow, request.timelimit, request.headers["tenant"], request.root_id]


@app.task(name="shop.fail")
def fail(key):
    raise KeyError(key, 2)
"""

OUR_PRODUCER = """
from reliable_tasks import App

app = App("tasks", broker=BROKER, backend="rpc://")
app.conf.task_default_queue = "of-celery"

if __name__ == "__main__":
    how = {"countdown": 0.1, "expires": 600, "shadow": "s", "time_limit": 60}
    result = app.send_task("shop.describe", ({"a": [1]},), headers={"tenant": "t"}, **how)
    value = result.get(timeout=100)
    print(value[:4], value[4] == result.id)
    try:
        app.send_task("shop.fail", ("k",)).get(timeout=100)
    except KeyError as error:
        print(error.args)
"""


def test_a_worker_of_celerys_takes_what_an_app_publishes(place: Place, rabbitmq: RabbitMQ) -> None:
    empty(rabbitmq, "of-celery")
    place.write("theirs.py", CELERYS.replace("BROKER", repr(rabbitmq.url)))
    place.write("ours.py", OUR_PRODUCER.replace("BROKER", repr(rabbitmq.url)))
    command = [sys.executable, "-m", "celery", "-A", "theirs", "worker", "--pool", "solo"]
    with (place.path / "celery.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=place.path, stdout=log, stderr=log)
    try:
        said = place.python("ours.py").splitlines()
    finally:
        worker.kill()
        worker.wait()
    assert said == ["[{'a': [1]}, 's', [60.0, None], 't'] True", "('k', 2)"]
