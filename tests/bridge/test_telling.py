"""Results go out: what ends is told to Celery's backends, whoever dies or is away meanwhile."""

from __future__ import annotations

import contextvars
import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import celery.exceptions
import celery.result
import msgspec
import pytest
from celery.backends.cache import _DUMMY_CLIENT_CACHE

from reliable_tasks import App, Ignore, OnceTask, Reject, events
from reliable_tasks.attempts.executor import Executor, StartedAttempt
from reliable_tasks.contrib.bridge import backends, teller
from reliable_tasks.contrib.bridge.teller import Teller
from reliable_tasks.contrib.bridge.tells import QUEUE, with_tells
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.message import TELL, decode_headers, encode_headers
from reliable_tasks.store import values as v
from reliable_tasks.tasks.calls import build_message
from tests.patience import PATIENCE_S
from tests.redis_server import redis_server
from tests.store.empty import empty_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["redis_server"]


class Yard:
    """An app whose messages come from a bridge, and an old producer of Celery's."""

    def __init__(self, app: App, backend: str) -> None:
        self.app, self.backend = app, backend
        self.producer = celery.Celery("old", backend=backend, set_as_current=False)
        self.teller = Teller(app, backend, "", "bridge@test")

    def bridged(self, name: str, *args: Any, task_id: str | None = None, **more: Any) -> str:
        """Store a call as the bridge does; returns its id."""
        options = {"task_id": task_id, **more} if task_id else more
        task = self.app.tasks.get(name)
        message = build_message(self.app, name, args, {}, options, task)
        message = msgspec.structs.replace(message, token="of the broker")
        for _ in range(2):  # it is delivered twice, now and then
            batch = v.Batch(messages=tuple(with_tells(self.app, [message], self.backend)))
            self.app.store.enqueue(batch)
        return message.id

    def work(self, *, times: int = 1) -> None:
        """Run what is queued."""
        executor = Executor(self.app, "w@test")
        want = v.ClaimRequest(queues=("celery",), limit=10)
        self.app.store.open_session(v.SessionInfo(id="w", worker="w@test"), 600_000)
        for _ in range(times):
            for claim in self.app.store.exchange("w", (), want).claims:
                own = contextvars.copy_context()
                outcome = own.run(self._outcome, executor, claim)
                commit = v.Commit(id=claim.id, fence=claim.fence, outcome=outcome)
                self.app.store.exchange("w", (commit,), None)
        self.app.store.close_session("w")

    @staticmethod
    def _outcome(executor: Executor, claim: v.Claim) -> Any:
        started = executor.begin(claim, None)
        if not isinstance(started, StartedAttempt):
            return started
        try:
            value = started.run(*started.args, **started.kwargs)
        except Exception as exc:  # noqa: BLE001 - whatever the body raises
            return executor.raised(started, exc)
        return executor.returned(started, value)

    def result(self, message_id: str) -> Any:
        """The handle that an old producer has."""
        return celery.result.AsyncResult(message_id, app=self.producer)

    def left(self) -> int:
        return sum(self.app.store.counts().queues.get(QUEUE, {}).values())


@pytest.fixture(params=["sqlite", "redis"])
def yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Yard]:
    _DUMMY_CLIENT_CACHE.clear()
    url = empty_store(request, tmp_path)
    with App("new", broker=url, set_as_current=False) as app:
        app.task(name="add")(lambda x, y: x + y)
        app.task(name="fail", throws=KeyError)(_fail)
        app.task(name="ignore")(_ignore)
        app.task(name="reject")(_reject)
        app.task(name="quiet", ignore_result=True)(str)
        yield Yard(app, "cache+memory://")


def _fail(*args: Any) -> None:
    raise KeyError(*args)


def _ignore() -> None:
    raise Ignore


def _reject() -> None:
    raise Reject("not mine")


# What is told -----------------------------------------------------------------------------------


