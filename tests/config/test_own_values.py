"""Names that are no settings are the program's own values; slips of the pen are errors."""

from importlib import import_module
from pathlib import Path
from typing import Any

import flask
import pytest

from reliable_tasks import App
from reliable_tasks.config.conf import Conf, Settings
from reliable_tasks.config.settings import described
from reliable_tasks.errors import ConfigError
from tests.config.support import module


def test_a_value_of_the_programs_own_can_be_read_in_every_way() -> None:
    conf = Conf()
    conf.my_setting = [1]
    conf.update({"OTHER": 2}, third=3)
    assert conf.my_setting is conf["my_setting"]
    assert (conf.OTHER, conf.get("third"), conf.get("fourth", 4)) == (2, 3, 4)
    assert {"my_setting", "OTHER", "third"} <= {*conf}
    assert dict(conf)["my_setting"] == [1]
    assert len(conf) == len(described) + 3
    assert conf.settings() == Settings()
    conf.my_setting = 5
    assert conf.my_setting == 5


def test_flasks_config_is_taken_as_a_whole() -> None:
    app = flask.Flask("shop")
    app.config.from_mapping(
        SECRET_KEY="s", SQLALCHEMY_DATABASE_URI="sqlite://", REDIS_URL="redis://", NONCE=1
    )
    app.config["CELERY_TIMEZONE"] = "Europe/Paris"
    app.config["CELERY"] = {"broker_url": "sqlite://"}
    conf = Conf()
    conf.update(app.config)
    assert conf.settings() == Settings(timezone="Europe/Paris")
    assert {name: conf[name] for name in app.config} == dict(app.config)
    (note,) = conf.notes
    assert "kept as values of your own" in note
    assert "'s'" not in note
    assert "did you mean" not in note


def test_no_setting_of_django_is_taken_for_ours() -> None:
    theirs = import_module("django.conf.global_settings")
    conf = Conf()
    conf.load(theirs)
    conf.update({name: 1 for name in vars(theirs) if name.isupper()})
    assert conf.settings() == Settings()
    assert conf.DATABASES == 1
    assert "".join(conf.notes).count("did you mean") == 1
    assert "TIME_ZONE (did you mean 'timezone'?)" in conf.notes[0]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("worker_concurency", "worker_concurrency"),
        ("task_serialiser", "task_serializer"),
        ("timezon", "timezone"),
        ("task_route", "task_routes"),
        ("max_deliverys", "max_deliveries"),
        ("CELERY_WORKER_CONCURENCY", "CELERY_WORKER_CONCURRENCY"),
        ("CELERY_TASK_ALWAYS_EAGR", "CELERY_TASK_ALWAYS_EAGER"),
        ("CELERYD_CONCURENCY", "CELERYD_CONCURRENCY"),
        ("BROKER_URI", "BROKER_URL"),
    ],
)
def test_a_slip_is_an_error_that_names_what_was_meant(slip: str, meant: str) -> None:
    conf = Conf()
    for give in (conf.update, conf.load, lambda given: conf.load(module(**given))):
        with pytest.raises(ConfigError, match=f"'{slip}' is not a setting; did you mean '{meant}'"):
            give({slip: 1})
    assert conf.settings() == Settings()
    assert slip not in conf


@pytest.mark.parametrize(
    "name",
    [
        *("beat_dburi", "beat_schema", "redbeat_redis_url", "flower_port", "result_folder"),
        *("CELERY", "CELERY_FLOWER_USER", "BROKER_NAME", "WORKER_CONCURENCY", "broker_name"),
        *("debug", "name", "queue_prefix", "task_owner", "audit_log_url", "import_path"),
    ],
)
def test_names_that_are_only_somewhat_alike_are_kept(name: str) -> None:
    conf = Conf({name: 1})
    assert conf[name] == 1


def test_the_worker_is_told_once_of_all_of_them_with_the_nearest_setting() -> None:
    conf = Conf({"my_setting": 1, "WORKER_CONCURENCY": 4})
    conf.my_setting = 2
    (note,) = conf.notes
    assert note == (
        "no settings, kept as values of your own: "
        "WORKER_CONCURENCY (did you mean 'worker_concurrency'?), my_setting"
    )
    conf.update({f"name_{n}": n for n in range(30)})
    assert conf.notes[0].endswith(", and 12 more")


