"""What Django asks of a backend in its own tests, and what this one adds."""

import datetime as dt
import pickle
from unittest import mock

import django
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import SimpleTestCase, TransactionTestCase, override_settings
from django.utils import timezone
from reliable_tasks.contrib.django.backend import ReliableTask, ReliableTasksBackend
from reliable_tasks.contrib.django.declared import registered
from reliable_tasks.contrib.django.project import project_app, queues_of_backends
from reliable_tasks.contrib.django.task_results import priority_of
from reliable_tasks.contrib.django.tasks_api import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from reliable_tasks.core.message import State
from reliable_tasks.errors import AlreadyQueued
from reliable_tasks.testing import bound, run_until_idle

from . import tasks
from .tasks import task as task_decorator

OURS = "reliable_tasks.contrib.django.backend.ReliableTasksBackend"
LOGGER = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"


class Bound:
    def setUp(self):
        super().setUp()
        self.app = project_app()
        self.enterContext(bound(self.app))

    def run_all(self):
        return run_until_idle(self.app)


class Contract(Bound, SimpleTestCase):
    def test_the_backend(self):
        self.assertIsInstance(task_backends["default"], ReliableTasksBackend)
        self.assertIsInstance(tasks.noop, ReliableTask)

    def test_enqueue(self):
        for task in (tasks.noop, tasks.anoop):
            with self.subTest(task):
                result = task.enqueue(1, two=3)
                self.assertEqual(result.status, TaskResultStatus.READY)
                self.assertIs(result.is_finished, False)
                self.assertIsNone(result.started_at)
                self.assertIsNone(result.last_attempted_at)
                self.assertIsNone(result.finished_at)
                with self.assertRaisesMessage(ValueError, "Task has not finished yet"):
                    result.return_value
                self.assertEqual(result.task, task)
                self.assertEqual(result.args, [1])
                self.assertEqual(result.kwargs, {"two": 3})
                self.assertEqual(result.attempts, 0)
                self.assertEqual(result, task.get_result(result.id))
                self.run_all()
                result.refresh()
                self.assertEqual(result.status, TaskResultStatus.SUCCESSFUL)
                self.assertIs(result.is_finished, True)
                self.assertGreaterEqual(result.finished_at, result.started_at)
                self.assertIsNotNone(result.last_attempted_at)
                self.assertIsNone(result.return_value)
                self.assertEqual(result.attempts, 1)
                again = task.get_result(result.id)
                self.assertEqual((again.args, again.kwargs), ([1], {"two": 3}))

    async def test_the_async_methods(self):
        result = await tasks.meaning_of_life.aenqueue()
        self.assertEqual(await tasks.meaning_of_life.aget_result(result.id), result)
        self.run_all()
        await result.arefresh()
        self.assertEqual(result.return_value, 42)
        with self.assertRaises(TaskResultDoesNotExist):
            await tasks.meaning_of_life.aget_result("123")

    def test_call(self):
        self.assertEqual(tasks.meaning_of_life.call(), 42)

    async def test_acall(self):
        self.assertEqual(await tasks.meaning_of_life.acall(), 42)
        self.assertIsNone(await tasks.anoop.acall())

    def test_arguments_are_for_json(self):
        with self.assertRaisesMessage(TypeError, "Unsupported type"):
            tasks.noop.enqueue(dt.datetime.now())
        self.assertEqual(tasks.noop.enqueue((1, b"2")).args, [[1, "2"]])

    def test_arguments_fit_the_function(self):
        with self.assertRaises(TypeError):
            tasks.send_mail.enqueue()
        with self.assertRaises(TypeError):
            tasks.which.enqueue(1)

    def test_failure(self):
        result = tasks.fails.enqueue()
        with self.assertLogs(LOGGER, "ERROR") as logs:
            self.run_all()
        self.assertIn("This Task failed due to ValueError", logs.output[0])
        result.refresh()
        self.assertEqual(result.status, TaskResultStatus.FAILED)
        self.assertIs(result.is_finished, True)
        with self.assertRaisesMessage(ValueError, "Task failed"):
            result.return_value
        self.assertIs(result.errors[0].exception_class, ValueError)
        last = "ValueError: This Task failed due to ValueError\n"
        self.assertTrue(result.errors[0].traceback.endswith(last), result.errors[0].traceback)

    def test_a_value_that_is_not_for_json_fails(self):
        result = tasks.complex_return_value.enqueue()
        with self.assertLogs(LOGGER, "ERROR"):
            self.run_all()
        result.refresh()
        self.assertIs(result.errors[0].exception_class, TypeError)
        self.assertIn("Unsupported type", result.errors[0].traceback)

    def test_context(self):
        result = tasks.which.enqueue(more=1)
        self.run_all()
        result.refresh()
        self.assertEqual(result.return_value, [result.id, 1, "RUNNING", 1])

    def test_results_of_others(self):
        with self.assertRaises(TaskResultDoesNotExist):
            tasks.noop.get_result("123")
        result = tasks.anoop.enqueue()
        with self.assertRaisesMessage(Exception, "Task does not match"):
            tasks.noop.get_result(result.id)
        other = self.app.send_task("elsewhere")
        with self.assertRaisesMessage(TaskResultDoesNotExist, "no call of a Django task"):
            tasks.noop.get_result(other.id)

    def test_using(self):
        after = timezone.now() + dt.timedelta(days=1)
        task = tasks.noop.using(priority=-100, queue_name="mail", run_after=after)
        result = task.enqueue()
        record = self.app.store.read([result.id])[0]
        self.assertEqual((record.priority, record.queue), (9, "mail"))
        self.assertEqual(record.state, State.SCHEDULED)
        self.assertAlmostEqual(record.due_ms, after.timestamp() * 1000, delta=1)
        self.assertEqual(task.get_result(result.id).task, task)

    def test_priorities(self):
        self.assertEqual([priority_of(n) for n in (100, 50, 0, -50, -100)], [0, 2, 4, 7, 9])
        ranks = [priority_of(n) for n in range(-100, 101)]
        self.assertEqual(ranks, sorted(ranks, reverse=True))
        late, early = tasks.noop.using(priority=-1).enqueue(), tasks.noop.enqueue()
        self.assertEqual([ran.id for ran in self.run_all()], [early.id, late.id])
        for wrong in (-101, 101, 3.1):
            with self.assertRaisesMessage(InvalidTask, "priority must be a whole number"):
                tasks.noop.using(priority=wrong)

    def test_queues(self):
        with self.assertRaisesMessage(InvalidTask, "Queue 'queue-2' is not valid for backend."):
            tasks.noop.using(queue_name="queue-2")
        self.assertLessEqual({"default", "mail"}, set(queues_of_backends()))
        task = tasks.noop.using(queue_name="mail")
        with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": ["queue-1"]}}):
            with self.assertRaisesMessage(InvalidTask, "Queue 'mail' is not valid for backend"):
                task.enqueue()

    def test_naive_run_after(self):
        with self.assertRaisesMessage(InvalidTask, "run_after must be an aware datetime."):
            tasks.noop.using(run_after=dt.datetime.now())

    def test_functions_that_cannot_be_tasks(self):
        for invalid in (any, self.test_functions_that_cannot_be_tasks, lambda: None):
            with self.assertRaises(InvalidTask):
                task_decorator()(invalid)
        with self.assertRaisesMessage(InvalidTask, "first argument of 'context'"):
            task_decorator(takes_context=True)(tasks.meaning_of_life.func)

    def test_unknown_arguments(self):
        with self.assertRaises(TypeError):
            task_decorator(unknown_param=123)(tasks.noop.func)
        with self.assertRaisesMessage(ImproperlyConfigured, "no option 'enqueue_on_comit'; did"):
            ReliableTasksBackend("x", {"OPTIONS": {"enqueue_on_comit": True}})

    def test_check(self):
        self.assertEqual(list(task_backends["default"].check()), [])

    def test_pickle(self):
        if django.VERSION >= (6, 1):
            self.assertEqual(pickle.loads(pickle.dumps(tasks.rebuild)), tasks.rebuild)

    def test_signals(self):
        seen = []

        def hear(sender, signal, task_result, **_):
            self.assertIs(sender, ReliableTasksBackend)
            seen.append((signal, task_result.id, str(task_result.status)))

        for signal in (task_enqueued, task_started, task_finished):
            signal.connect(hear)
            self.addCleanup(signal.disconnect, hear)
        result = tasks.meaning_of_life.enqueue()
        self.run_all()
        states = ("READY", "RUNNING", "SUCCESSFUL")
        signals = (task_enqueued, task_started, task_finished)
        expected = [(signal, result.id, state) for signal, state in zip(signals, states)]
        self.assertEqual(seen, expected)

    def test_a_receiver_that_raises_costs_nothing(self):
        def broken(**_):
            raise RuntimeError

        for signal in (task_started, task_finished):
            signal.connect(broken)
            self.addCleanup(signal.disconnect, broken)
        result = tasks.meaning_of_life.enqueue()
        with self.assertLogs("django.dispatch", "ERROR"):
            self.run_all()
        result.refresh()
        self.assertEqual(result.return_value, 42)


