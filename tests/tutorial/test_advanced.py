"""The tutorial's second part: hooks, bind, logging, queues, progress, options and handles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reliable_tasks.core.message import State
from reliable_tasks.store.values import MessageQuery
from tests.process.harness import wait_until
from tests.tutorial.programs import write_program

if TYPE_CHECKING:
    from tests.process.harness import Place

APP = """
from celery import Celery, Task
from celery.utils.log import get_task_logger
import time

app = Celery('tasks', broker='amqp://guest@localhost//')
"""

HOOKS = """
class MyTask(Task):

    def on_success(self, retval, task_id, args, kwargs):
        print('task done: {0}'.format(retval))
        return super(MyTask, self).on_success(retval, task_id, args, kwargs)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        print('task fail, reason: {0}'.format(exc))
        return super(MyTask, self).on_failure(exc, task_id, args, kwargs, einfo)

"""

ADD = """
@app.task(base=MyTask)
def add(x, y):
    return x + y
"""

FAILING_ADD = """
@app.task(base=MyTask)
def add(x, y):
    raise KeyError
    return x + y
"""

BOUND = """
logger = get_task_logger(__name__)

@app.task(bind=True)
def add(self, x, y):
    print(self)
    logger.info(self.request.__dict__)
    return x + y
"""

QUEUED = """
@app.task(bind=True, queue="my_queue")
def add(self, x, y):
    return x + y
"""

PROGRESS = """
@app.task
def add(x, y):
    return x + y

@app.task(bind=True)
def test_mes(self):
    for i in xrange(1, 11):
        time.sleep(0.1)
        self.update_state(state="PROGRESS", meta={'p': i * 10})
    return 'finish'
"""

TRIGGER = r"""
from task import add, test_mes
import sys

def pm(body):
    res = body.get('result')
    if body.get('status') == 'PROGRESS':
        sys.stdout.write('\r任务进度: {0}%'.format(res.get('p')))
        sys.stdout.flush()
    else:
        print('\r')
        print(res)
r = test_mes.delay()
print(r.get(on_message=pm, propagate=False))
"""

PLAIN = """
@app.task
def add(x, y):
    return x + y
"""

CALL = "from tasks import add; print(add.delay(2, 3).get(timeout=100, propagate=False))"


def test_a_task_class_of_your_own_hears_of_success(place: Place) -> None:
    write_program(place, "tasks.py", APP + HOOKS + ADD)
    worker = place.start_worker("--loglevel=info", module="tasks", ready=False)
    assert place.python("-c", CALL) == "5\n"
    wait_until(lambda: "task done: 5" in worker.log, "on_success printed")


def test_a_task_class_of_your_own_hears_of_failure(place: Place) -> None:
    write_program(place, "tasks.py", APP + HOOKS + FAILING_ADD)
    worker = place.start_worker("--loglevel=info", module="tasks", ready=False)
    call = "from tasks import add; print(repr(add.delay(2, 3).get(propagate=False)))"
    assert place.python("-c", call) == "KeyError()\n"
    wait_until(lambda: "task fail, reason:" in worker.log, "on_failure printed")
    assert "task done" not in worker.log


def test_a_bound_task_knows_its_request_and_logs_it(place: Place) -> None:
    write_program(place, "tasks.py", APP + BOUND)
    worker = place.start_worker("--loglevel=info", module="tasks", ready=False)
    call = "from tasks import add; r = add.delay(2, 3); print(r.id, r.get())"
    message_id, result = place.python("-c", call).split()
    assert result == "5"
    wait_until(lambda: "called_directly" in worker.log, "the request was logged")
    assert "<@task: tasks.add of tasks at 0x" in worker.log
    line = next(line for line in worker.log.splitlines() if "called_directly" in line)
    for said in (message_id, "'args': (2, 3)", "'retries': 0", "'called_directly': False"):
        assert said in line


def test_without_bind_a_call_with_the_wrong_number_of_arguments_is_a_type_error(
    place: Place,
) -> None:
    write_program(place, "tasks.py", APP + PLAIN)
    program = """
from tasks import add
try:
    add.delay(2, 3, 4)
except TypeError as exc:
    print(exc)
"""
    assert place.python("-c", program) == "tasks.add(): too many positional arguments\n"


def test_a_task_on_its_own_queue_waits_for_a_worker_that_consumes_it(place: Place) -> None:
    write_program(place, "tasks.py", APP + QUEUED)
    place.start_worker("--loglevel=info", "-c", "1", module="tasks", ready=False)
    mine = place.app.AsyncResult(
        place.python("-c", "from tasks import add; print(add.delay(2, 3))").strip()
    )
    assert place.app.send_task("tasks.add", (1, 1)).get(timeout=100) == 2, "of queue celery"
    assert place.record(mine).state == State.QUEUED
    assert place.record(mine).queue == "my_queue"
    place.start_worker("--queue=my_queue", "--loglevel=info", "-c", "1", module="tasks")
    assert mine.get(timeout=100) == 5


def test_progress_arrives_at_on_message(place: Place) -> None:
    write_program(place, "task.py", APP + PROGRESS)
    write_program(place, "trigger.py", TRIGGER)
    place.start_worker("--loglevel=info", "-c", "1", module="task", ready=False)
    printed = place.python("trigger.py")
    steps = [int(p) for p in re.findall(r"任务进度: (\d+)%", printed)]
    assert len(steps) >= 5
    assert steps == sorted(set(steps)), "each step at most once, in order"
    assert set(steps) <= set(range(10, 101, 10))
    assert printed.split()[-2:] == ["finish", "finish"]


def test_delay_and_apply_async_are_one_and_a_plain_call_enqueues_nothing(place: Place) -> None:
    write_program(place, "tasks.py", APP + PLAIN)
    program = """
from tasks import add
print(add.apply_async((2, 2), queue='lopri', countdown=10))
print(add(3, 3))
"""
    message_id, direct = place.python("-c", program).split()
    assert direct == "6"
    place.start_worker("--queues=lopri,celery", "-c", "1", module="tasks")
    assert place.python("-c", CALL) == "5\n"
    delayed, other = place.store.find(MessageQuery())
    if delayed.id != message_id:
        delayed, other = other, delayed
    assert (delayed.state, delayed.queue) == (State.SCHEDULED, "lopri")
    assert delayed.due_ms == delayed.enqueued_ms + 10_000
    assert (other.state, other.queue) == (State.SUCCEEDED, "celery")


def test_a_handle_is_had_from_an_id_alone(place: Place) -> None:
    write_program(place, "tasks.py", APP + PLAIN)
    program = """
from celery.result import AsyncResult
from tasks import add
xxx = add.delay(2, 3).id
result = AsyncResult(task_id=xxx)
print(result.get(timeout=100), result.state, result.id == xxx, AsyncResult('unknown').state)
"""
    write_program(place, "main.py", program)
    place.start_worker("-c", "1", module="tasks", ready=False)
    assert place.python("main.py").split() == ["5", "SUCCESS", "True", "PENDING"]


def test_then_calls_back_when_the_result_is_ready_without_patching_anything(
    place: Place,
) -> None:
    write_program(place, "tasks.py", APP.replace("'tasks', ", "") + PLAIN)
    program = """
from tasks import add

def on_result_ready(result):
    print('Received result for id %r: %r' % (result.id, result.result))

add.delay(2, 2).then(on_result_ready)
"""
    place.write("main.py", program)
    place.start_worker("-c", "1", module="tasks", ready=False)
    assert re.fullmatch(r"Received result for id '[-0-9a-f]{36}': 4\n", place.python("main.py"))
