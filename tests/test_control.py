"""`app.control`: revoke, purge, ping and inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks import App
from reliable_tasks.errors import UnknownResult
from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    with App("control", broker="sqlite://") as made:
        made.task(name="add")(lambda x: x)
        made.store.open_session(v.SessionInfo(id="s", worker="w@h", queues=("celery", "q")), 60_000)
        yield made


def claim(app: App, limit: int = 1) -> tuple[v.Claim, ...]:
    return app.store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=limit)).claims


def test_revoke_says_what_it_found_of_each(app: App) -> None:
    running, waiting, ended = (app.send_task("add", (n,)) for n in range(3))
    claim(app)
    ended.revoke()
    found = app.control.revoke([running.id, waiting.id, ended.id, "no such"])
    assert found == {
        running.id: "running",
        waiting.id: "revoked",
        ended.id: "ended",
        "no such": "unknown",
    }


@pytest.mark.parametrize("as_terminate", [False, True])
def test_pain_28_terminate_reaches_the_worker_with_its_next_heartbeat(
    app: App, as_terminate: bool
) -> None:
    result = app.send_task("add", (1,))
    claim(app)
    if as_terminate:
        app.control.terminate(result.id)
    else:
        app.control.revoke(result.id, terminate=True)
    (command,) = app.store.heartbeat(["s"], 60_000).commands
    assert command.id == result.id


def test_purge_ends_all_that_waits_and_nothing_that_runs(app: App) -> None:
    running = app.send_task("add", (0,))
    claim(app)
    waiting = [app.send_task("add", (n,)) for n in range(5)]
    delayed = app.send_task("add", (9,), countdown=60)
    elsewhere = app.send_task("add", (9,), queue="q")
    assert app.control.purge() == 6
    assert {r.state for r in [*waiting, delayed]} == {"REVOKED"}
    assert (running.state, elsewhere.state) == ("STARTED", "PENDING")
    assert app.control.purge("q", "celery") == 1
    assert app.control.discard_all() == 0


def test_ping_names_the_workers_that_live(app: App) -> None:
    assert app.control.ping() == [{"w@h": {"ok": "pong"}}]
    app.store.close_session("s")
    assert app.control.ping() == []


def test_inspect_shows_what_runs_waits_and_is_known(app: App) -> None:
    running = app.send_task("add", (0,), {"n": 1})
    claim(app)
    queued = app.send_task("add", (1,), priority=3)
    scheduled = app.send_task("add", (2,), countdown=60)
    inspect = app.control.inspect()
    (active,) = inspect.active()["w@h"]
    assert (active["id"], active["name"], active["args"]) == (running.id, "add", (0,))
    assert active["kwargs"] == {"n": 1}
    assert active["hostname"] == "w@h"
    assert active["time_start"] > 0
    assert [m["id"] for m in inspect.reserved()[""]] == [queued.id]
    assert [m["id"] for m in inspect.scheduled()[""]] == [scheduled.id]
    assert "add" in inspect.registered()
    assert inspect.active_queues() == {"w@h": ["celery", "q"]}
    assert inspect.query_task(queued.id)["priority"] == 3
    with pytest.raises(UnknownResult):
        inspect.query_task("no such")


@pytest.mark.parametrize(
    ("name", "words"),
    [("broadcast", "app.control.revoke"), ("add_consumer", "worker -Q a,b"), ("nowhere", "")],
)
def test_control_says_what_is_here_instead(app: App, name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=f"'{name}'") as raised:
        getattr(app.control, name)("q")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("stats", "reliable-tasks status"), ("ping", r"app.control.ping()"), ("nowhere", "")],
)
def test_inspect_says_what_is_here_instead(app: App, name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=f"'{name}'") as raised:
        getattr(app.control.inspect(), name)()
    assert words in str(raised.value)
