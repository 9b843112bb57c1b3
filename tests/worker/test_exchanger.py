"""The thread between a consumer and its store, against a real store in memory."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import events
from reliable_tasks.core.message import State
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.errors import StoreUnavailable
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.worker import exchanger as exchangers
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import Exchanger, InlineExchanger, ThreadedExchanger
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.worker.fakes import message
from tests.worker.harness import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.store.protocol import Store

QUEUES = ("celery",)
DONE = Succeeded(result=b"1")


class Flaky:
    """A store that loses the replies of its next exchanges: after having applied them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.losses = 0
        self.away = threading.Event()
        self.refused: list[float] = []

    def __getattr__(self, name: str) -> Any:
        if self.away.is_set() and name in {"held", "wait_then_claim"}:
            self.refused.append(time.monotonic())
            raise StoreUnavailable("nobody there")
        return getattr(self._store, name)

    def exchange(self, *args: Any) -> v.Exchange:
        reply = self._store.exchange(*args)
        if self.losses:
            self.losses -= 1
            raise StoreUnavailable("the reply was lost")
        return reply


@pytest.fixture(params=[False, True], ids=["threaded", "inline"])
def inline(request: pytest.FixtureRequest) -> bool:
    """Whether the thread that takes makes exchanges itself."""
    is_inline: bool = request.param
    return is_inline


