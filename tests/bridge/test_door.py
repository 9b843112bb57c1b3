"""`App(broker=…)` of a broker: what a call publishes, and what its handle reads."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import kombu
import pytest
from kombu.transport import TRANSPORT_ALIASES, memory

from reliable_tasks import App, OnceTask, group, signals
from reliable_tasks.errors import (
    CodecError,
    ConfigError,
    RemoteError,
    StoreUnavailable,
    TaskRevokedError,
    TimeoutError,  # noqa: A004 - Celery's name
)
from reliable_tasks.store.protocol import ProducerStore
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ

URL = "pyro://nowhere"
"""Kombu's broker in memory, under the name of one that programs may name."""


class Broker:
    """A broker in this process, and what somebody else does at it."""

    def __init__(self) -> None:
        self.options = {"polling_interval": 0.01}
        self.connection = kombu.Connection(URL, transport_options=self.options)

    def app(self, **settings: Any) -> App:
        settings = {"backend": "rpc", **settings}
        return App(
            "shop",
            broker=URL,
            broker_transport_options=self.options,
            set_as_current=False,
            **settings,
        )

    def take(self, queue: str = "celery") -> Any:
        with self.connection.channel() as channel:
            name = kombu.Queue(queue, kombu.Exchange(queue), routing_key=queue)
            message = name(channel).get(accept=["json", "msgpack"])
            if message is not None:
                message.ack()
            return message

    def answer(
        self, message: Any, status: str = "SUCCESS", result: Any = None, **more: Any
    ) -> None:
        """What Celery's `rpc` backend sends."""
        told = {
            "task_id": message.headers["id"],
            "status": status,
            "result": result,
            "traceback": None,
            "children": [],
            **more,
        }
        with self.connection.channel() as channel:
            producer = kombu.Producer(channel, auto_declare=False)
            producer.publish(told, exchange="", routing_key=message.properties["reply_to"])


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setitem(TRANSPORT_ALIASES, "pyro", "kombu.transport.memory:Transport")
    monkeypatch.setattr(memory.Channel, "queues", {})
    broker = Broker()
    yield broker
    broker.connection.release()


@pytest.fixture
def app(broker: Broker) -> Iterator[App]:
    app = broker.app()

    @app.task(name="shop.add")
    def add(x: Any, y: Any = 0) -> Any:
        return x + y

    yield app
    app.close()


def add(app: App) -> Any:
    return app.tasks["shop.add"]


# What is published --------------------------------------------------------------------------------


