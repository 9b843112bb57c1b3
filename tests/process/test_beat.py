"""Real beats: the tutorial's project, beside workers and inside them, killed and started again."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reliable_tasks import crontab
from reliable_tasks.beat.encoding import slot_id
from reliable_tasks.beat.zones import to_ms
from reliable_tasks.store.values import MessageQuery
from tests.patience import PATIENCE_S
from tests.process.harness import Place, Worker, wait_until
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reliable_tasks.store.values import Entry, Record

APP = """
from reliable_tasks import App as Celery

app = Celery('demo')
app.config_from_object('config')
"""
CONFIG = """
from datetime import timedelta
from reliable_tasks.schedules import crontab

BROKER_URL = {url!r}
CELERY_TIMEZONE = 'Asia/Shanghai'

CELERY_IMPORTS = (
    'task1',
    'task2'
)

CELERYBEAT_SCHEDULE = {{
    'add-every-2-seconds': {{
        'task': 'task1.add',
        'schedule': timedelta(seconds=2),
        'args': (5, 8)
    }},
    'multiply-at-some-time': {{
        'task': 'task2.multiply',
        'schedule': crontab(hour=9, minute=50),
        'args': (3, 7)
    }}
}}
"""
TASK1 = """
import time
from app import app

@app.task
def add(x, y):
    time.sleep(0.1)
    return x + y
"""
TASK2 = """
import time
from app import app

@app.task
def multiply(x, y):
    time.sleep(0.1)
    return x * y
"""
FAST = """
import os
from reliable_tasks import App

app = App('fast', broker=os.environ['STORE_URL'])

@app.task
def tick():
    pass

@app.on_after_configure.connect
def setup_periodic_tasks(sender, **kwargs):
    sender.add_periodic_task(0.2, tick.s(), name='fast', catch_up='all')
