"""The tutorial's first part: plain tasks, `delay`, `get` and `ready`."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from tests.process.harness import wait_until
from tests.tutorial.programs import write_program

if TYPE_CHECKING:
    from tests.process.harness import Place

TASK = """
from celery import Celery
broker = 'redis://localhost:6379/1'
backend = 'redis://localhost:6379/0'
app = Celery('tasks', broker=broker, backend=backend)

@app.task
def add(x, y):
    return x + y

@app.task
def multify(x, y):
    return x * y
"""

STARTING = """
from task import add

if __name__ == '__main__':
    print('starting')
    add.delay(2, 3)
    print('ending')
"""

GETTING = """
from task import add

if __name__ == '__main__':
    res = add.delay(2, 3)
    print(res)
    print(res.get())
"""

READY = """
from task import multify

res = multify.delay(4, 5)
print(res.get(timeout=100))
if res.ready():
    data = res.get()
    print('ready', data)
"""


def test_delay_enqueues_and_returns_before_any_worker_runs(place: Place) -> None:
    write_program(place, "task.py", TASK)
    write_program(place, "main.py", STARTING)
    assert place.python("main.py").split() == ["starting", "ending"]
    place.python("main.py")
    place.start_worker("--loglevel=info", "--concurrency=4", module="task", ready=False)
    assert place.python("-c", "import task; print(task.app.main)") == "tasks\n"
    wait_until(lambda: _states(place) == {"succeeded": 2}, "both messages were run")


def _states(place: Place) -> dict[str, int]:
    """Of the database that the tutorial calls its broker."""
    words = "import task; print(dict(task.app.store.counts().states))"
    states: dict[str, int] = eval(place.python("-c", words))
    return states


def test_get_waits_for_the_result_and_a_handle_prints_its_id(place: Place) -> None:
    write_program(place, "task.py", TASK)
    write_program(place, "main.py", GETTING)
    place.start_worker("--loglevel=info", "--concurrency=4", module="task", ready=False)
    message_id, result = place.python("main.py").split()
    assert str(uuid.UUID(message_id)) == message_id
    assert result == "5"


def test_ready_says_whether_get_would_wait(place: Place) -> None:
    write_program(place, "task.py", TASK)
    write_program(place, "main.py", READY)
    place.start_worker("--loglevel=info", "--concurrency=4", module="task", ready=False)
    assert place.python("main.py").split() == ["20", "ready", "20"]