def test_a_call_is_a_message_of_protocol_2(app: App, broker: Broker) -> None:
    result = add(app).apply_async(
        (1,),
        {"y": 2},
        countdown=60,
        expires=dt.datetime(2030, 1, 2, tzinfo=dt.UTC),
        priority=4,
        shadow="sum",
        time_limit=9,
        soft_time_limit=8,
        headers={"tenant": "a", "id": "not this"},
        group_id="g",
    )
    message = broker.take()
    assert message.decode() == [
        [1],
        {"y": 2},
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ]
    headers = message.headers
    assert headers["task"] == "shop.add"
    assert headers["id"] == headers["root_id"] == result.id
    assert (headers["lang"], headers["retries"], headers["group"]) == ("py", 0, "g")
    assert headers["expires"] == "2030-01-02T00:00:00+00:00"
    due = dt.datetime.fromisoformat(headers["eta"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(seconds=60) - dt.timedelta(seconds=PATIENCE_S) < due
    assert (headers["shadow"], headers["timelimit"]) == ("sum", [9, 8])
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(1,)", "{'y': 2}")
    assert (headers["tenant"], headers["ignore_result"]) == ("a", False)
    assert message.properties["correlation_id"] == result.id
    assert message.properties["reply_to"]
    assert message.properties["priority"] == 4
    assert result.receipt.kind == "published"


def test_what_is_not_wanted_is_said(app: App, broker: Broker) -> None:
    app.task(name="quiet", ignore_result=True)(print)
    app.tasks["quiet"].delay()
    assert broker.take().headers["ignore_result"] is True
    app.send_task("elsewhere", ignore_result=True)
    assert broker.take().headers["ignore_result"] is True


def test_values_travel_as_kombu_writes_them(app: App, broker: Broker) -> None:
    moment = dt.datetime(2030, 1, 2, 3, tzinfo=dt.UTC)
    add(app).delay(moment, (1, 2))
    assert broker.take().payload[0] == [moment, [1, 2]]
    add(app).apply_async((b"\x00\xff",), serializer="json")
    assert broker.take().payload[0] == [b"\x00\xff"]


def test_a_value_that_it_cannot_write_is_refused_at_the_call(app: App, broker: Broker) -> None:
    with pytest.raises(CodecError, match=r"cannot be published as json: .*; give plain values"):
        add(app).delay({1, 2})
    assert broker.take() is None
    assert add(app).delay(1).receipt.kind == "published"


def test_headers_travel_as_they_were_given(app: App, broker: Broker) -> None:
    moment = dt.datetime(2030, 1, 2, 3, tzinfo=dt.UTC)
    stamps = {"stamped_headers": ["since"], "since": moment}
    add(app).apply_async((1,), headers={"at": moment, "key": b"\x00\xff"}, **stamps)
    headers = broker.take().headers
    assert (headers["at"], headers["key"]) == (moment, b"\x00\xff")
    assert (headers["stamps"], headers["stamped_headers"]) == ({"since": moment}, ["since"])


def test_a_header_that_amqp_cannot_write_is_refused_at_the_call(rabbitmq: RabbitMQ) -> None:
    with App("x", broker=rabbitmq.url, set_as_current=False) as app:
        day = dt.date(2030, 1, 2)
        with pytest.raises(CodecError, match=r"headers of message .* cannot be published.*'day'"):
            app.send_task("x", queue="headers", headers={"day": day})
        at = dt.datetime(2030, 1, 2, tzinfo=dt.UTC)
        result = app.send_task("x", queue="headers", headers={"at": at})
    assert result.receipt is not None
    assert result.receipt.kind == "published"
    with rabbitmq.connect() as connection:
        assert connection.channel().queue_delete("headers") == 1


def test_queues_are_routed_as_ever(app: App, broker: Broker) -> None:
    app.conf.task_routes = {"shop.*": "slow"}
    add(app).delay(1)
    assert broker.take("slow").headers["task"] == "shop.add"


def test_a_group_is_published_call_by_call(app: App, broker: Broker) -> None:
    result = group(add(app).s(n, n) for n in range(3))()
    messages = [broker.take() for _ in range(3)]
    for message in messages:
        broker.answer(message, result=sum(message.payload[0]))
    assert result.get(timeout=PATIENCE_S) == [0, 2, 4]


def test_signals_and_many_calls(app: App, broker: Broker) -> None:
    sent = list[str]()

    @signals.after_task_publish.connect
    def note(sender: str, headers: dict[str, Any], **_: Any) -> None:
        sent.append(headers["id"])

    try:
        many = app.enqueue_many(add(app).s(n, n) for n in range(3))
    finally:
        signals.after_task_publish.disconnect(note)
    assert sent == [result.id for result in many]
    assert {broker.take().headers["id"] for _ in many} == set(sent)


def test_plain_calls_are_published_one_by_one_or_many_at_a_time(app: App, broker: Broker) -> None:
    sent = [add(app).delay(1), *add(app).enqueue_many([(1, 2), (3, 4)])]
    assert {result.receipt.kind for result in sent} == {"published"}
    assert {broker.take().headers["id"] for _ in sent} == {result.id for result in sent}


def test_every_verb_that_stores_goes_through_the_broker(app: App) -> None:
    verbs = {name for name in vars(ProducerStore) if name.startswith("enqueue")}
    assert verbs <= vars(type(app.store)).keys()


async def _added(app: App) -> Any:
    return await add(app).adelay(5, 5)


def test_a_coroutine_publishes(app: App, broker: Broker) -> None:
    import asyncio  # noqa: PLC0415 - the only one here

    result = asyncio.run(_added(app))
    assert broker.take().headers["id"] == result.id


# What is read ------------------------------------------------------------------------------------


def test_a_result_comes_back(app: App, broker: Broker) -> None:
    result = add(app).delay(1, 2)
    assert (result.state, result.ready(), result.exists()) == ("PENDING", False, False)
    with pytest.raises(TimeoutError, match="published to the broker, and nothing was told of it"):
        result.get(timeout=0)
    broker.answer(broker.take(), result={"sum": 3})
    assert result.get(timeout=PATIENCE_S) == {"sum": 3}
    assert (result.state, result.successful()) == ("SUCCESS", True)
    assert app.AsyncResult(result.id).result == {"sum": 3}
    result.forget()
    assert app.AsyncResult(result.id).state == "PENDING"


@pytest.mark.parametrize(
    ("told", "kind", "args"),
    [
        ({"exc_type": "KeyError", "exc_module": "builtins", "exc_message": ["k", 2]},
         KeyError, ("k", 2)),
        ({"exc_type": "TaskRevokedError", "exc_module": "celery.exceptions",
          "exc_message": ["expired"]}, TaskRevokedError, ("expired",)),
        ({"exc_type": "system", "exc_module": "os", "exc_message": ["true"]},
         RemoteError, ("true",)),
        ("no dict at all", Exception, ("no dict at all",)),
    ],
)  # fmt: skip
def test_a_failure_comes_back_as_an_exception(
    app: App, broker: Broker, told: Any, kind: type[Exception], args: tuple[Any, ...]
) -> None:
    result = add(app).delay(1)
    broker.answer(broker.take(), "FAILURE", told, traceback="Traceback: here")
    with pytest.raises(kind) as caught:
        result.get(timeout=PATIENCE_S)
    assert caught.value.args == args
    assert (result.state, result.traceback) == ("FAILURE", "Traceback: here")


def test_states_on_the_way(app: App, broker: Broker) -> None:
    result = add(app).delay(1)
    message = broker.take()
    raised = {"exc_type": "OSError", "exc_module": "builtins", "exc_message": ["away"]}
    for state, told in (("STARTED", None), ("PROGRESS", {"p": 1}), ("RETRY", raised)):
        broker.answer(message, state, told)
        while result.state != state:
            app.store.wait({result.id: result.version}, 1)
    seen = list[tuple[str, Any]]()
    broker.answer(message, result="done")
    result.get(
        timeout=PATIENCE_S, on_message=lambda told: seen.append((told["status"], told["result"]))
    )
    assert seen[-1] == ("SUCCESS", "done")


def test_a_callback_gets_the_result(app: App, broker: Broker) -> None:
    import threading  # noqa: PLC0415 - the only one here

    told, came = list[Any](), threading.Event()

    def note(result: Any) -> None:
        told.append(result.result)
        came.set()

    add(app).delay(2, 2).then(note)
    broker.answer(broker.take(), result=4)
    assert came.wait(PATIENCE_S)
    assert told == [4]


# What needs the store --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda app: add(app).delay(1).revoke(),
        lambda app: app.control.revoke("x"),
        lambda app: (add(app).s(1) | add(app).s(2)).delay(),
        lambda app: add(app).apply_async((1,), link=add(app).s(2)),
        lambda app: app.control.inspect().active(),
        lambda app: app.store.health(),
    ],
)
def test_what_a_broker_cannot_do_is_refused_with_the_remedy(app: App, ask: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"needs the store, and this program knows only.*store_url"
    ):
        ask(app)