def test_a_success_is_told(yard: Yard) -> None:
    told = yard.bridged("add", 2, 3, group_id="g")
    yard.work()
    assert yard.result(told).state == "PENDING"
    assert yard.teller.drain() == 1
    result = yard.result(told)
    assert (result.get(timeout=1), result.state, result.children) == (5, "SUCCESS", [])
    assert yard.producer.backend.get_task_meta(told)["group_id"] == "g"
    assert isinstance(result.date_done, dt.datetime)
    assert yard.left() == 0
    assert yard.teller.drain() == 0


def test_a_failure_is_told_with_its_class_and_traceback(yard: Yard) -> None:
    told = yard.bridged("fail", "k", 2)
    yard.work()
    yard.teller.drain()
    with pytest.raises(KeyError) as caught:
        yard.result(told).get(timeout=1)
    assert caught.value.args == ("k", 2)
    assert "in _fail" in yard.result(told).traceback


def test_other_endings_are_told(yard: Yard) -> None:
    rejected, revoked = yard.bridged("reject"), yard.bridged("add", 1, 1)
    expired = yard.bridged("add", 1, 2, expires=dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    yard.app.store.revoke([revoked])
    yard.work()
    yard.teller.drain()
    for message_id in (revoked, expired):
        with pytest.raises(celery.exceptions.TaskRevokedError):
            yard.result(message_id).get(timeout=1)
        assert yard.result(message_id).state == "REVOKED"
    with pytest.raises(celery.exceptions.Reject):
        yard.result(rejected).get(timeout=1)


def test_a_worker_that_is_lost_is_told_by_celerys_name(yard: Yard) -> None:
    told = yard.bridged("add", 1, 1)
    store, want = yard.app.store, v.ClaimRequest(queues=("celery",), limit=1)
    for number in range(20):
        store.open_session(v.SessionInfo(id=f"d{number}", worker="w"), 600_000)
        store.exchange(f"d{number}", (), want)
        store.reap([f"d{number}"])
    yard.teller.drain()
    with pytest.raises(celery.exceptions.WorkerLostError):
        yard.result(told).get(timeout=1)


def test_what_is_ignored_is_not_told(yard: Yard) -> None:
    """As with Celery: `Ignore` leaves the result backend alone."""
    told = [yard.bridged("ignore"), yard.bridged("quiet", 1), yard.bridged("x", ignore_result=True)]
    yard.work()
    assert yard.teller.drain() == 0
    assert [yard.result(message_id).state for message_id in told] == ["PENDING"] * 3


def test_a_replayed_dead_letter_is_told_again(yard: Yard) -> None:
    told = yard.bridged("fail", 1)
    yard.work()
    yard.teller.drain()
    yard.app.tasks["fail"].run = lambda *_: "mended"  # type: ignore[method-assign]
    yard.app.tasks["fail"].prepare(yard.app)
    assert yard.app.store.replay([told])[0].done == "replayed"
    yard.work()
    assert yard.teller.drain() == 1
    assert yard.result(told).get(timeout=1) == "mended"


def test_a_duplicate_of_a_once_task_hears_how_the_other_one_ends(yard: Yard) -> None:
    yard.app.task(name="once", base=OnceTask)(lambda n: n)
    first, second = yard.bridged("once", 7), yard.bridged("once", 7)
    yard.work()
    assert yard.teller.drain() == 2
    assert [yard.result(each).get(timeout=1) for each in (first, second)] == [7, 7]


def test_handles_do_not_see_what_tells(yard: Yard) -> None:
    told = yard.bridged("add", 1, 1)
    yard.work()
    assert yard.app.AsyncResult(told).children == []


# What cannot be told -----------------------------------------------------------------------------


def test_a_result_that_has_no_json_is_told_in_words(yard: Yard) -> None:
    yard.app.task(name="set")(lambda: {1, 2})
    told, other = yard.bridged("set"), yard.bridged("add", 1, 1)
    yard.work()
    assert yard.teller.drain() == 2
    with pytest.raises(Exception, match=r"cannot be kept by cache\+memory://: .*set is not JSON"):
        yard.result(told).get(timeout=1)
    assert yard.result(other).get(timeout=1) == 2


def test_arguments_of_exceptions_are_told_as_far_as_they_have_json(yard: Yard) -> None:
    told = yard.bridged("fail", {1})
    yard.work()
    yard.teller.drain()
    with pytest.raises(KeyError) as caught:
        yard.result(told).get(timeout=1)
    assert caught.value.args == ("{1}",)


class Sick:
    """A backend that refuses some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses: Any = lambda _: True
        self.write = backends.store
        monkeypatch.setattr(backends, "store", self)

    def __call__(self, app: Any, message_id: str, status: str, result: Any, *more: Any) -> None:
        if self.refuses((message_id, status)):
            raise ConnectionError("nobody there")
        self.write(app, message_id, status, result, *more)


def test_a_backend_that_is_away_is_waited_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    sick, away, heard = Sick(monkeypatch), list[Any](), threading.Event()

    def note(event: str, fields: Any) -> None:
        away.append((event, fields["error"]))
        heard.set()

    told = [yard.bridged("add", n, n) for n in range(3)]
    yard.work()
    stopping = threading.Event()
    thread = threading.Thread(target=yard.teller.run, args=(stopping,))
    end = events.subscribe(note, "bridge.not_told")
    thread.start()
    assert heard.wait(PATIENCE_S)
    end()
    sick.refuses = lambda _: False
    assert [yard.result(each).get(timeout=PATIENCE_S) for each in told] == [0, 2, 4]
    stopping.set()
    thread.join(PATIENCE_S)
    assert away[0] == ("bridge.not_told", "nobody there")
    assert yard.left() == 0


@pytest.mark.parametrize("in_words", [True, False])
def test_an_ending_that_alone_is_refused_is_told_in_words_or_dead(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, *, in_words: bool
) -> None:
    sick = Sick(monkeypatch)
    monkeypatch.setattr(teller, "_BACKOFF", Backoff(first_s=0, longest_s=0))
    bad = yard.bridged("add", "a", "\0")
    sick.refuses = lambda told: told[0] == bad and not (in_words and told[1] == "FAILURE")
    yard.work()
    for number in range(2 * teller._STRIKES):
        yard.bridged("add", number, 0)
        yard.work()
        yard.teller._failures = 0  # the pause after the last try is over
        yard.teller.drain()
    dead = yard.app.store.find(v.MessageQuery(task=TELL, dead=True))
    assert len(dead) == (0 if in_words else 1)
    assert yard.result(bad).state == ("FAILURE" if in_words else "PENDING")


# Who dies ----------------------------------------------------------------------------------------


def test_what_a_dead_bridge_held_is_told_by_another(yard: Yard) -> None:
    told = yard.bridged("add", 1, 1)
    yard.work()
    store = yard.app.store
    store.open_session(v.SessionInfo(id="dead", worker="bridge"), 600_000)
    assert store.exchange("dead", (), v.ClaimRequest(queues=(QUEUE,), limit=9)).claims
    assert yard.teller.drain() == 0
    store.reap(["dead"])
    assert yard.teller.drain() == 1
    assert yard.result(told).get(timeout=1) == 2


def test_only_what_has_an_address_is_told_over_rpc(yard: Yard) -> None:
    message = build_message(yard.app, "add", (1, 1), {}, {})
    assert len(with_tells(yard.app, [message], "rpc://")) == 1
    headers = msgspec.structs.replace(
        decode_headers(message.headers), properties={"reply_to": "q", "correlation_id": "c"}
    )
    message = msgspec.structs.replace(message, headers=encode_headers(headers))
    assert [m.task for m in with_tells(yard.app, [message], "rpc://")] == [TELL, TELL, "add"]
