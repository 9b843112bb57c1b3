"""Settings: names, values, sources, the environment and the store's URL."""

import copy
import datetime as dt
import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reliable_tasks.config.conf import (
    Conf,
    Settings,
    check_backend,
    exception_classes,
    settings_table,
)
from reliable_tasks.config.names import NOTED, OLD_NAMES, REFUSED, resolve
from reliable_tasks.config.settings import described
from reliable_tasks.core.message import Message
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import StoreOptions

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


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory whose modules can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def module(**names: object) -> ModuleType:
    made = ModuleType("settings_of_a_test")
    vars(made).update(names)
    return made


def error(values: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        Conf(values).settings()
    return str(caught.value)


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
        ("task_routes", {"a": "q"}, {"a": {"queue": "q"}}),
        ("task_routes", [("a", {"queue": "q"}), {"a": "r"}], {"a": {"queue": "q"}}),
        ("task_routes", [{"b": "r"}], {"b": {"queue": "r"}}),
        ("task_routes", None, {}),
        ("task_routes", {"a": {"queue": "q", "routing_key": "x"}}, {"a": {"queue": "q"}}),
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
        ("accept_content", ["pickle"], "at least one of"),
        ("imports", 3, "list or tuple of names"),
        ("imports", ["a", 3], "a non-empty string"),
        ("task_default_queue", "", "non-empty"),
        ("timezone", 5, "name of a time zone"),
        ("beat_schedule", [], "a dict"),
        ("beat_schedule", {"x": {"task": "t"}}, "'schedule'"),
        ("beat_schedule", {"x": 5}, "entry 'x'"),
        ("task_routes", lambda name: name, "router functions"),
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


# Names ----------------------------------------------------------------------------------------


def test_present_old_and_prefixed_names_are_one_setting() -> None:
    conf = Conf()
    conf.CELERY_TIMEZONE = "Asia/Shanghai"
    assert conf.timezone == conf["CELERY_TIMEZONE"] == "Asia/Shanghai"
    conf["CELERY_BEAT_CATCH_UP"] = "one"
    assert conf.beat_catch_up == "one"
    assert "BROKER_URL" in conf
    assert "no_such" not in conf
    assert conf.get("no_such", 7) == 7
    assert conf.get("audit") == "default"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CELERY_TASK_RESULT_EXPIRES", "result_expires"),
        ("CELERYD_TASK_SOFT_TIME_LIMIT", "task_soft_time_limit"),
        ("CELERYD_MAX_TASKS_PER_CHILD", "worker_max_tasks_per_child"),
        ("CELERY_EAGER_PROPAGATES_EXCEPTIONS", "task_eager_propagates"),
        ("CELERYBEAT_SCHEDULE", "beat_schedule"),
        ("CELERY_ROUTES", "task_routes"),
        ("CELERY_TASK_SERIALIZER", "task_serializer"),
        ("CELERY_TASK_TRACK_STARTED", "task_track_started"),
        ("CELERYD_PREFETCH_MULTIPLIER", "worker_prefetch_multiplier"),
        ("CELERY_ONCE", "ONCE"),
    ],
)
def test_old_names_are_those_of_celery(old: str, new: str) -> None:
    assert resolve(old) == new


def test_every_old_name_leads_to_a_known_one() -> None:
    assert all(new in described or new in NOTED or new in REFUSED for new in OLD_NAMES.values())
    assert not set(described) & set(NOTED)
    assert not set(described) & set(REFUSED)
    assert not set(NOTED) & set(REFUSED)


def test_an_unknown_name_suggests_the_nearest() -> None:
    conf = Conf()
    with pytest.raises(ConfigError, match="did you mean 'task_serializer'"):
        conf.task_serialiser = "json"
    with pytest.raises(ConfigError, match="'colour' is not a setting"):
        conf.update(colour=1)
    with pytest.raises(AttributeError, match="did you mean 'timezone'"):
        _ = conf.timezon
    with pytest.raises(KeyError):
        _ = conf["timezon"]
    assert not hasattr(conf, "colour")


def test_every_noted_name_is_accepted_with_one_note_that_says_why() -> None:
    conf = Conf()
    for name in NOTED:
        conf[name] = "anything"
        conf[name] = "anything else"
    assert conf.notes == [f"{name}: {why}" for name, why in NOTED.items()]
    assert conf.worker_state_db == "anything else"
    assert conf.settings() == Settings()


def test_noted_names_read_as_what_holds() -> None:
    conf = Conf()
    assert conf.task_acks_late is True
    assert conf.broker_pool_limit is None


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_name_says_what_to_do_and_may_ask_for_nothing(name: str) -> None:
    conf = Conf({name: None})
    assert conf.notes == []
    with pytest.raises(ConfigError) as caught:
        conf[name] = "something"
    assert REFUSED[name] in str(caught.value)


