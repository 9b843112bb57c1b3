"""Run by `manage.py test`, as the project's own tests are."""

from unittest import mock

from django.contrib.auth.models import Permission, User
from django.core.cache import caches
from django.core.checks import Tags, run_checks
from django.core.management import call_command
from django.db import connection, transaction
from django.test import (
    Client,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from proj import celery_app
from reliable_tasks import App, chain, group
from reliable_tasks.contrib.django.task import DjangoTask, on_commit
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError, StoreUnavailable
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


class Overridden(Bound, SimpleTestCase):
    @override_settings(CELERY_TASK_ALWAYS_EAGER=True)
    def test_what_is_overridden_in_django_holds_for_the_app(self):
        self.assertEqual(add.delay(1, 2).get(), 3)
        self.assertEqual(self.stored(), 0)
        with self.settings(CELERY_TASK_ALWAYS_EAGER=False):
            add.delay(1, 2)
        self.assertEqual(self.stored(), 1)
        self.assertTrue(celery_app.settings.task_always_eager)

    def test_and_no_longer_than_there(self):
        celery_app.conf.task_always_eager = True
        self.addCleanup(setattr, celery_app.conf, "task_always_eager", False)
        with self.settings(CELERY_TASK_ALWAYS_EAGER=False, CELERY_MINE=1):
            self.assertFalse(celery_app.settings.task_always_eager)
            self.assertEqual(celery_app.conf.mine, 1)
        self.assertTrue(celery_app.settings.task_always_eager)
        self.assertNotIn("mine", celery_app.conf)

    def test_of_an_app_that_reads_its_settings_meanwhile(self):
        for namespace in ("CELERY", None):
            app = App("other", set_as_current=False)
            app.config_from_object("django.conf:settings", namespace=namespace)
            with self.settings(CELERY_TASK_ALWAYS_EAGER=True, CELERY_TASK_IGNORE_RESULT=True):
                self.assertTrue(app.settings.task_always_eager)
            self.assertFalse(app.settings.task_always_eager)
            self.assertFalse(app.settings.task_ignore_result)

    def test_of_an_app_that_reads_them_later(self):
        app = App("late", set_as_current=False)
        app.config_from_object("django.conf:settings", namespace="CELERY")
        with self.settings(CELERY_TASK_ALWAYS_EAGER=True):
            pass
        self.assertFalse(app.conf.loaded)
        self.assertFalse(app.settings.task_always_eager)

    def test_a_slip_is_told_where_it_is(self):
        with self.assertRaisesRegex(ConfigError, "did you mean 'CELERY_TASK_ALWAYS_EAGER'"):
            self.enterContext(self.settings(CELERY_TASK_ALWAYS_EGAER=True))
        with self.assertRaisesRegex(ConfigError, "no such time zone"):
            self.enterContext(self.settings(CELERY_TIMEZONE="No/Where"))
        self.assertEqual(celery_app.settings.timezone, "Australia/Tasmania")


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


class AdminPages(Bound, TestCase):
    def setUp(self):
        super().setUp()
        self.seller = User.objects.create_user("seller", password="x", is_staff=True)
        self.client.force_login(self.seller)

    def allow(self, *names):
        self.seller.user_permissions.add(*Permission.objects.filter(codename__in=names))

    def url(self, model):
        return f"/admin/reliable_tasks/{model}/"

    def test_who_may_not_see_does_not(self):
        for model in ("message", "deadletter", "schedule"):
            self.assertEqual(self.client.get(self.url(model)).status_code, 403)
            self.assertEqual(self.client.post(self.url(model)).status_code, 403)
        handle = add.delay(1, 2)
        self.assertEqual(self.client.get(self.url(f"message/{handle.id}")).status_code, 403)

    def test_messages(self):
        self.allow("view_message")
        handle = add.delay(1, "<b>")
        page = self.client.get(self.url("message"), {"task": "shop.tasks.add", "state": "queued"})
        self.assertContains(page, handle.id)
        self.assertNotContains(page, "Revoke")
        page = self.client.get(self.url(f"message/{handle.id}"))
        self.assertContains(page, "&lt;b&gt;")
        self.assertEqual(self.client.get(self.url("message/nobody")).status_code, 404)
        asked = {"command": "revoke", "id": handle.id}
        self.assertEqual(self.client.post(self.url("message"), asked).status_code, 403)
        self.assertEqual(handle.state, "PENDING")
        self.allow("change_message")
        page = self.client.post(self.url("message"), asked, follow=True)
        self.assertContains(page, "1 revoked")
        self.assertEqual(handle.state, "REVOKED")

    def test_a_token_is_asked_for(self):
        self.allow("view_message", "change_message")
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.seller)
        handle = add.delay(1, 2)
        asked = {"command": "revoke", "id": handle.id}
        self.assertEqual(strict.post(self.url("message"), asked).status_code, 403)
        self.assertEqual(handle.state, "PENDING")

    def test_dead_letters(self):
        self.allow("view_deadletter", "change_deadletter", "view_message")
        handle = fail.delay()
        run_until_idle(celery_app)
        page = self.client.get(self.url("deadletter"))
        self.assertContains(page, f'<a href="/admin/reliable_tasks/message/{handle.id}/">')
        self.assertContains(self.client.get(self.url(f"message/{handle.id}")), "no such order")
        asked = {"command": "replay", "id": handle.id}
        page = self.client.post(self.url("deadletter"), asked, follow=True)
        self.assertContains(page, "1 replayed")
        self.assertEqual(handle.state, "PENDING")

    def test_schedules(self):
        self.allow("view_schedule", "change_schedule")
        celery_app.schedules.add("tidy", 3600, "shop.tasks.count_orders")
        self.assertContains(self.client.get(self.url("schedule")), "every 1 h")
        page = self.client.post(
            self.url("schedule"), {"command": "pause", "id": "tidy"}, follow=True
        )
        self.assertContains(page, "1 paused")
        self.assertEqual(celery_app.schedules.get("tidy").state, "paused")
        wrong = {"command": "pause", "id": "tydi"}
        page = self.client.post(self.url("schedule"), wrong, follow=True)
        self.assertContains(page, "no schedule entry")

    def test_a_store_that_is_away_is_told(self):
        self.allow("view_message")
        away = mock.patch.object(celery_app.store, "find", side_effect=StoreUnavailable("away"))
        with away:
            self.assertContains(self.client.get(self.url("message")), "Away")

    def test_there_are_no_tables_and_nothing_to_migrate(self):
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)
        tables = connection.introspection.table_names()
        self.assertEqual([name for name in tables if "reliable" in name], [])