"""


@pytest.fixture
def start_beat(place: Place) -> Callable[..., Worker]:
    return beat_starter(place)


def beat_starter(place: Place) -> Callable[..., Worker]:
    """A function that starts a beat, which ends with the place."""

    def start(module: str) -> Worker:
        number = len(place._workers)
        log = place.path / f"beat-{number}.log"
        command = [sys.executable, "-m", "reliable_tasks", "-A", module, "beat", "-l", "INFO"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=place.path,
                env=place._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        beat = Worker(process, f"beat {number}", log)
        place._workers.append(beat)
        return beat

    return start


def write_tutorial(place: Place) -> None:
    place.write("app.py", APP.lstrip())
    place.write("config.py", CONFIG.format(url=place.store_url).lstrip())
    place.write("task1.py", TASK1.lstrip())
    place.write("task2.py", TASK2.lstrip())


def entry_of(place: Place, name: str) -> Entry:
    return next(entry for entry in place.store.entries() if entry.name == name)


def messages_of(place: Place, task: str) -> list[Record]:
    return [r for r in place.store.find(MessageQuery(limit=10_000)) if r.task == task]


def results(place: Place, task: str) -> list[bytes | None]:
    return [r.result for r in messages_of(place, task) if r.state == "succeeded"]


def check_tutorial(place: Place) -> None:
    wait_until(lambda: len(results(place, "task1.add")) >= 2, "two slots have run")
    assert set(results(place, "task1.add")) == {b"13"}
    entry = entry_of(place, "add-every-2-seconds")
    last, namespace = entry.last_ms or 0, place.store.options.namespace
    slots = [slot_id(namespace, entry.name, last - 2000 * n) for n in range(entry.runs)]
    assert {record.id for record in messages_of(place, "task1.add")} >= set(slots)
    assert results(place, "task2.multiply") == []
    morning = entry_of(place, "multiply-at-some-time")
    slot = crontab(hour=1, minute=50).next_slot(datetime.now(UTC))  # Shanghai is 8 hours ahead
    assert slot is not None
    assert morning.next_ms == to_ms(slot)


def test_the_tutorials_project_runs_with_beat_and_worker(
    place: Place, start_beat: Callable[..., Worker]
) -> None:
    write_tutorial(place)
    beat = start_beat("app")
    worker = place.start_worker("-c", "1", module="app")
    check_tutorial(place)
    assert beat.stop() == 0
    assert worker.stop() == 0
    assert "beat.stopped" in beat.log


def test_the_tutorials_project_runs_with_worker_b(place: Place) -> None:
    write_tutorial(place)
    worker = place.start_worker("-B", "-c", "1", module="app")
    check_tutorial(place)
    assert worker.stop() == 0
    assert "beat.stopped" in worker.log
    assert worker.children == []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_beat_of_a_worker_ends_with_it_however_that_ends(place: Place) -> None:
    write_tutorial(place)
    worker = place.start_worker("-B", "-c", "1", module="app")
    wait_until(lambda: messages_of(place, "task1.add"), "it has fired")
    worker.signal(signal.SIGKILL)
    worker.wait()
    wait_until(lambda: not worker.children, "nothing of it is left")
    assert "beat.stopped" in worker.log


def test_beats_that_are_killed_and_started_at_random_fire_each_slot_once(
    place: Place, start_beat: Callable[..., Worker]
) -> None:
    place.write("fast.py", FAST.lstrip())
    dice = random.Random(7)
    beats = [start_beat("fast") for _ in range(3)]
    wait_until(lambda: len(place.store.entries()) == 1, "the schedule is there")
    until = time.monotonic() + 7
    while time.monotonic() < until:
        # Some of the time nobody is there to fire, so that there is something to catch up on.
        victims = dice.sample(range(3), dice.choice((1, 1, 2, 3)))
        goal = entry_of(place, "fast").runs + dice.randint(1, 8)
        wait_until(lambda: entry_of(place, "fast").runs >= goal, "slots are fired")  # noqa: B023
        for index in victims:
            beats[index].kill_tree()
        for index in victims:
            beats[index] = start_beat("fast")
    wait_until(lambda: (entry_of(place, "fast").next_ms or 0) > place.store.now_ms(), "caught up")
    for beat in beats:
        wait_until(lambda: "beat.started" in beat.log, "it can be told to stop")  # noqa: B023
        assert beat.stop() == 0
    entry = entry_of(place, "fast")
    assert entry.last_ms is not None
    assert entry.missed == 0
    first = entry.last_ms - 200 * (entry.runs - 1)
    namespace = place.store.options.namespace
    slots = range(first, entry.last_ms + 1, 200)
    wanted = {slot_id(namespace, "fast", slot) for slot in slots}
    assert {record.id for record in messages_of(place, "fast.tick")} == wanted
    assert entry.runs == len(wanted) >= 30


def test_a_sleeping_beat_hears_of_changes(place: Place, start_beat: Callable[..., Worker]) -> None:
    place.write("fast.py", FAST.replace("0.2, tick.s()", "86400, tick.s()").lstrip())
    beat = start_beat("fast")
    wait_until(lambda: "beat.changed" in beat.log, "it has begun")
    place.app.schedules.add("new", 0.5, "theirs", allow_unknown=True)
    wait_until(lambda: messages_of(place, "theirs"), "the new entry has fired")
    place.app.schedules.pause("new")
    count = len(messages_of(place, "theirs"))
    place.app.schedules.add("newer", 1, "others", allow_unknown=True)
    wait_until(lambda: messages_of(place, "others"), "the newest entry has fired")
    assert len(messages_of(place, "theirs")) <= count + 1
    beat.signal(signal.SIGINT)
    assert beat.wait() == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_task_that_nobody_registered_is_an_error_at_start(place: Place) -> None:
    wrong = "app.conf.beat_schedule = {'x': {'task': 'fast.tik', 'schedule': 60}}"
    place.write("fast.py", f"{FAST.lstrip()}\n{wrong}\n")
    for command in (["beat"], ["worker", "-B"]):
        done = subprocess.run(
            [sys.executable, "-m", "reliable_tasks", "-A", "fast", *command],
            cwd=place.path,
            env=place._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 2
        assert "'x': no task is registered as 'fast.tik'; did you mean 'fast.tick'?" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def durable_server() -> Iterator[RedisServer]:
    with RedisServer(appendonly=True) as server:
        yield server


def test_a_beat_goes_on_by_itself_after_the_store_was_away(
    durable_server: RedisServer, tmp_path: Path
) -> None:
    with contextlib.closing(Place(tmp_path, durable_server.url)) as place:
        place.write("fast.py", FAST.lstrip())
        beat = beat_starter(place)("fast")
        wait_until(lambda: messages_of(place, "fast.tick"), "it fires")
        durable_server.kill9()
        wait_until(lambda: "beat.failed" in beat.log, "it says so")
        durable_server.restart()
        runs = entry_of(place, "fast").runs
        wait_until(lambda: entry_of(place, "fast").runs > runs + 5, "it fires again")
        assert beat.stop() == 0
        entry = entry_of(place, "fast")
        assert entry.missed == 0
        assert len(messages_of(place, "fast.tick")) == entry.runs


def test_a_beat_that_starts_while_the_store_is_away_waits_for_it(
    durable_server: RedisServer, tmp_path: Path
) -> None:
    with contextlib.closing(Place(tmp_path, durable_server.url)) as place:
        place.write("fast.py", FAST.lstrip())
        durable_server.kill9()
        beat = beat_starter(place)("fast")
        wait_until(lambda: "beat.failed" in beat.log, "it says so")
        durable_server.restart()
        wait_until(lambda: messages_of(place, "fast.tick"), "it fires")
        assert beat.stop() == 0
