"""`--results` of the bridge: what is stored has with it what tells of its ending."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import celery
import celery.exceptions
import celery.result
import pytest
from celery.backends.cache import _DUMMY_CLIENT_CACHE

from reliable_tasks.contrib.bridge.bridge import Bridge
from reliable_tasks.contrib.bridge.sources import Delivery
from reliable_tasks.contrib.bridge.tells import QUEUE
from reliable_tasks.core.message import TELL
from reliable_tasks.errors import ConfigError
from reliable_tasks.store.values import MessageQuery
from tests.bridge.bridging import (
    Died,
    app,
    broker,
    call,
    heard,
    no_pauses,
    run,
    store_url,
    work,
)
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until
from tests.redis_server import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks import App
    from tests.bridge.bridging import Broker

__all__ = ["app", "broker", "heard", "no_pauses", "redis_server", "store_url"]

BACKEND = "cache+memory://"


@pytest.fixture
def old() -> Iterator[celery.Celery]:
    """The app of an old producer."""
    _DUMMY_CLIENT_CACHE.clear()
    yield celery.Celery("old", backend=BACKEND, set_as_current=False)
    _DUMMY_CLIENT_CACHE.clear()


def result(old: celery.Celery, message_id: str) -> Any:
    return celery.result.AsyncResult(message_id, app=old)


def test_a_bridge_tells_what_ends(app: App, broker: Broker, old: celery.Celery) -> None:
    broker.ready = [call("a", 1, 2), call("b", 3, 4), call("bad", 1), call("a", 1, 2)]
    run(app, results=BACKEND)
    work(app)
    assert result(old, "a").state == "PENDING"
    run(app, results=BACKEND)
    assert [result(old, name).get(timeout=1) for name in ("a", "b")] == [3, 7]
    with pytest.raises(TypeError):
        result(old, "bad").get(timeout=1)
    assert QUEUE not in app.store.counts().queues


def test_what_follows_a_call_is_told_as_well(app: App, broker: Broker, old: celery.Celery) -> None:
    link = {"task": "add", "args": [10], "options": {"task_id": "next"}}
    broker.ready = [call("a", 1, 2, embed={"callbacks": [link]})]
    run(app, results=BACKEND)
    work(app)
    run(app, results=BACKEND)
    assert result(old, "next").get(timeout=1) == 13
    assert result(old, "a").children[0].id == "next"


def test_a_duplicate_of_a_once_task_hears_of_the_other(
    app: App, broker: Broker, old: celery.Celery
) -> None:
    broker.ready = [call("first", 7, task="once"), call("second", 7, task="once")]
    run(app, results=BACKEND)
    work(app)
    run(app, results=BACKEND)
    assert [result(old, name).get(timeout=1) for name in ("first", "second")] == [7, 7]


def test_a_dead_letter_is_told(app: App, broker: Broker, old: celery.Celery) -> None:
    body, headers = b"\x80\x04.", {"task": "add", "id": "pickled"}
    broker.ready = [Delivery("celery", body, "application/x-python-serialize", "binary", headers)]
    run(app, results=BACKEND)
    with pytest.raises(Exception, match="pickle"):
        result(old, "pickled").get(timeout=1)


def test_a_conflict_leaves_nothing_behind(app: App, broker: Broker, old: celery.Celery) -> None:
    broker.ready = [call("a", 1, 2), call("a", 100, 200)]
    run(app, results=BACKEND)
    work(app)
    run(app, results=BACKEND)
    assert result(old, "a").get(timeout=1) == 3
    waiting = [r for r in app.store.find(MessageQuery(task=TELL)) if r.state == "waiting"]
    assert not waiting


def test_a_bridge_may_die_at_any_call_of_the_store(
    app: App, broker: Broker, old: celery.Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, at = 0, 0

    def counted(name: str, inner: Any) -> Any:
        def call_it(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise Died
            return inner(*args, **kwargs)

        return call_it

    while True:
        at, calls = at + 1, 0
        name = f"m{at}"
        broker.ready = [call(name, at, 0)]
        with monkeypatch.context() as patch:
            for verb in ("enqueue", "exchange", "open_session", "close_session", "read"):
                patch.setattr(app.store, verb, counted(verb, getattr(app.store, verb)))
            try:
                run(app, results=BACKEND)
                work(app)
                run(app, results=BACKEND)
            except Died:
                broker.close()
        died = calls >= at
        app.store.reap([s.id for s in app.store.sessions()])
        run(app, results=BACKEND)
        work(app)
        run(app, results=BACKEND)
        assert result(old, name).get(timeout=1) == at
        if not died:
            break
    assert at > 5


def test_results_may_be_told_without_taking_over(
    app: App, broker: Broker, old: celery.Celery
) -> None:
    broker.ready = [call("a", 1, 2)]
    run(app, results=BACKEND)
    work(app)
    broker.ready = [call("b", 1, 2)]
    stop = threading.Event()
    bridge = Bridge(app, "fake://", {"celery": "celery"}, results=BACKEND)
    thread = threading.Thread(target=bridge.tell, args=(stop,))
    thread.start()
    assert result(old, "a").get(timeout=PATIENCE_S) == 3
    stop.set()
    thread.join(PATIENCE_S)
    assert len(broker.ready) == 1
    with pytest.raises(ConfigError, match="--results URL"):
        Bridge(app, "fake://", {"celery": "celery"}).tell(stop)


def test_a_teller_that_is_killed_is_started_anew(
    app: App, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reliable_tasks.contrib.bridge.telling._PAUSE_S", 0.0)
    backend = f"db+sqlite:///{tmp_path}/results.db"
    stop = threading.Event()
    bridge = Bridge(app, "fake://", {"celery": "celery"}, results=backend)
    thread = threading.Thread(target=bridge.run, args=(stop,))
    before = _children()
    thread.start()
    try:
        first = wait_until(lambda: _children() - before, "a teller")
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _children() - before - first, "another")
        broker.ready = [call("a", 1, 2)]
        wait_until(lambda: app.AsyncResult("a").exists(), "it is stored")
        work(app)
        producer = celery.Celery("old", backend=backend, set_as_current=False)
        assert result(producer, "a").get(timeout=PATIENCE_S) == 3
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert _children() == before


def test_a_system_without_room_for_a_teller_costs_the_bridge_nothing(
    app: App,
    broker: Broker,
    heard: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full() -> int:
        raise BlockingIOError("no room")

    stop = threading.Event()
    bridge = Bridge(app, "fake://", {"celery": "celery"}, results=BACKEND)
    broker.ready = [call("a", 1, 2)]
    monkeypatch.setattr(broker, "ack", lambda _: stop.set())
    monkeypatch.setattr("os.fork", full)
    assert bridge.run(stop).stored == 1
    assert [fields["error"] for name, fields in heard if name == "child.not_started"] == ["no room"]
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGTERM, signal.SIGINT}


def _children() -> set[int]:
    found = set[int]()
    for listed in Path("/proc/self/task").glob("*/children"):
        found |= {int(pid) for pid in listed.read_text().split()}
    return found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memcached://h", r"--results='memcached://h': write cache\+memcached://h"),
        ("sqlite:///x.db", r"--results='sqlite:///x.db': write db\+sqlite:///x.db"),
        ("nonsense", "--results='nonsense'"),
    ],
)
def test_a_wrong_backend_is_refused_in_words(url: str, said: str) -> None:
    from reliable_tasks.config.backend import named_backend  # noqa: PLC0415 - as the command does

    with pytest.raises(ConfigError, match=said):
        named_backend(url, name="--results")


@pytest.mark.parametrize(
    ("scheme", "said"), [("db+mysql", "MySQLdb"), ("db+postgres", "dialects:postgres")]
)
def test_a_driver_that_is_missing_is_told_at_once(
    app: App, broker: Broker, scheme: str, said: str
) -> None:
    shown = re.escape(f"result backend '{scheme}://u:***@h/x'")
    with pytest.raises(ConfigError, match=f"{shown}.*{said}"):
        Bridge(app, "fake://", {"q": "q"}, results=f"{scheme}://u:hidden@h/x")


def test_a_database_that_is_away_is_waited_for(app: App, broker: Broker) -> None:
    backend = "db+postgresql+psycopg://nobody@127.0.0.1:1/x"
    broker.ready = [call("a", 1, 2)]
    run(app, results=backend)
    work(app)
    run(app, results=backend)
    assert app.store.counts().queues[QUEUE] == {"scheduled": 1}


def test_without_celery_the_pip_command_is_told(
    app: App, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(ConfigError, match=r"pip install 'reliable-tasks\[bridge\]'"):
        Bridge(app, "fake://", {"q": "q"}, results=BACKEND)
