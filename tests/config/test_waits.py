"""How long a call may wait, and the lease that must outlast it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.config.conf import Conf, Settings
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.redis import RedisStore


def test_a_lock_is_waited_for_as_long_as_a_lease_and_five_seconds_at_least() -> None:
    assert Settings().busy_seconds == 20.0
    assert Conf({"session_lease": 1}).settings().busy_seconds == 5.0
    assert Conf({"store_busy_timeout": 3}).settings().busy_seconds == 3.0


@pytest.mark.parametrize(
    ("lease", "seconds"), [(60, 10.0), (20, 10.0), (8, 4.0), (4, 2.0), (3, 2.0), (1.5, 1.5)]
)
def test_a_call_of_redis_takes_half_a_lease_at_most(lease: float, seconds: float) -> None:
    assert Conf({"session_lease": lease}).settings().socket_seconds == seconds


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (3.0, 3.0)),
        ({"broker_transport_options": {"socket_timeout": 5}}, (5.0, 3.0)),
        ({"broker_url": "redis://h?socket_connect_timeout=1"}, (3.0, 1.0)),
    ],
)
def test_the_timeouts_of_a_short_lease_reach_the_connection(
    given: dict[str, Any], expected: tuple[float, float]
) -> None:
    values = {"broker_url": "redis://h", "session_lease": 6, **given}
    with contextlib.closing(App("short", set_as_current=False, **values)) as app:
        store = app.store
        assert isinstance(store, RedisStore)
        options = store._server.client.connection_pool.connection_kwargs
        assert (options["socket_timeout"], options["socket_connect_timeout"]) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"store_busy_timeout": 30}, "store_busy_timeout=30 is above session_lease=20"),
        (
            {"broker_url": "sqlite:///x.db?busy_timeout=25"},
            "busy_timeout in broker_url=25 is above",
        ),
        (
            {"broker_url": "redis://h?socket_timeout=9", "session_lease": 8},
            "socket_timeout in broker_url=9 is above session_lease=8",
        ),
        ({"broker_transport_options": {"socket_timeout": 60}}, "'socket_timeout']=60 is above"),
    ],
)
def test_a_call_may_not_outlast_the_lease(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match="lower the one or raise the other") as caught:
        Conf(values).settings()
    assert words in str(caught.value)


def test_what_a_lease_outlasts_is_taken() -> None:
    values = {"broker_url": "redis://h?socket_timeout=9", "store_busy_timeout": 20}
    assert Conf(values).settings().broker_url.endswith("socket_timeout=9")
