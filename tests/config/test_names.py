"""Settings under Celery's names, old ones and those without a use here."""

import pytest

from reliable_tasks.config.conf import (
    Conf,
    Settings,
)
from reliable_tasks.config.names import NOTED, OLD_NAMES, REFUSED, resolve
from reliable_tasks.config.settings import described
from reliable_tasks.errors import ConfigError
from tests.config.support import error


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
