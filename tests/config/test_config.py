"""Settings: defaults, values, and changing them."""

import copy
import datetime as dt
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reliable_tasks.config.conf import (
    Conf,
    Settings,
    check_backend,
    settings_table,
)
from reliable_tasks.config.configured import exception_classes
from reliable_tasks.config.names import NOTED, REFUSED
from reliable_tasks.config.settings import described
from reliable_tasks.core.message import Message
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import StoreOptions
from tests.config.support import error

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"

TUTORIAL = """
from datetime import timedelta
from collections import namedtuple

crontab = namedtuple("crontab", "hour minute")

# Broker and Backend
BROKER_URL = 'redis://127.0.0.1:6379'
CELERY_RESULT_BACKEND = 'redis://127.0.0.1:6379/1'

# Timezone
CELERY_TIMEZONE='Asia/Shanghai'

# import
CELERY_IMPORTS = (
    'task1',
    'task2'
)

# schedules
CELERYBEAT_SCHEDULE = {
    'add-every-30-seconds': {
         'task': 'task1.add',
         'schedule': timedelta(seconds=30),
         'args': (5, 8)
    },
    'multiply-at-some-time': {
        'task': 'task2.multiply',
        'schedule': crontab(hour=9, minute=50),
        'args': (3, 7)
    }
}
"""


# The tutorial ---------------------------------------------------------------------------------


def test_the_tutorials_configuration_loads(modules: Path) -> None:
    (modules / "tutorial_config.py").write_text(TUTORIAL)
    conf = Conf()
    conf.load("tutorial_config")
    settings = conf.settings()
    assert settings.broker_url == "redis://127.0.0.1:6379"
    assert settings.timezone == "Asia/Shanghai"
    assert settings.imports == ("task1", "task2")
    assert settings.beat_schedule["add-every-30-seconds"]["schedule"] == dt.timedelta(seconds=30)
    assert settings.beat_schedule["multiply-at-some-time"]["schedule"].hour == 9
    assert settings.beat_schedule["multiply-at-some-time"]["args"] == (3, 7)
    note = check_backend(settings.broker_url, settings.result_backend)
    assert note is not None
    assert "with the messages" in note
    assert conf.notes == []


# Defaults and the page ------------------------------------------------------------------------


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_table(), (
        "write it again: python -c 'from reliable_tasks.config.conf import settings_table; "
        'print(settings_table(), end="")\' > docs/reference/settings.md'
    )


def test_every_setting_is_described_in_the_page() -> None:
    page = settings_table()
    assert all(f"| `{name}` |" in page for name in described)
    assert all(f"`{name}`" in page for name in (*NOTED, *REFUSED))


def test_defaults_pass_their_own_checks() -> None:
    usual = Settings()
    conf = Conf({name: getattr(usual, name) for name in described})
    assert conf.settings() == usual == Conf().settings()


def test_the_stores_defaults_are_those_of_the_settings() -> None:
    settings, store, message = Settings(), StoreOptions(), Message(id="x", task="t")
    assert settings.audit_expires is not None
    assert settings.result_expires is not None
    assert settings.dead_letter_expires is not None
    assert store == StoreOptions(
        namespace=settings.store_namespace,
        audit=settings.audit,
        audit_ttl_ms=int(settings.audit_expires * 1000),
        max_audit_rows=settings.max_audit_rows or 0,
        max_audit_bytes=settings.max_audit_bytes or 0,
        max_message_bytes=settings.max_message_bytes,
        max_batch=settings.max_batch,
        max_rows=settings.max_query_rows,
        stage_ttl_ms=int(settings.stage_expires * 1000),
        busy_timeout_ms=int(settings.busy_seconds * 1000),
        durable=settings.durable,
    )
    assert message.queue == settings.task_default_queue
    assert message.priority == settings.task_default_priority
    assert message.max_deliveries == settings.max_deliveries
    assert message.result_ttl_ms == settings.result_expires * 1000
    assert message.failure_ttl_ms == settings.dead_letter_expires * 1000


def test_settings_are_frozen_and_can_be_pickled() -> None:
    settings = Conf({"task_routes": {"a.*": "fast"}}).settings()
    with pytest.raises(AttributeError):
        settings.timezone = "Europe/Paris"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_heartbeat_is_a_quarter_of_the_lease_unless_given() -> None:
    assert Settings().heartbeat_seconds == 5.0
    assert Conf({"heartbeat_interval": 2}).settings().heartbeat_seconds == 2.0


# Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("result_expires", dt.timedelta(hours=1), 3600.0),
        ("result_expires", 0, None),
        ("result_expires", None, None),
        ("task_time_limit", 90, 90.0),
        ("worker_concurrency", 0, None),
        ("worker_pool", "processes", "prefork"),
        ("task_serializer", "application/json", "json"),
        ("imports", ["a", "b"], ("a", "b")),
        ("include", "a", ("a",)),
        ("accept_content", {"msgpack", "json"}, ("json", "msgpack")),
        ("accept_content", ["pickle", "json", "yaml"], ("json",)),
        ("timezone", ZoneInfo("Europe/Paris"), "Europe/Paris"),
        ("timezone", dt.UTC, "UTC"),
        ("worker_redirect_stdouts_level", "info", "INFO"),
        ("worker_redirect_stdouts_level", 30, "WARNING"),
        ("durable", "replicas:2", "replicas:2"),
        ("task_always_eager", 1, True),
        ("task_queues", [SimpleNamespace(name="fast"), "slow"], ("fast", "slow")),
        ("task_queues", {"fast": {"exchange": "x"}}, ("fast",)),
        ("task_routes", {"a": "q"}, ({"a": {"queue": "q"}},)),
        ("task_routes", [("a", {"queue": "q"}), ("a", "r")], ({"a": {"queue": "q"}},)),
        ("task_routes", [{"b": "r"}, {"a": "q"}], ({"b": {"queue": "r"}}, {"a": {"queue": "q"}})),
        ("task_routes", [[("b", "r")]], ({"b": {"queue": "r"}},)),
        ("task_routes", None, ()),
        ("task_routes", {"a": {"queue": "q", "routing_key": "x"}}, ({"a": {"queue": "q"}},)),
        ("task_routes", {"a": {"queue": SimpleNamespace(name="q")}}, ({"a": {"queue": "q"}},)),
        (
            "task_publish_retry_policy",
            {"max_retries": None},
            {"max_retries": None, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        ),
        ("broker_url", ["sentinel://a", "sentinel://b"], "sentinel://a;sentinel://b"),
        ("result_exceptions", ["a.Error", KeyError], ("a.Error", KeyError)),
    ],
)  # fmt: skip
def test_values_are_kept_in_one_form(name: str, given: object, kept: object) -> None:
    assert getattr(Conf({name: given}).settings(), name) == kept


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("task_always_eager", "False", "give True or False"),
        ("task_default_priority", 10, "from 0 to 9"),
        ("task_default_priority", True, "whole number"),
        ("max_deliveries", 1.5, "whole number"),
        ("session_lease", 0, "above 0"),
        ("session_lease", float("nan"), "finite"),
        ("session_lease", "20", "seconds as a number"),
        ("task_time_limit", False, "seconds as a number"),
        ("store_busy_timeout", -1, "from 0"),
        ("durable", "replicas:0", "'replicas:N'"),
        ("durable", "disk", "'fsync'"),
        ("audit", "none", "'default', 'all'"),
        ("worker_pool", "gevent", "'asyncio'"),
        ("worker_pool", "thread", "did you mean 'threads'"),
        ("task_serializer", "pickle", "'msgpack'"),
        ("task_serializer", "text", "give one of"),
        ("accept_content", ["pickle"], "at least one of"),
        ("imports", 3, "list or tuple of names"),
        ("imports", ["a", 3], "a non-empty string"),
        ("task_default_queue", "", "non-empty"),
        ("timezone", 5, "name of a time zone"),
        ("beat_schedule", [], "a dict"),
        ("beat_schedule", {"x": {"task": "t"}}, "'schedule'"),
        ("beat_schedule", {"x": 5}, "entry 'x'"),
        ("task_routes", "router", "no dotted name"),
        ("task_routes", {"a": SimpleNamespace(name="q")}, "the name of a queue"),
        ("task_routes", {"a": {"queu": "q"}}, "did you mean 'queue'"),
        ("task_routes", {"a": {"exchange": "q"}}, "no exchanges"),
        ("task_routes", 5, "name or glob"),
        ("task_routes", [5], "name or glob"),
        ("task_routes", {5: "q"}, "by a string"),
        ("task_publish_retry_policy", {"max_retry": 3}, "did you mean 'max_retries'"),
        ("task_publish_retry_policy", {"interval_max": -1}, "from 0"),
        ("ONCE", {1: 2}, "keys must be strings"),
        ("worker_redirect_stdouts_level", "LOUD", "WARNING"),
        ("result_exceptions", [int], "exception class"),
        ("result_exceptions", 5, "tuple of exception classes"),
        ("beat_catch_up", "al", "'all'"),
    ],
)
def test_a_wrong_value_names_setting_value_and_remedy(
    name: str, value: object, remedy: str
) -> None:
    message = error({name: value})
    assert message.startswith(f"{name}=")
    assert repr(value)[:40] in message
    assert remedy in message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task_soft_time_limit": 10, "task_time_limit": 5}, "lower the soft limit"),
        ({"session_lease": 10, "heartbeat_interval": 6}, "half of session_lease"),
        ({"task_serializer": "msgpack"}, "accept_content"),
        ({"result_serializer": "msgpack", "result_accept_content": ["json"]}, "accept_content"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, Any], words: str
) -> None:
    assert words in error(values)


