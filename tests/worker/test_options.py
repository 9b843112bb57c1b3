"""What a worker is told, and what it refuses."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.errors import ConfigError
from reliable_tasks.worker.options import WorkerOptions, check_options, expand_hostname
from reliable_tasks.worker.pools import POOLS, pool_class


@pytest.fixture
def app() -> App:
    return App("options", broker="sqlite://", set_as_current=False)


def options(**given: Any) -> WorkerOptions:
    return WorkerOptions(hostname="w@h", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"max_tasks_per_child": 0}, "max_tasks_per_child must be at least 1"),
        ({"max_memory_per_child_kib": -1}, "max_memory_per_child_kib must be at least 1"),
        ({"queues": ()}, "at least one queue"),
        ({"soft_time_limit": 2.0, "time_limit": 1.0}, "soft_time_limit 2 s is above time_limit 1"),
        ({"pool": "thread"}, "no pool 'thread'; did you mean 'threads'"),
        ({"pool": "threads", "time_limit": 1.0}, "'threads' cannot enforce time or memory limits"),
        ({"pool": "asyncio", "soft_time_limit": 1.0}, "'asyncio' cannot enforce time or memory"),
        ({"pool": "threads", "max_memory_per_child_kib": 5}, "use --pool prefork"),
    ],
)
def test_what_would_not_hold_is_refused(app: App, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_options(app, options(**given))


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
@pytest.mark.parametrize("limit", ["time_limit", "soft_time_limit"])
def test_pain_30_limits_of_tasks_are_refused_where_nobody_can_enforce_them(
    app: App, pool: str, limit: str
) -> None:
    check_options(app, options(pool=pool))
    app.task(name="limited", **{limit: 3})(lambda: None)
    with pytest.raises(ConfigError, match="cannot enforce the time limit of task 'limited'"):
        check_options(app, options(pool=pool))
    check_options(app, options(pool="prefork"))


@pytest.mark.parametrize("name", sorted(POOLS))
def test_every_pool_says_what_it_can_enforce(name: str) -> None:
    assert pool_class(name).enforces_limits == (name in {"prefork", "solo"})


def test_names_of_workers_are_completed() -> None:
    host = socket.gethostname()
    assert expand_hostname(None) == f"worker@{host}"
    assert expand_hostname("mail") == f"mail@{host}"
    assert expand_hostname("a@b") == "a@b"
    assert expand_hostname("w%p@%h") == f"w{os.getpid()}@{host}"
    first, _, rest = host.partition(".")
    assert expand_hostname("x@%n/%d") == f"x@{first}/{rest}"