def test_celerys_own_scheduler_is_no_request() -> None:
    Conf({"beat_scheduler": "celery.beat:PersistentScheduler"})
    assert "entries live in the store" in error({"CELERYBEAT_SCHEDULER": "other:Scheduler"})


def test_settings_with_a_catch_get_a_note() -> None:
    conf = Conf(
        {
            "broker_transport_options": {"visibility_timeout": 3600},
            "CELERY_ACCEPT_CONTENT": ["pickle", "json"],
        }
    )
    assert "visibility_timeout is not needed" in conf.notes[0]
    assert "pickle" in conf.notes[1]
    assert conf.settings().accept_content == ("json",)


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


# Sources --------------------------------------------------------------------------------------


def test_of_a_module_only_what_looks_like_a_setting_counts() -> None:
    conf = Conf()
    conf.load(
        module(
            timezone=dt.timezone,
            include=len,
            os=sys,
            helper=5,
            SECRET_KEY="x",
            audit="all",
            ONCE={"backend": "celery_once.backends.Redis"},
        )
    )
    assert conf.settings() == Settings(audit="all", ONCE={"backend": "celery_once.backends.Redis"})
    assert conf.notes == []


def test_a_near_miss_in_a_module_gets_a_note() -> None:
    conf = Conf()
    conf.load(module(task_serialiser="json"))
    assert conf.notes == [
        "task_serialiser: no setting has this name; did you mean 'task_serializer'?"
    ]


def test_an_unknown_upper_case_name_in_a_module_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'CELERY_TIMEZONE'"):
        Conf().load(module(CELERY_TIMEZON="UTC"))


def test_a_router_function_in_a_module_is_refused_not_ignored() -> None:
    with pytest.raises(ConfigError, match="router functions"):
        Conf().load(module(task_routes=lambda name: name))


def test_an_object_is_a_source() -> None:
    class Config:
        broker_url = "sqlite://"
        CELERY_TIMEZONE = "Europe/Paris"
        other = 3

    for source in (Config, Config()):
        conf = Conf()
        conf.load(source)
        assert conf.settings() == Settings(broker_url="sqlite://", timezone="Europe/Paris")


def test_every_key_of_a_dict_must_be_known() -> None:
    with pytest.raises(ConfigError, match="'helper' is not a setting"):
        Conf().load({"helper": 1})


def test_a_namespace_takes_its_names_only() -> None:
    conf = Conf()
    conf.load(
        module(
            CELERY_BROKER_URL="sqlite://",
            CELERY_TASK_TIME_LIMIT=5,
            CELERY_ONCE={"settings": {"default_timeout": 3}},
            CELERY_ALWAYS_EAGER=True,
            BROKER_URL="redis://elsewhere",
            timezone="Europe/Paris",
        ),
        namespace="CELERY",
    )
    assert conf.settings() == Settings(
        broker_url="sqlite://",
        task_time_limit=5.0,
        task_always_eager=True,
        ONCE={"settings": {"default_timeout": 3}},
    )
    other = Conf()
    other.load({"QUEUE_AUDIT": "all", "x": 1}, namespace="QUEUE_")
    assert other.audit == "all"
    with pytest.raises(ConfigError, match="did you mean 'CELERY_TIMEZONE'"):
        Conf().load(module(CELERY_TIMEZON="UTC"), namespace="CELERY")


def test_a_dotted_name_is_imported_when_first_needed(modules: Path) -> None:
    conf = Conf()
    conf.load("late_config")
    (modules / "late_config.py").write_text("audit = 'all'\nclass Inner:\n    audit = 'default'\n")
    assert conf.audit == "all"
    for name in ("late_config:Inner", "late_config.Inner"):
        conf.load(name, force=True)
        assert conf.audit == "default"
        conf.audit = "all"


def test_what_is_assigned_after_a_dotted_name_wins(modules: Path) -> None:
    (modules / "first_config.py").write_text("audit = 'all'\ntimezone = 'Europe/Paris'\n")
    conf = Conf()
    conf.load("first_config")
    conf.audit = "default"
    assert conf.settings() == Settings(timezone="Europe/Paris")


def test_a_configuration_may_look_at_the_conf_that_loads_it(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "looking_config.py").write_text(
        "import shared_by_test\naudit = 'all' if shared_by_test.conf.audit == 'default' else 0\n"
    )
    conf = Conf()
    monkeypatch.setitem(sys.modules, "shared_by_test", SimpleNamespace(conf=conf))
    conf.load("looking_config")
    assert conf.audit == "all"


