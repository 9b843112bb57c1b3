"""Imports of Celery become those of here, character by character; what cannot is named."""

from __future__ import annotations

import ast
import importlib
import textwrap

import pytest

from reliable_tasks.migrate import Left, rewrite

REWRITTEN = {
    "the app": ("from celery import Celery", "from reliable_tasks import App as Celery"),
    "the app, aliased": ("from celery import Celery as C", "from reliable_tasks import App as C"),
    "from its module": (
        "from celery.app.base import Celery",
        "from reliable_tasks import App as Celery",
    ),
    "the package": ("import celery", "import reliable_tasks as celery"),
    "the package, aliased": ("import celery as c, os", "import reliable_tasks as c, os"),
    "a module": (
        "import celery.signals",
        "import reliable_tasks as celery, reliable_tasks.signals",
    ),
    "a module, aliased": ("import os, celery.states as s", "import os, reliable_tasks.states as s"),
    "from a module": (
        "from celery.schedules import crontab",
        "from reliable_tasks.schedules import crontab",
    ),
    "a module from the package": (
        "from celery import signals, states as st",
        "from reliable_tasks import signals, states as st",
    ),
    "below app": (
        "from celery.app.task import Task as T; x = 1",
        "from reliable_tasks.app.task import Task as T; x = 1",
    ),
    "everything": ("from celery.signals import *", "from reliable_tasks.signals import *"),
    "celery_once": (
        "from celery_once import QueueOnce, AlreadyQueued",
        "from reliable_tasks import QueueOnce, AlreadyQueued",
    ),
    "celery_once's package": ("import celery_once", "import reliable_tasks as celery_once"),
    "its module": (
        "from celery_once.tasks import QueueOnce",
        "from reliable_tasks import QueueOnce",
    ),
    "many lines": (
        """
        from celery import (
            Celery,  # the app
            chain,
            group as g,  # noqa: F401
        )  # so
        """,
        """
        from reliable_tasks import (
            App as Celery,  # the app
            chain,
            group as g,  # noqa: F401
        )  # so
        """,
    ),
    "a backslash": (
        "from celery import chain, \\\n    chord  # two",
        "from reliable_tasks import chain, \\\n    chord  # two",
    ),
    "below a condition": (
        """
        if TYPE_CHECKING:
            from celery.canvas import Signature
        try:
            from celery.result import AsyncResult
        except ImportError:
            AsyncResult = None
        if DEBUG: from celery import shared_task
        def f():
            import celery  # here
        """,
        """
        if TYPE_CHECKING:
            from reliable_tasks.canvas import Signature
        try:
            from reliable_tasks.result import AsyncResult
        except ImportError:
            AsyncResult = None
        if DEBUG: from reliable_tasks import shared_task
        def f():
            import reliable_tasks as celery  # here
        """,
    ),
    "letters of two bytes": (
        "x = 'ü'; from celery import chain  # ß",
        "x = 'ü'; from reliable_tasks import chain  # ß",
    ),
    "nothing of Celery's": (
        "from .celery import app\nfrom celeryx import y\nimport proj.celery\nx = 'celery.y'",
        "from .celery import app\nfrom celeryx import y\nimport proj.celery\nx = 'celery.y'",
    ),
    "names in settings": (
        "app.conf.ONCE = {'backend': 'celery_once.backends.Redis'}",
        "app.conf.ONCE = {'backend': 'celery_once.backends.Redis'}",
    ),
}


def done(text: str) -> tuple[str, list[str]]:
    result = rewrite(text.encode())
    return result.data.decode(), [f"{left.line}: {left.name}" for left in result.left]


@pytest.mark.parametrize("case", REWRITTEN)
def test_an_import_is_rewritten_in_its_place(case: str) -> None:
    before, after = (textwrap.dedent(text).lstrip("\n") for text in REWRITTEN[case])
    assert done(before) == (after, [])
    assert done(after) == (after, [])


def test_what_each_import_becomes_can_be_imported() -> None:
    for _, after in REWRITTEN.values():
        for node in ast.walk(ast.parse(textwrap.dedent(after))):
            text = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom) else ""
            if "import reliable_tasks" in text or "from reliable_tasks" in text:
                exec(text, {})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "from celery.utils import uuid, memoize  # both\n",
            "from reliable_tasks.utils import uuid\nfrom celery.utils import memoize  # both\n",
        ),
        (
            "from celery.utils import memoize, uuid\r\n",
            "from celery.utils import memoize\r\nfrom reliable_tasks.utils import uuid\r\n",
        ),
        (
            "if a: from celery.utils import uuid, memoize\n",
            "if a: from reliable_tasks.utils import uuid; from celery.utils import memoize\n",
        ),
        (
            "from celery.utils import (\n    uuid,\n    memoize,\n    gen_task_name,\n)\n",
            (
                "from reliable_tasks.utils import (\n    uuid,\n    gen_task_name,\n)\n"
                "from celery.utils import memoize\n"
            ),
        ),
        (
            "if a:\n  from celery.utils import (\n    uuid,\n    memoize as m,  # m\n  )\n",
            (
                "if a:\n  from reliable_tasks.utils import (\n    uuid,\n    # m\n  )\n"
                "  from celery.utils import memoize as m\n"
            ),
        ),
    ],
)
def test_a_name_that_is_not_here_stays_in_a_statement_of_its_own(before: str, after: str) -> None:
    text, left = done(before)
    assert text == after
    assert [name.partition(": ")[2] for name in left] == ["celery.utils.memoize"]
    assert done(after)[0] == after