class Checks(SimpleTestCase):
    databases = "__all__"

    def said(self, **how):
        return [found.id for found in run_checks(**how) if "reliable_tasks" in found.id]

    def test_nothing_is_wrong(self):
        self.assertEqual(self.said(), [])

    def test_no_app(self):
        with mock.patch.object(context, "_current_app", None):
            self.assertEqual(self.said(), ["reliable_tasks.E001"])

    def test_a_setting_that_is_not_possible(self):
        with mock.patch.dict(celery_app.conf._values, broker_url="nonsense://"):
            celery_app.conf._snapshot = None
            self.assertEqual(self.said(), ["reliable_tasks.E002"])
        celery_app.conf._snapshot = None

    def test_what_only_tests_want(self):
        celery_app.conf.task_always_eager = True
        self.addCleanup(setattr, celery_app.conf, "task_always_eager", False)
        self.assertIn("reliable_tasks.W001", self.said(include_deployment_checks=True))
        self.assertNotIn("reliable_tasks.W001", self.said())

    def test_a_store_that_does_not_answer(self):
        away = mock.patch.object(celery_app.store, "now_ms", side_effect=StoreUnavailable("away"))
        with away:
            self.assertEqual(self.said(), [])
            self.assertIn("reliable_tasks.E003", self.said(include_deployment_checks=True))
            said = self.said(tags=[Tags.database], databases=["default"])
            self.assertEqual(said, ["reliable_tasks.E003"])