@pytest.mark.parametrize(
    "name",
    ["no_such_module_here", "no_such_module_here:x", "json:nothing", "json.nothing", "a b", ""],
)
def test_what_cannot_be_imported_is_an_error_each_time_it_is_needed(name: str) -> None:
    conf = Conf()
    conf.load(name)
    for _ in range(2):
        with pytest.raises(ConfigError, match="configuration"):
            conf.settings()
    with pytest.raises(ConfigError, match="configuration"):
        Conf().load(name, force=True)


def test_silent_goes_on_with_a_note() -> None:
    conf = Conf()
    conf.load("no_such_module_here", silent=True)
    assert conf.settings() == Settings()
    assert "no_such_module_here" in conf.notes[0]


def test_a_fault_inside_the_configuration_is_shown_as_it_is(modules: Path) -> None:
    (modules / "faulty_config.py").write_text("import sys\nsys.nothing\n")
    with pytest.raises(AttributeError, match="nothing"):
        Conf().load("faulty_config", force=True)


def test_a_configuration_that_imports_what_is_missing_names_it(modules: Path) -> None:
    (modules / "needy_config.py").write_text("import no_such_module_here\n")
    with pytest.raises(ConfigError, match=r"needy_config.*no_such_module_here"):
        Conf().load("needy_config", force=True)


def test_a_variable_names_the_module(modules: Path) -> None:
    (modules / "named_config.py").write_text("audit = 'all'\n")
    conf = Conf()
    assert conf.load_envvar("MY_CONFIG", {"MY_CONFIG": "named_config"}) is True
    assert conf.audit == "all"
    with pytest.raises(ConfigError, match="MY_CONFIG is not set"):
        conf.load_envvar("MY_CONFIG", {})
    assert conf.load_envvar("MY_CONFIG", {}, silent=True) is False


# The environment ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("BROKER_URL", "sqlite://", "broker_url", "sqlite://"),
        ("TASK_ALWAYS_EAGER", "Yes", "task_always_eager", True),
        ("TASK_PUBLISH_RETRY", "0", "task_publish_retry", False),
        ("MAX_DELIVERIES", "7", "max_deliveries", 7),
        ("SESSION_LEASE", "7.5", "session_lease", 7.5),
        ("RESULT_EXPIRES", "none", "result_expires", None),
        ("WORKER_LOG_JSON", "true", "worker_log_json", True),
        ("IMPORTS", "a, b,", "imports", ("a", "b")),
        ("TASK_ROUTES", '{"a.*": "fast"}', "task_routes", {"a.*": {"queue": "fast"}}),
        ("ONCE", '{"settings": {"url": "x"}}', "ONCE", {"settings": {"url": "x"}}),
        ("AUDIT", " all ", "audit", "all"),
    ],
)  # fmt: skip
def test_variables_are_read_as_their_settings_type(
    variable: str, text: str, name: str, value: object
) -> None:
    conf = Conf()
    conf.load_env({f"RELIABLE_TASKS_{variable}": text, "HOME": "/"})
    assert getattr(conf.settings(), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        ("TASK_ALWAYS_EAGER", "perhaps", "true or false"),
        ("MAX_DELIVERIES", "many", "whole number"),
        ("MAX_DELIVERIES", "0", "from 1"),
        ("SESSION_LEASE", "long", "a number"),
        ("ONCE", "{", "JSON"),
        ("ONCE", "[]", "a dict"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, remedy: str) -> None:
    conf = Conf()
    with pytest.raises(ConfigError, match=f"RELIABLE_TASKS_{variable}=.*{remedy}"):
        conf.load_env({f"RELIABLE_TASKS_{variable}": text})
    assert conf.settings() == Settings()


def test_the_environment_wins_over_sources_and_an_assignment_over_the_environment() -> None:
    conf = Conf()
    conf.load({"audit": "all", "timezone": "Europe/Paris"})
    conf.load_env({"RELIABLE_TASKS_TIMEZONE": "Asia/Tokyo"})
    conf.load({"timezone": "Europe/Rome"})
    assert conf.timezone == "Asia/Tokyo"
    assert conf.audit == "all"
    conf.timezone = "Europe/Oslo"
    assert conf.timezone == conf.settings().timezone == "Europe/Oslo"


def test_a_variable_that_is_no_setting_gets_a_note() -> None:
    conf = Conf()
    conf.load_env({"RELIABLE_TASKS_SERVICE_HOST": "10.0.0.1", "RELIABLE_TASKS_TIMEZON": "x"})
    assert conf.notes[0].startswith("RELIABLE_TASKS_SERVICE_HOST: no setting has this name")
    assert "did you mean 'RELIABLE_TASKS_TIMEZONE'" in conf.notes[1]
