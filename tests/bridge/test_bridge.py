"""The bridge: stored first and acknowledged then, whatever dies in between; on both stores."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.contrib.bridge import bridge as bridge_module
from reliable_tasks.contrib.bridge.amqp_source import AmqpSource
from reliable_tasks.contrib.bridge.bridge import Bridge, queues_of
from reliable_tasks.contrib.bridge.kombu_source import KombuSource
from reliable_tasks.contrib.bridge.sources import BrokerUnavailable, Delivery
from reliable_tasks.contrib.bridge.zookeeper import ZooKeeperSource
from reliable_tasks.errors import ConfigError, StoreError, StoreUnavailable
from reliable_tasks.store.values import AuditQuery, Batch
from tests.bridge.bridging import (
    Broker,
    Died,
    Failing,
    app,
    broker,
    call,
    dead,
    heard,
    ids,
    no_pauses,
    run,
    run_until_empty,
    store_url,
    work,
)
from tests.bridge.producing import Producer

__all__ = ["app", "broker", "heard", "no_pauses", "store_url"]

# Taking over -------------------------------------------------------------------------------------


def test_what_a_celery_program_sends_is_run_here(app: App) -> None:
    old = Producer()
    try:
        sent = [old.app.send_task("add", (n, 1)) for n in range(250)]
        bridge = Bridge(app, "memory://", {old.queue: "ours"}, once=True)
        counts = bridge.run(threading.Event())
        assert old.sent(lambda: None) == []
    finally:
        old.close()
    assert (counts.stored, counts.refused, counts.batches) == (250, 0, 3)
    work(app, "ours")
    results = [app.AsyncResult(each.id).get() for each in sent]
    assert results == [n + 1 for n in range(250)]


def test_a_workflow_runs_here(app: App, broker: Broker) -> None:
    link = {"task": "add", "args": [10], "kwargs": {}, "options": {"task_id": "linked"}}
    last = {"task": "add", "args": [5], "kwargs": {}, "options": {"task_id": "last"}}
    broker.ready = [call("first", 1, 2, embed={"callbacks": [link], "chain": [last]})]
    assert run(app).stored == 1
    work(app)
    values = {name: app.AsyncResult(name).get() for name in ("first", "linked", "last")}
    assert values == {"first": 3, "linked": 13, "last": 8}


def test_times_are_kept(app: App, broker: Broker) -> None:
    broker.ready = [
        call("later", 1, 2, eta="2100-01-01T00:00:00Z"),
        call("gone", 1, 2, expires="2000-01-01T00:00:00Z"),
    ]
    run(app)
    work(app)
    assert app.AsyncResult("later").state == "PENDING"
    assert app.AsyncResult("gone").state == "REVOKED"
    assert app.ran == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("asked", [False, True])
def test_retries_under_celery_count(app: App, broker: Broker, asked: bool) -> None:
    seen: list[int] = []

    counted = {"max_retries": 3, "countdown": 0}

    @app.task(
        name="flaky", bind=True, autoretry_for=(OSError,), retry_kwargs=counted, max_retries=3
    )
    def flaky(self: Any) -> None:
        seen.append(self.request.retries)
        raise self.retry(exc=OSError("again"), countdown=0) if asked else OSError("again")

    broker.ready = [call("a", task="flaky", retries=2)]
    run(app)
    for _ in range(3):
        work(app)
    assert seen == [2, 3]
    assert isinstance(app.AsyncResult("a").result, OSError)


def test_a_duplicate_of_a_once_task_is_told_and_acknowledged(
    app: App, broker: Broker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    broker.ready = [call("a", 1, task="once"), call("b", 1, task="once"), call("c", 2, task="once")]
    counts = run(app)
    assert (counts.stored, counts.duplicates, broker.acked) == (2, 1, 3)
    assert ids(app) == ["a", "c"]
    assert [f["holder"] for name, f in heard if name == "message.duplicate"] == ["a"]
    assert [row.event for row in app.store.audit(AuditQuery(id="a"))][-1] == "duplicate"


# Deaths and absences -----------------------------------------------------------------------------


def some_of_each() -> list[Delivery]:
    link = {"task": "add", "args": [10], "kwargs": {}, "options": {}}
    return [
        call("plain", 1, 1),
        call("late", 2, 2, eta="2020-01-01T00:00:00"),
        call("once", 1, task="once"),
        call("flow", 3, 3, embed={"callbacks": [link]}),
        Delivery("celery", b"{", "application/json", "utf-8", {"task": "add", "id": "broken"}),
        call("plain", 9, 9),
    ]


def expected(app: App) -> None:
    """Everything is there once, has run once, and the broken ones are dead letters."""
    work(app)
    assert sorted(app.ran) == [(1, 1), (2, 2), (3, 3), (6, 10)]  # type: ignore[attr-defined]
    letters = dead(app)
    (conflict,) = (name for name in letters if name.startswith("plain-refused-"))
    assert set(letters) == {"broken", conflict}
    assert len(ids(app)) == 7
    counts = app.store.counts()
    assert (counts.states.get("waiting", 0), counts.states.get("queued", 0)) == (0, 0)


def verbs(app: App, broker: Broker, monkeypatch: pytest.MonkeyPatch, die_at: int) -> int:
    """Let the bridge die at the `die_at`-th call to the store, and count the calls until then."""
    store, made = app.store, 0

    def dying(name: str) -> Any:
        verb = getattr(store, name)

        def call_it(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            made += 1
            if 0 < die_at <= made:  # what is dead does nothing any more
                raise Died
            done = verb(*args, **kwargs)
            made += 1
            if 0 < die_at <= made:
                raise Died
            return done

        return call_it

    with monkeypatch.context() as patch:
        for name in ("enqueue", "reap", "open_session", "exchange", "close_session"):
            patch.setattr(store, name, dying(name))
        try:
            run(app)
        except Died:
            broker.close()
    return made


def test_a_death_at_any_call_to_the_store_loses_nothing(
    store_url: str, app: App, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.ready = some_of_each()
    total = verbs(app, broker, monkeypatch, die_at=-1)
    expected(app)
    assert total > 20
    for die_at in range(1, total + 1):
        app.store.purge("celery")
        app.store.drop(ids(app))
        app.ran.clear()  # type: ignore[attr-defined]
        broker.ready = some_of_each()
        assert verbs(app, broker, monkeypatch, die_at) >= die_at
        app.store.reap([session.id for session in app.store.sessions()])  # its lease is over
        run(app)
        assert broker.ready == []
        expected(app)


def test_a_death_before_the_acknowledgement_loses_nothing_and_repeats_nothing(
    app: App, broker: Broker
) -> None:
    broker.ready, broker.die_at = some_of_each(), "ack"
    with pytest.raises(Died):
        run(app)
    expected(app)  # the workers were faster than the next bridge
    broker.close()
    broker.die_at = None
    run(app)
    assert broker.acked == 6
    expected(app)


@pytest.mark.parametrize("when", ["before", "after"])
def test_nothing_is_acknowledged_while_the_store_is_away(
    app: App, broker: Broker, when: str, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    failing = Failing(app.store)
    app.store = failing
    away = StoreUnavailable("away")
    getattr(failing, when).extend([away] * 3)
    acked_while_away = []
    enqueue = failing.enqueue

    def watched(batch: Batch) -> Any:
        acked_while_away.append(broker.acked)
        return enqueue(batch)

    failing.enqueue = watched  # type: ignore[method-assign]
    broker.ready = [call("a", 1, 2)]
    assert run_until_empty(app, broker).stored == 1
    assert acked_while_away == [0] * 4
    assert ids(app) == ["a"]
    names = [name for name, _ in heard]
    assert names.count("store.unavailable") == names.count("store.recovered") == 1


def test_a_bridge_that_is_told_to_stop_leaves_what_it_cannot_store(
    app: App, broker: Broker
) -> None:
    failing, stop = Failing(app.store), threading.Event()
    app.store = failing

    class Away(StoreUnavailable):
        def __init__(self) -> None:
            stop.set()

    failing.before.append(Away())
    broker.ready = [call("a", 1, 2)]
    Bridge(app, "fake://", {"celery": "celery"}).run(stop)
    assert (broker.acked, [d.headers["id"] for d in broker.ready]) == (0, ["a"])


def test_the_broker_may_be_away(
    app: App, broker: Broker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    broker.fails = [BrokerUnavailable("gone")] * 3
    broker.ready = [call("a", 1, 2)]
    assert run_until_empty(app, broker).stored == 1
    names = [name for name, _ in heard if name.startswith("br")]
    assert names == [
        *("bridge.started", "broker.unavailable", "broker.recovered"),
        *("bridge.stored", "bridge.stopped"),
    ]


def test_once_does_not_wait_for_a_broker_that_is_away(app: App, broker: Broker) -> None:
    broker.fails = [BrokerUnavailable("fake:// does not answer")] * 2
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        run(app)
    assert len(broker.fails) == 1


def test_once_does_not_wait_for_a_store_that_is_away(app: App, broker: Broker) -> None:
    failing = Failing(app.store)
    app.store = failing
    failing.before = [StoreUnavailable("the store is away")] * 2
    broker.ready = [call("a", 1, 2)]
    with pytest.raises(StoreUnavailable, match="the store is away"):
        run(app)
    assert (broker.acked, len(broker.ready)) == (0, 1)


def test_one_message_that_the_store_refuses_costs_no_other(app: App, broker: Broker) -> None:
    store = app.store
    failing = Failing(store)
    app.store = failing

    def enqueue(batch: Batch) -> Any:
        if any(m.id == "bad" and m.task == "add" for m in batch.messages):
            raise StoreError("a key is in use")
        return store.enqueue(batch)

    failing.enqueue = enqueue  # type: ignore[method-assign]
    broker.ready = [call("a", 1, 2), call("bad", 1, 2), call("b", 1, 2)]
    counts = run(app)
    assert (counts.stored, counts.refused, broker.acked) == (2, 1, 3)
    assert {"a", "b"} < set(ids(app))
    (why,) = dead(app).values()
    assert why == "add: the store does not take it: a key is in use"


# How it is told ----------------------------------------------------------------------------------


def test_queues_on_the_command_line() -> None:
    assert queues_of(["celery, mail=post", "x"]) == {"celery": "celery", "mail": "post", "x": "x"}
    assert queues_of(["a", "a=a"]) == {"a": "a"}
    for wrong in ("=a", "a=", "a=b,a=c"):
        with pytest.raises(ConfigError, match="-Q"):
            queues_of([wrong])


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("nonsense://host", {}, "nonsense://host names no broker"),
        ("amqp", {}, "'amqp' is no URL of a broker: write amqp://host"),
        ("amqp://u:secret@host", {"prefetch": 0}, "prefetch=0: let the broker send 1"),
        ("memory://", {"queues": {}}, "a bridge needs a queue of the broker"),
        ("zookeeper://host:port", {}, "names no ZooKeeper"),
    ],
)
def test_mistakes_are_told_at_once(url: str, options: dict[str, Any], said: str) -> None:
    with App("n", broker="sqlite://", set_as_current=False) as app:
        queues = options.pop("queues", {"q": "q"})
        with pytest.raises(ConfigError, match=said) as raised:
            Bridge(app, url, queues, **options)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("ZooKeeper://h", ZooKeeperSource),  # kombu's own deletes what nobody has stored yet
        ("AMQP://h", AmqpSource),
        ("pyamqp://h", AmqpSource),
        ("Memory://", KombuSource),
    ],
)
def test_a_scheme_is_read_in_whatever_letters(url: str, kind: type) -> None:
    source, _ = bridge_module._source(url, ("q",), 1, {}, drain=False)
    assert type(source) is kind


def test_without_kombu_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, _: Any = None) -> Any:
        raise ImportError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(bridge_module, "import_module", missing)
    with (
        App("n", broker="sqlite://", set_as_current=False) as app,
        pytest.raises(ConfigError, match=r'needs kombu; pip install "reliable-tasks\[bridge\]"'),
    ):
        Bridge(app, "memory://", {"q": "q"})
