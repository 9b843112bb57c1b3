"""How long a call may wait, and the lease that must outlast it."""

from __future__ import annotations

from typing import Any

import pytest

from reliable_tasks.config import Conf, Settings
from reliable_tasks.errors import ConfigError


def test_a_lock_is_waited_for_as_long_as_a_lease_and_five_seconds_at_least() -> None:
    assert Settings().busy_seconds == 20.0
    assert Conf({"session_lease": 1}).settings().busy_seconds == 5.0
    assert Conf({"store_busy_timeout": 3}).settings().busy_seconds == 3.0


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
