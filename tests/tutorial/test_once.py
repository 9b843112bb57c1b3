"""The tutorial's supplement: celery_once's program, with its settings and spellings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.process.harness import wait_until
from tests.tutorial.programs import write_program

if TYPE_CHECKING:
    from tests.process.harness import Place

APP = """
from celery import Celery
from celery_once import QueueOnce
from time import sleep

celery = Celery('tasks', broker='amqp://guest@localhost//')
celery.conf.ONCE = {
    'backend': 'celery_once.backends.Redis',
    'settings': {
        'url': 'redis://localhost:6379/0',
        'default_timeout': 60 * 60
    }
}
"""

GRACEFUL = """
@celery.task(base=QueueOnce, once={'graceful': True, 'keys': ['a']})
def slow_add(a, b):
    sleep(30)
    return a + b
"""

STRICT = """
@celery.task(base=QueueOnce, once={'keys': ['a']})
def slow_add(a, b):
    sleep(30)
    return a + b

@celery.task(base=QueueOnce)
def example(n):
    return n + 1
"""


def test_a_graceful_duplicate_gives_the_handle_of_the_message_that_is_there(place: Place) -> None:
    write_program(place, "tasks.py", APP + GRACEFUL)
    place.start_worker("-c", "1", module="tasks")
    program = """
from tasks import slow_add
first = slow_add.apply_async(args=(1, 2))
while first.state != 'STARTED': pass
again = slow_add.apply_async(args=(1, 3))
other = slow_add.delay(2, 3)
print(again == first, again.duplicate, other == first)
"""
    assert place.python("-c", program).split() == ["True", "True", "False"]


def test_a_duplicate_is_an_error_unless_graceful_and_keys_choose_the_arguments(
    place: Place,
) -> None:
    write_program(place, "tasks.py", APP + STRICT)
    worker = place.start_worker("-c", "1", module="tasks")
    program = """
from celery_once import AlreadyQueued
from tasks import slow_add
first = slow_add.delay(1, 2)
slow_add.delay(2, 2)
try:
    slow_add.delay(1, b=3)
except AlreadyQueued as exc:
    print(exc.task_id == first.id, 'already queued' in exc.message)
"""
    write_program(place, "main.py", program)
    assert place.python("main.py").split() == ["True", "True"]
    worker.kill_tree()


def test_a_lone_value_is_taken_as_the_arguments_and_the_key_is_free_afterwards(
    place: Place,
) -> None:
    write_program(place, "tasks.py", APP + STRICT)
    place.start_worker("-c", "1", module="tasks")
    program = """
from tasks import example
for _ in range(3):
    result = example.apply_async(args=(10))
    print(result.get(timeout=100))
"""
    assert place.python("-c", program).split() == ["11", "11", "11"]
    wait_until(lambda: place.store.locks() == (), "no key is left")