def test_safe_exceptions_can_be_given_by_name() -> None:
    settings = Conf(
        {"result_exceptions": ["zipfile.BadZipFile", "json:JSONDecodeError"]}
    ).settings()
    assert [c.__name__ for c in exception_classes(settings)] == ["BadZipFile", "JSONDecodeError"]
    for wrong in ("zipfile.ZipFile", "zipfile.Nothing", "no_such_module_here.Error"):
        with pytest.raises(ConfigError, match=wrong):
            exception_classes(Conf({"result_exceptions": [wrong]}).settings())


# Changing -------------------------------------------------------------------------------------


def test_the_snapshot_is_kept_until_something_changes() -> None:
    conf = Conf()
    first = conf.settings()
    assert conf.settings() is first
    conf.audit = "all"
    assert conf.settings().audit == "all"
    assert first.audit == "default"


def test_a_dict_can_be_changed_in_place() -> None:
    conf = Conf()
    conf.beat_schedule["a"] = {"task": "t", "schedule": 5}
    first = conf.settings()
    assert conf.settings() is first
    conf.beat_schedule["a"]["args"] = (1,)
    assert conf.settings().beat_schedule == {"a": {"task": "t", "schedule": 5, "args": (1,)}}
    assert "args" not in first.beat_schedule["a"]
    mine: dict[str, Any] = {}
    conf.ONCE = mine
    assert conf.settings().ONCE == {}
    mine["settings"] = {"default_timeout": 60}
    assert conf.settings().ONCE == {"settings": {"default_timeout": 60}}


def test_a_dict_changed_in_place_to_nonsense_is_found() -> None:
    conf = Conf()
    conf.settings()
    conf.beat_schedule["a"] = 5
    with pytest.raises(ConfigError, match=r"beat_schedule=.*entry 'a'"):
        conf.settings()


def test_defaults_of_one_program_do_not_reach_another() -> None:
    Conf().beat_schedule["a"] = {"task": "t", "schedule": 5}
    assert Conf().beat_schedule == {}


def test_an_update_is_whole_or_not_at_all() -> None:
    conf = Conf()
    with pytest.raises(ConfigError):
        conf.update({"timezone": "Europe/Paris"}, audit="none")
    assert conf.settings() == Settings()


def test_a_conf_can_be_read_as_a_mapping_and_copied() -> None:
    conf = Conf({"audit": "all"})
    assert set(conf) == set(described)
    assert dict(conf)["audit"] == "all"
    assert len(conf) == len(described)
    assert copy.deepcopy(conf).settings() == conf.settings()


def test_two_spellings_with_different_values_are_refused() -> None:
    same = {"CELERY_TIMEZONE": "UTC", "timezone": "UTC"}
    assert Conf(same).timezone == "UTC"
    words = error({"CELERY_TIMEZONE": "Asia/Shanghai", "timezone": "UTC"})
    assert "CELERY_TIMEZONE='Asia/Shanghai' and timezone='UTC'" in words
    assert "keep one" in words