def test_durability_is_not_the_brokers(app: App) -> None:
    with pytest.raises(ConfigError, match=r"durable='fsync' is about the store"):
        add(app).apply_async((1,), durable="fsync")


def test_without_a_backend_results_are_asked_of_the_store(broker: Broker) -> None:
    app = broker.app(backend=None)
    result = app.send_task("x")
    assert not broker.take().properties.get("reply_to")
    with pytest.raises(ConfigError, match=r"without a result_backend needs the store"):
        result.get(timeout=1)


def test_with_the_store_named_a_workflow_is_stored_whole(broker: Broker, tmp_path: Path) -> None:
    app = broker.app(backend=None, store_url=f"sqlite:///{tmp_path}/shop.db")
    app.task(name="shop.add")(lambda x, y=0: x + y)
    result = (add(app).s(1) | add(app).s(2)).delay()
    assert broker.take() is None
    assert (result.state, result.exists()) == ("PENDING", True)
    assert result.revoke() == "revoked"
    assert any("broker's promises hold" in warning for warning in app.store.health().warnings)
    app.close()


def test_a_worker_stores_what_it_serves_and_publishes_the_rest(
    broker: Broker, tmp_path: Path
) -> None:
    app = broker.app(backend=None, store_url=f"sqlite:///{tmp_path}/shop.db")
    app.serve(["mine"])
    mine, theirs = app.enqueue_many(
        [app.signature("x", queue="mine"), app.signature("y", queue="theirs")]
    )
    kinds = [result.receipt and result.receipt.kind for result in (mine, theirs)]
    assert kinds == ["created", "published"]
    assert broker.take("theirs").headers["id"] == theirs.id
    assert broker.take("mine") is None
    assert app.store.counts().queues == {"mine": {"queued": 1}}
    app.close()


def test_a_once_task_in_a_worker_is_refused_at_the_call(broker: Broker, tmp_path: Path) -> None:
    app = broker.app(backend=None, store_url=f"sqlite:///{tmp_path}/shop.db")
    app.task(name="feed", base=OnceTask, once={"graceful": True})(lambda n: n)
    feed = app.tasks["feed"]
    assert [feed.delay(1).duplicate, feed.delay(1).duplicate] == [False, False]
    app.serve(["celery"])
    assert [feed.delay(1).duplicate, feed.delay(1).duplicate] == [False, True]
    app.close()


def test_a_command_has_the_store_itself(broker: Broker, tmp_path: Path) -> None:
    app = broker.app(store_url=f"sqlite:///{tmp_path}/shop.db")
    app.serve()
    assert type(app.store).__name__ == "SqliteStore"
    app.close()


# What is missing ---------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_a_store_that_is_away() -> None:
    app = App("x", broker="amqp://127.0.0.1:1//", set_as_current=False)
    with pytest.raises(StoreUnavailable, match=r"the broker amqp://127\.0\.0\.1:1// did not take"):
        app.send_task("x", retry=False)


def test_without_kombu_the_pip_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kombu", None)
    app = App("x", broker="amqp://", set_as_current=False)
    with pytest.raises(ConfigError, match=r"pip install 'reliable-tasks\[bridge\]'"):
        app.send_task("x")
