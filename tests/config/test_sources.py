"""Where settings come from: modules, objects, dicts and the environment."""

import datetime as dt
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reliable_tasks.config.conf import (
    Conf,
    Settings,
)
from reliable_tasks.errors import ConfigError
from tests.config.support import module

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


def test_a_near_miss_in_a_module_is_an_error_unless_the_setting_is_there() -> None:
    conf = Conf()
    with pytest.raises(ConfigError, match="did you mean 'broker_url'"):
        conf.load(module(broker_urls=["sqlite://"]))
    conf.load(module(broker_urls=["sqlite://"], broker_url="sqlite://"))
    assert conf.broker_urls == ["sqlite://"]
    assert conf.notes == []


def test_an_unknown_upper_case_name_in_a_module_is_an_error() -> None:
    with pytest.raises(ConfigError, match="did you mean 'CELERY_TIMEZONE'"):
        Conf().load(module(CELERY_TIMEZON="UTC"))


def test_a_router_function_in_a_module_is_a_setting() -> None:
    def route(*_: object, **__: object) -> str:
        return "q"

    conf = Conf()
    conf.load(module(task_routes=route))
    assert conf.settings().task_routes == (route,)


def test_an_object_is_a_source() -> None:
    class Config:
        broker_url = "sqlite://"
        CELERY_TIMEZONE = "Europe/Paris"
        other = 3

    for source in (Config, Config()):
        conf = Conf()
        conf.load(source)
        assert conf.settings() == Settings(broker_url="sqlite://", timezone="Europe/Paris")


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
        ("TASK_ROUTES", '{"a.*": "fast"}', "task_routes", ({"a.*": {"queue": "fast"}},)),
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