@pytest.mark.parametrize(
    ("program", "name", "words"),
    [
        ("import celery.bin.worker", "celery.bin.worker", "the command is `reliable-tasks`"),
        ("from celery import beat", "celery.beat", "app.schedules"),
        ("from celery.bootsteps import Step", "celery.bootsteps.Step", "worker_init"),
        ("import celery\nx = celery.VERSION", "celery.VERSION", "__version__"),
        ("import celery\nx = celery.utils.memoize", "celery.utils.memoize", "lru_cache"),
        ("from celery import utils\nx = utils.memoize", "celery.utils.memoize", "lru_cache"),
        ("from celery import Celery\na = Celery()\na.amqp.x", "a.amqp", "app.store"),
        ("from celery import current_app\ncurrent_app.amqp", "current_app.amqp", "app.store"),
        ("import celery\na = celery.Celery()\na.steps", "a.steps", "worker_init"),
        ("mock.patch('celery.app.task.Task.run')", "celery.app.task.Task.run", "in a string"),
        ("importlib.import_module('celery')", "celery", "in a string"),
        ("pytest_plugins = ('celery.contrib.pytest',)", "celery.contrib.pytest", "in a string"),
        (
            "from celery.contrib.testing.tasks import ping",
            "celery.contrib.testing.tasks.ping",
            "not",
        ),
        ("from celery.nowhere import x", "celery.nowhere.x", "nothing is known of it"),
        ("from celery_once.backends import Redis", "celery_once.backends.Redis", "locks`"),
        (
            "from celery import Celery\na = Celery()\na.control.broadcast('x')",
            "a.control.broadcast",
            "one by one",
        ),
        ("from kombu import Queue", "kombu.Queue", "task_queues = ["),
        ("from kombu.entity import Exchange as E", "kombu.entity.Exchange", "task_queues = ["),
        (
            "from kombu.exceptions import OperationalError",
            "kombu.exceptions.OperationalError",
            "`reliable_tasks.exceptions.OperationalError`",
        ),
        ("from kombu.exceptions import EncodeError", "kombu.exceptions.EncodeError", "CodecError"),
        ("from kombu.serialization import register", "kombu.serialization.register", "__json__"),
        (
            "from billiard.exceptions import SoftTimeLimitExceeded",
            "billiard.exceptions.SoftTimeLimitExceeded",
            "`reliable_tasks.exceptions.SoftTimeLimitExceeded`",
        ),
        (
            "from django_celery_beat.models import PeriodicTask",
            "django_celery_beat.models.PeriodicTask",
            "app.schedules",
        ),
        ("import django_celery_results.models", "django_celery_results.models", "AsyncResult(id)"),
    ],
)
def test_what_is_not_here_is_named_each_time(program: str, name: str, words: str) -> None:
    first = rewrite(program.encode())
    again = rewrite(first.data)
    assert first.left == again.left
    (left,) = first.left
    assert isinstance(left, Left)
    assert left.line == program.count("\n") + 1
    assert left.name == name
    assert words in left.words


def test_what_is_here_is_not_named() -> None:
    program = (
        "import celery, celery.signals\nfrom celery import Celery, schedules\n"
        "app = Celery()\napp.conf, app.now(), app.task, app.backend, app.tasks\n"
        "celery.signals.task_prerun, celery.schedules.crontab, celery.app.task.Task\n"
        "celery.Celery, celery.uuid(), schedules.crontab(), celery.exceptions.Retry\n"
        "app.control.inspect().active(), app.control.revoke('x'), app.conf.control\n"
        "import kombu\nfrom kombu import Connection\nfrom billiard import Pool\n"
        "from .kombu import Queue\nfrom . import django_celery_beat\n"
    )
    assert rewrite(program.encode()).left == ()


def test_what_the_package_has_under_celerys_names_is_there_without_another_import() -> None:
    celery = importlib.import_module("reliable_tasks")
    for name in ("app", "canvas", "exceptions", "result", "schedules", "signals", "states"):
        assert getattr(celery, name).__name__ == f"reliable_tasks.{name}"


def test_a_mark_at_the_beginning_stays() -> None:
    assert rewrite(b"\xef\xbb\xbfimport celery\n").data == (
        b"\xef\xbb\xbfimport reliable_tasks as celery\n"
    )


def test_literals_that_python_warns_of_are_none_of_our_business() -> None:
    assert rewrite(b'import celery\nx = "\\d"\n').data.endswith(b'x = "\\d"\n')


def test_a_file_that_would_no_longer_parse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("reliable_tasks.migrate.rewrite")
    monkeypatch.setattr(module, "moved_module", lambda _: "not a module")
    with pytest.raises(SyntaxError):
        rewrite(b"import celery\n")