@pytest.fixture(autouse=True)
def _nobody_looks_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not told at once comes later than we wait for it."""
    monkeypatch.setattr(exchangers, "_LONGEST_WAIT_S", 4 * PATIENCE_S)


@pytest.fixture
def store() -> Iterator[Any]:
    opened = SqliteStore(None, v.StoreOptions(audit="all"))
    opened.open_session(v.SessionInfo(id="s", worker="w@h", queues=QUEUES), 600_000)
    yield Flaky(opened)
    opened.close()


def exchanger_of(store: Any, inline: bool, **options: Any) -> Exchanger:
    kind = InlineExchanger if inline else ThreadedExchanger
    exchanger = kind(Consumer(QUEUES, **options), store, "s")
    exchanger.start()
    return exchanger


def put(store: Any, *ids: str) -> None:
    store.enqueue(v.Batch(messages=tuple(message(i) for i in ids)))


def state(store: Any, message_id: str) -> State:
    (record,) = store.read([message_id])
    found: State = record.state
    return found


def test_it_brings_claims_and_commits_outcomes(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    put(store, "a", "b")
    for expected in ("a", "b"):
        claim = exchanger.take()
        assert claim is not None
        assert claim.id == expected
        exchanger.done(claim, DONE)
    exchanger.drain()
    exchanger.join()
    assert [state(store, i) for i in "ab"] == [State.SUCCEEDED] * 2


def test_what_comes_later_wakes_it(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(exchanger.take()))
    taker.start()
    put(store, "late")
    taker.join(PATIENCE_S)
    assert [c.id for c in taken] == ["late"]
    exchanger.done(taken[0], DONE)
    exchanger.drain()
    exchanger.join()


def test_whoever_waits_for_a_claim_hears_that_there_will_be_none(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(exchanger.take()))
    taker.start()
    exchanger.drain()
    taker.join(PATIENCE_S)
    assert taken == [None]
    assert exchanger.over
    exchanger.join()


def test_draining_gives_back_what_waits(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline, ahead_s=1.0)
    put(store, "first")
    first = exchanger.take()
    assert first is not None
    exchanger.done(first, DONE)
    put(store, "a", "b", "c")
    running = exchanger.take()
    assert running is not None
    exchanger.drain()
    eventually(lambda: state(store, "c") == State.QUEUED, "the rest went back")
    exchanger.done(running, DONE)
    exchanger.join()
    assert state(store, running.id) == State.SUCCEEDED


def test_pain_27_what_waits_behind_a_body_goes_back_as_soon_as_that_runs_long(
    store: Any, inline: bool
) -> None:
    exchanger = exchanger_of(store, inline, ahead_s=0.05)
    put(store, "first")
    first = exchanger.take()
    assert first is not None
    exchanger.done(first, DONE)
    put(store, "a", "b", "c")
    eventually(
        lambda: state(store, "c") == State.RUNNING and exchanger._own_waker.asleep,
        "all are claimed",
    )
    running = exchanger.try_take()
    assert running is not None
    eventually(lambda: state(store, "c") == State.QUEUED, "the rest went back")
    exchanger.drain()
    exchanger.done(running, DONE)
    exchanger.join()


def test_pain_3_lost_replies_lose_nothing_and_repeat_nothing(store: Any, inline: bool) -> None:
    told: list[str] = []
    end = events.subscribe(
        lambda event, _: told.append(event), "store.unavailable", "store.recovered"
    )
    names = [str(n) for n in range(20)]
    put(store, *names)
    exchanger = exchanger_of(store, inline)
    ran = []
    for n in range(20):
        if n % 5 == 0:
            store.losses = 2
        claim = exchanger.take()
        assert claim is not None
        ran.append(claim.id)
        exchanger.done(claim, DONE)
    exchanger.drain()
    exchanger.join()
    end()
    assert sorted(ran) == sorted(names), "each once"
    assert {state(store, i) for i in names} == {State.SUCCEEDED}
    assert "store.unavailable" in told
    assert "store.recovered" in told


def test_a_session_that_has_lapsed_ends_the_exchanger(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    store.close_session("s")
    put(store, "a")
    assert exchanger.take() is None
    exchanger.join()
    assert state(store, "a") == State.QUEUED


def test_what_comes_after_a_long_calm_is_run_and_not_given_back(store: Any, inline: bool) -> None:
    """An answer is believed from the question on, so none is waited for until it is too old."""
    exchanger = exchanger_of(store, inline, trusted_s=0.4)
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(exchanger.take()))
    taker.start()
    taker.join(1.0)
    put(store, "late")
    taker.join(PATIENCE_S)
    exchanger.done(taken[0], DONE)
    exchanger.drain()
    exchanger.join()
    told = [row.event for row in store.audit(v.AuditQuery(id="late"))]
    assert told == ["enqueued", "started", "succeeded"]


def test_a_store_that_is_away_is_not_asked_without_a_pause(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    put(store, "first")
    first = exchanger.take()
    assert first is not None
    taken: list[Any] = []
    taker = threading.Thread(target=lambda: taken.append(exchanger.done_then_take(first, DONE)))
    with listening() as told:
        store.away.set()
        taker.start()
        eventually(lambda: len(store.refused) >= 4, "it is asked again")
        assert all(later - before > 0.04 for before, later in pairwise(store.refused))
        store.away.clear()
        put(store, "second")
        taker.join(PATIENCE_S)
        eventually(lambda: told["store.recovered"], "it says so")
    assert [c.id for c in taken] == ["second"]
    (back,) = told["store.recovered"]
    assert back["after"] >= 0.2, "how long it was away, in seconds"
    exchanger.done(taken[0], DONE)
    exchanger.drain()
    exchanger.join()


def test_the_last_outcome_is_committed_at_once(store: Any, inline: bool) -> None:
    exchanger = exchanger_of(store, inline)
    put(store, "last")
    last = exchanger.take()
    assert last is not None
    exchanger.drain()
    eventually(lambda: exchanger._own_waker.asleep, "the consumer's thread has nothing to do")
    assert exchanger.done_then_take(last, DONE) is None
    exchanger.join()
    assert state(store, "last") == State.SUCCEEDED


class Alone:
    """A store that notices when two threads ask it at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = threading.Lock()
        self.met = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if name not in {"exchange", "held", "wait_then_claim"}:
            return verb

        def asked(*args: Any) -> Any:
            if not self._asked.acquire(blocking=False):
                self.met = True
                return verb(*args)
            try:
                return verb(*args)
            finally:
                self._asked.release()

        return asked


def test_what_is_held_is_not_asked_for_beside_an_exchange(
    store: Any, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer would be older than the claims that the exchange brings, and let go of them."""
    monkeypatch.setattr(exchangers, "_RECONCILE_S", 0.02)
    monkeypatch.setattr(exchangers, "_LONGEST_WAIT_S", 0.05)
    alone = Alone(store)
    exchanger = exchanger_of(alone, inline)
    put(store, "0")
    claim = exchanger.take()
    assert claim is not None
    for n in range(1, 12):
        late = threading.Timer(0.2, put, (store, str(n)))
        late.start()
        claim = exchanger.done_then_take(claim, DONE)
        assert claim is not None
        assert claim.id == str(n)
        late.join()
    exchanger.drain()
    exchanger.done(claim, DONE)
    exchanger.join()
    assert not alone.met