def test_a_namespace_keeps_its_own_names_without_it() -> None:
    conf = Conf()
    names = {"CELERY_MY_SETTING": 1, "DEBUG": True, "TIMEZONE": "UTC", "CELERY_AUDIT": "all"}
    conf.load(module(**names), namespace="CELERY")
    assert (conf.my_setting, conf.CELERY_MY_SETTING, conf.audit) == (1, 1, "all")
    assert "DEBUG" not in conf
    with pytest.raises(ConfigError, match="did you mean 'CELERY_TIMEZONE'"):
        conf.load({"CELERY_TIMEZON": "UTC"}, namespace="CELERY")


def test_variables_of_a_module_are_kept_without_a_note(modules: Path) -> None:
    (modules / "own_config.py").write_text(
        "import os\nfrom pathlib import Path\nROOT = Path('/')\nhosts = ['a']\naudit = 'all'\n"
        "class Helper: pass\ndef help(): pass\n"
    )
    conf = Conf()
    conf.load("own_config")
    assert (conf.ROOT, conf.hosts, conf.audit) == (Path("/"), ["a"], "all")
    assert not {"os", "Path", "Helper", "help"} & {*conf}
    assert conf.notes == []


def test_a_property_that_raises_is_no_setting() -> None:
    class Config:
        audit = "all"

        @property
        def other(self) -> int:
            raise RuntimeError

    conf = Conf()
    conf.load(Config())
    assert conf.audit == "all"


def test_an_apps_own_arguments_are_settings() -> None:
    with pytest.raises(ConfigError, match="'colour' is not a setting"):
        App("own", set_as_current=False, colour=1)
    with pytest.raises(ConfigError, match="names are texts"):
        Conf().update({5: 1})  # type: ignore[dict-item]


def test_defaults_hold_where_nothing_else_is_said() -> None:
    app = App("own", set_as_current=False, timezone="Europe/Paris")
    asked = list[int]()

    def late() -> dict[str, Any]:
        asked.append(1)
        return {"audit": "all", "mine": 2}

    app.add_defaults({"timezone": "Asia/Tokyo", "task_default_queue": "own", "mine": 1})
    app.add_defaults(late)
    assert asked == []
    assert app.settings.timezone == "Europe/Paris"
    assert (app.settings.task_default_queue, app.settings.audit, app.conf.mine) == ("own", "all", 1)
    app.conf.audit = "default"
    assert app.settings.audit == "default"
    assert asked == [1]


def test_what_celerys_users_ask_of_a_conf() -> None:
    conf = Conf({"timezone": "Europe/Paris", "broker_url": "redis://:pw@h", "SECRET_KEY": "s"})
    assert conf.without_defaults() == {
        "timezone": "Europe/Paris",
        "broker_url": "redis://:pw@h",
        "SECRET_KEY": "s",
    }
    assert conf.value_set_for("CELERY_TIMEZONE")
    assert not conf.value_set_for("audit")
    assert conf.first("task_time_limit", "no_such", "timezone") == "Europe/Paris"
    assert conf.get_by_parts("task", "default_queue") == "celery"
    assert conf.setdefault("audit", "all") == conf.setdefault("audit", "default") == "all"
    table = conf.table()
    assert (table["SECRET_KEY"], table["broker_url"]) == ("********", "redis://:***@h")
    assert conf.table(censored=False)["SECRET_KEY"] == "s"
    assert set(conf.table(with_defaults=True)) == {*conf}
    assert "timezone: 'Europe/Paris'" in conf.humanize().splitlines()
    assert "pw" not in conf.humanize(with_defaults=True)


NEW_IN_5_7 = (
    *("beat_enable_remote_control", "beat_remote_control_max_tick_age"),
    *("broker_pool_acquire_timeout", "database_engine_callback", "result_chord_expires"),
    *("task_acks_on_failure", "task_acks_on_timeout", "task_repr_maxlevels"),
    *("task_retry_on_worker_lost", "worker_log_datefmt", "worker_pool_start_method"),
    "worker_task_log_datefmt",
)


@pytest.mark.parametrize("name", NEW_IN_5_7)
def test_settings_new_in_celery_5_7_are_known(name: str) -> None:
    conf = Conf({name: 1})
    (note,) = conf.notes
    assert note.startswith(f"{name}: ")
    assert Conf({f"CELERY_{name.upper()}": 1}).notes == [note]


def test_failures_expire_as_celery_5_7_says() -> None:
    assert Conf({"result_failure_expires": 60}).settings().dead_letter_expires == 60
    assert Conf({"result_failure_expires": None}).settings() == Settings()