class ExtraArguments(Bound, SimpleTestCase):
    def test_attempts(self):
        result = tasks.third_time.enqueue()
        self.run_all()
        result.refresh()
        self.assertEqual(result.return_value, ["test@localhost"] * 3)
        self.assertEqual(result.attempts, 3)
        self.assertGreaterEqual(result.last_attempted_at, result.started_at)

    def test_between_attempts(self):
        result = tasks.third_time.enqueue()
        run_until_idle(self.app, advance=False)
        result.refresh()
        self.assertEqual((result.status, result.attempts), (TaskResultStatus.READY, 1))
        self.assertIs(result.errors[0].exception_class, ConnectionError)

    def test_once(self):
        first = tasks.rebuild.enqueue(7)
        second = tasks.rebuild.enqueue(7, reason="again")
        other = tasks.rebuild.enqueue(8)
        self.assertEqual(second.id, first.id)
        self.assertNotEqual(other.id, first.id)
        tasks.alone.enqueue(1)
        with self.assertRaises(AlreadyQueued):
            tasks.alone.enqueue(1)

    def test_wrong_ones_are_told_where_they_are(self):
        for wrong, said in (
            ({"max_attempts": 0}, "max_attempts=0 must be a whole number from 1"),
            ({"backoff": 2}, "needs max_attempts"),
            ({"once": {"kays": []}}, "kays"),
            ({"once": {"keys": ["nobody"]}}, "nobody"),
        ):
            with self.assertRaisesMessage(InvalidTask, said):
                task_decorator(**wrong)(undeclared)
        with self.assertRaisesMessage(InvalidTask, "declared twice"):
            task_decorator(max_attempts=9)(tasks.noop.func)

    def test_revoked(self):
        result = tasks.noop.enqueue()
        self.app.control.revoke(result.id)
        result.refresh()
        self.assertEqual((result.status, result.attempts), (TaskResultStatus.FAILED, 0))
        self.assertEqual(result.errors[0].exception_class.__name__, "TaskRevokedError")

    def test_eager(self):
        self.app.conf.task_always_eager = True
        self.addCleanup(setattr, self.app.conf, "task_always_eager", False)
        self.assertEqual(tasks.meaning_of_life.enqueue().return_value, 42)
        with self.assertLogs(LOGGER, "ERROR"):
            failed = tasks.fails.enqueue()
        self.assertIs(failed.errors[0].exception_class, ValueError)

    def test_it_is_a_task_of_the_app(self):
        name = "shop.tasks.send_mail"
        self.assertIs(self.app.tasks[name], registered(self.app, tasks.send_mail))
        handle = self.app.send_task(name, ("me",), queue="mail")
        self.run_all()
        self.assertEqual(handle.get(), "hello to me")


def undeclared(n=0):
    return n


class Transactions(Bound, TransactionTestCase):
    def test_at_once_by_default(self):
        with transaction.atomic():
            result = tasks.noop.enqueue()
            self.assertIsNotNone(result.enqueued_at)
            self.assertTrue(self.app.AsyncResult(result.id).exists())

    def test_at_the_commit_where_the_backend_says_so(self):
        task = tasks.meaning_of_life.using(backend="at_commit")
        with mock.patch.object(task_enqueued, "send") as send, transaction.atomic():
            result = task.enqueue()
            send.assert_not_called()
            self.assertFalse(self.app.AsyncResult(result.id).exists())
        self.run_all()
        result.refresh()
        self.assertEqual(result.return_value, 42)
