"""Run by `manage.py test`, as the project's own tests are."""

from unittest import mock

from django.core.cache import caches
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from proj import celery_app
from reliable_tasks import chain, group
from reliable_tasks.contrib.django.task import DjangoTask, on_commit
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle

from .models import Order
from .tasks import acount_orders, add, count_orders, fail, rename_order


class Discovery(SimpleTestCase):
    def test_the_app_is_the_one_of_the_project(self):
        self.assertIs(context.app_made(), celery_app)
        self.assertEqual(celery_app.settings.timezone, "Australia/Tasmania")

    def test_tasks_of_installed_apps_are_found(self):
        celery_app.import_modules()
        self.assertIn("shop.tasks.add", celery_app.tasks)
        self.assertIn("proj.celery.debug_task", celery_app.tasks)

    def test_entries_may_name_app_configs_and_functions_give_packages(self):
        for entries in (["shop.apps.ShopConfig"], lambda: ["shop"], None):
            found = celery_app.autodiscover_tasks(entries, force=True)
            self.assertEqual(found, ["shop.tasks"])

    def test_related_name(self):
        self.assertEqual(celery_app.autodiscover_tasks(["shop"], "nothing", force=True), [])
        self.assertEqual(celery_app.autodiscover_tasks(["shop"], None, force=True), ["shop"])
        found = celery_app.autodiscover_tasks(related_name="admin", force=True)
        self.assertIn("django.contrib.auth.admin", found)

    def test_a_package_that_is_not_there_is_told_with_the_line(self):
        with self.assertRaisesMessage(ConfigError, "tests.py:"):
            celery_app.autodiscover_tasks(["shpo"], force=True)


class Bound:
    def setUp(self):
        super().setUp()
        celery_app.import_modules()
        self.enterContext(bound(celery_app))

    def stored(self):
        return sum(celery_app.store.counts().states.values())


class OnCommit(Bound, TransactionTestCase):
    def test_tasks_have_the_class_of_django(self):
        self.assertIsInstance(celery_app.tasks["shop.tasks.add"], DjangoTask)

    def test_stored_at_the_commit(self):
        with transaction.atomic():
            order = Order.objects.create(name="old")
            handle = rename_order.delay_on_commit(order.pk, "new")
            self.assertEqual(self.stored(), 0)
            self.assertEqual(handle.state, "PENDING")
        self.assertEqual(self.stored(), 1)
        run_until_idle(celery_app)
        self.assertEqual(handle.state, "SUCCESS")
        self.assertEqual(Order.objects.get().name, "new")

    def test_not_stored_after_a_rollback(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            handle = add.delay_on_commit(1, 2)
            raise ZeroDivisionError
        self.assertEqual(self.stored(), 0)
        self.assertEqual(handle.state, "PENDING")

    def test_at_once_outside_of_a_transaction(self):
        add.delay_on_commit(1, 2)
        self.assertEqual(self.stored(), 1)

    def test_arguments_are_checked_and_taken_where_the_call_is(self):
        values = [1]
        with transaction.atomic():
            with self.assertRaises(TypeError):
                add.delay_on_commit(1)
            handle = add.apply_async_on_commit((values, [2]), countdown=60)
            values.append(99)
        run_until_idle(celery_app)
        self.assertEqual(handle.get(), [1, 2])

    def test_the_setting_covers_every_way_to_enqueue(self):
        celery_app.conf.enqueue_on_commit = True
        self.addCleanup(setattr, celery_app.conf, "enqueue_on_commit", False)
        with transaction.atomic():
            handles = [
                add.delay(1, 2),
                celery_app.send_task("shop.tasks.add", (1, 2)),
                (add.s(1, 1) | add.s(1)).apply_async(),
                group(add.s(1, 2), add.s(0, 3))(),
                chain(add.s(3, 0)).delay(),
                *celery_app.enqueue_many([add.s(n, 3 - n) for n in range(3)]),
            ]
            self.assertEqual(self.stored(), 0)
        run_until_idle(celery_app)
        self.assertEqual([handle.get() for handle in handles], [3, 3, 3, [3, 3], 3, 3, 3, 3])

    def test_within_a_block(self):
        with transaction.atomic():
            with on_commit():
                add.delay(1, 2)
            self.assertEqual(self.stored(), 0)
            add.delay(1, 2)
            self.assertEqual(self.stored(), 1)
        self.assertEqual(self.stored(), 2)

    def test_eager_calls_run_at_the_commit(self):
        celery_app.conf.task_always_eager = True
        self.addCleanup(setattr, celery_app.conf, "task_always_eager", False)
        with transaction.atomic():
            order = Order.objects.create(name="old")
            rename_order.delay_on_commit(order.pk, "new")
            order.refresh_from_db()
            self.assertEqual(order.name, "old")
        order.refresh_from_db()
        self.assertEqual(order.name, "new")


class CapturedCommits(Bound, TestCase):
    def test_captured_callbacks(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            add.delay_on_commit(1, 2)
            self.assertEqual(self.stored(), 0)
        self.assertEqual(len(callbacks), 1)
        self.assertEqual(self.stored(), 1)


class Connections(Bound, TestCase):
    def test_a_body_works_in_the_transaction_of_a_test(self):
        Order.objects.create(name="one")
        handle = count_orders.delay()
        run_until_idle(celery_app)
        self.assertEqual(handle.get(), 1)

    def test_eager_bodies_leave_the_connections_of_their_caller_alone(self):
        close = "django.db.backends.base.base.BaseDatabaseWrapper.close_if_unusable_or_obsolete"
        with mock.patch(close) as closed:
            self.assertEqual(count_orders.apply().get(), 0)
            closed.assert_not_called()
            count_orders.delay()
            run_until_idle(celery_app)
            self.assertGreaterEqual(closed.call_count, 2)


class OldConnections(Bound, TransactionTestCase):
    def test_a_connection_past_its_age_is_closed_before_and_after_a_body(self):
        connection.ensure_connection()
        connection.close_at = 0
        with mock.patch.object(connection, "close", wraps=connection.close) as close:
            count_orders.delay()
            run_until_idle(celery_app)
        self.assertGreaterEqual(close.call_count, 2)

    def test_after_a_failure_too_and_caches_are_closed(self):
        with mock.patch.object(caches["default"], "close") as close:
            handle = fail.delay()
            run_until_idle(celery_app)
        self.assertEqual(handle.state, "FAILURE")
        self.assertGreaterEqual(close.call_count, 2)

    def test_coroutines_have_theirs_closed_in_the_thread_that_uses_them(self):
        seen = []
        close = "reliable_tasks.contrib.django.connections.renew"
        with mock.patch(close, side_effect=lambda: seen.append(None)):
            handle = acount_orders.delay()
            run_until_idle(celery_app)
        self.assertEqual(handle.state, "SUCCESS")
        self.assertGreaterEqual(len(seen), 2)
