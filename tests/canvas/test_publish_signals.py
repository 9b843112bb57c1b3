"""What receivers of `before_task_publish` change travels with the message, on every route."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from reliable_tasks import OnceTask, chain, chord, group, signals
from reliable_tasks.errors import AlreadyQueued, ConfigError, MessageTooLarge
from reliable_tasks.store.values import MessageQuery
from tests.canvas.helpers import Harness


@pytest.fixture(autouse=True)
def _nobody_listens() -> Iterator[None]:
    yield
    for signal in (signals.before_task_publish, signals.after_task_publish):
        signal.receivers = ()


@pytest.fixture
def seen(harness: Harness) -> list[tuple[Any, Any]]:
    """What bodies saw of the header `x-trace`: in `headers`, and as a field of the request."""
    found = list[tuple[Any, Any]]()

    @harness.app.task(name="look", bind=True, max_retries=1)
    def look(self: Any, *_: Any, again: str = "") -> str:
        found.append(((self.request.headers or {}).get("x-trace"), self.request.get("x-trace")))
        if again == "retry" and not self.request.retries:
            raise self.retry(countdown=1)
        if again == "replace":
            raise self.replace(self.si())
        if again == "add":
            self.add_to_chord(self.si())
        if again == "raise":
            raise ValueError
        return "seen"

    return found


def trace(headers: dict[str, Any], **_: Any) -> None:
    headers["x-trace"] = "t1"


ROUTES: dict[str, tuple[int, Any]] = {
    "delay": (1, lambda look: look.delay()),
    "apply_async": (1, lambda look: look.apply_async(headers={"mine": 1})),
    "adelay": (1, lambda look: asyncio.run(look.adelay())),
    "send_task": (1, lambda look: look.app.send_task("look")),
    "signature": (1, lambda look: look.s().apply_async(countdown=5)),
    "chain": (2, lambda look: chain(look.s(), look.s())()),
    "group": (2, lambda look: group(look.s(), look.s())()),
    "chord": (3, lambda look: chord([look.s(), look.s()], look.s())()),
    "enqueue_many": (3, lambda look: look.app.enqueue_many([look.s()] * 3)),
    "link": (2, lambda look: look.apply_async(link=look.s())),
    "errback": (2, lambda look: look.apply_async((), {"again": "raise"}, link_error=look.si())),
    "retry": (2, lambda look: look.delay(again="retry")),
    "replace": (2, lambda look: look.delay(again="replace")),
    "add_to_chord": (3, lambda look: chord([look.s(again="add")], look.s())()),
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_header_reaches_every_body(harness: Harness, seen: list[Any], route: str) -> None:
    times, send = ROUTES[route]
    signals.before_task_publish.connect(trace)
    send(harness.app.tasks["look"])
    harness.drain()
    assert seen == [("t1", "t1")] * times


def test_both_signals_are_sent_for_what_a_body_asks_for(harness: Harness, seen: list[Any]) -> None:
    heard = list[tuple[str, str, int]]()

    @signals.before_task_publish.connect
    def before(sender: str, headers: Any, **_: Any) -> None:
        heard.append(("before", sender, headers["retries"]))

    @signals.after_task_publish.connect
    def after(sender: str, headers: Any, receipt: Any, **_: Any) -> None:
        heard.append(("after", sender, receipt and receipt.kind))

    harness.app.tasks["look"].delay(again="retry")
    harness.drain()
    assert len(seen) == 2
    assert heard == [
        *(("before", "look", 0), ("after", "look", "created")),
        *(("before", "look", 1), ("after", "look", None)),
    ]


def test_receivers_see_what_celerys_see(harness: Harness, t: Any) -> None:
    told = dict[str, Any]()

    @signals.before_task_publish.connect
    def before(sender: str, signal: Any, **fields: Any) -> None:
        told.update(fields, sender=sender, headers=dict(fields["headers"]))

    result = t.add.apply_async(
        (1,), {"y": 2}, headers={"mine": (1, 2)}, priority=3, queue="other", time_limit=9
    )
    assert (told["sender"], told["routing_key"], told["exchange"]) == ("add", "other", "")
    assert told["body"][:2] == ([1], {"y": 2})
    assert set(told["body"][2]) == {"callbacks", "errbacks", "chain", "chord"}
    assert told["properties"] == {"correlation_id": result.id, "reply_to": "", "priority": 3}
    headers = told["headers"]
    assert (headers["id"], headers["task"], headers["root_id"]) == (result.id, "add", result.id)
    assert (headers["timelimit"], headers["mine"]) == ([9, None], (1, 2))
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("(1,)", "{'y': 2}")
    assert result.get() == 3


def test_what_counts_of_a_change(harness: Harness) -> None:
    found = list[Any]()

    @harness.app.task(name="look", bind=True)
    def look(self: Any, *args: Any, **kwargs: Any) -> None:
        request = self.request
        found.append((args, kwargs, request.timelimit, request.shadow, request.ignore_result))
        found.append((request.expires, request.delivery_info["priority"]))

    @signals.before_task_publish.connect
    def change(headers: Any, body: Any, properties: Any, **_: Any) -> None:
        args, kwargs, _embed = body
        args.append("more")
        kwargs["tenant"] = "t1"
        headers.update(timelimit=[20, 10], shadow="other", ignore_result=True)
        headers["expires"] = datetime(2999, 1, 1, tzinfo=UTC)
        headers["stamps"]["mine"] = 1  # no stamps here: it travels as a header
        properties["priority"] = 7

    look.delay(1)
    harness.drain()
    assert found == [
        ((1, "more"), {"tenant": "t1"}, (20, 10), "other", True),
        ("2999-01-01T00:00:00+00:00", 7),
    ]


def test_the_once_key_is_that_of_what_is_sent(harness: Harness) -> None:
    def identity(x: int) -> int:
        return x

    one: Any = harness.app.task(name="one", base=OnceTask)(identity)

    @signals.before_task_publish.connect
    def even(body: Any, **_: Any) -> None:
        body[0][0] -= body[0][0] % 2

    first = one.delay(4)
    with pytest.raises(AlreadyQueued) as refused:
        one.delay(5)
    assert (refused.value.task_id, refused.value.key) == (first.id, one.get_key((4,)))
    with pytest.raises(AlreadyQueued):
        harness.app.enqueue_many([one.s(5)])
    assert one.delay(2).get() == 2


def test_a_receiver_that_raises_costs_nothing(
    harness: Harness, t: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @signals.before_task_publish.connect
    def bad(headers: Any, **_: Any) -> None:
        headers["x"] = 1
        raise RuntimeError("broken middleware")

    with caplog.at_level(logging.ERROR):
        assert t.add.delay(1, 2).get() == 3
    assert "broken middleware" in caplog.text


def _unencodable(headers: Any, **_: Any) -> None:
    headers["x"] = object()


def _other_id(headers: Any, **_: Any) -> None:
    headers["id"] = "mine"


def _no_arguments(body: Any, **_: Any) -> None:
    body[0].clear()


def _bad_date(headers: Any, **_: Any) -> None:
    headers["eta"] = "tomorrow"


def _one_limit(headers: Any, **_: Any) -> None:
    headers["timelimit"] = 20


REFUSED: dict[Any, str] = {
    _unencodable: "headers\\['x'\\]",
    _other_id: "headers\\['id'\\] belongs to the message",
    _no_arguments: "missing a required argument: 'x'",
    _bad_date: "ISO 8601",
    _one_limit: "headers\\['timelimit'\\] must be a list \\[hard, soft\\] .*, got 20",
}


@pytest.mark.parametrize("receiver", REFUSED)
def test_what_cannot_be_sent_is_an_error_and_nothing_is_stored(
    harness: Harness, t: Any, receiver: Any
) -> None:
    signals.before_task_publish.connect(receiver)
    for send in (
        lambda: t.add.delay(1, 2),
        chain(t.add.s(1, 2), t.echo.s()),
        lambda: harness.app.enqueue_many([t.add.s(1, 2)]),
    ):
        with pytest.raises(ConfigError, match=REFUSED[receiver]):
            send()
    assert harness.store.find(MessageQuery()) == ()


def test_a_receiver_may_take_the_limits_away(harness: Harness) -> None:
    @signals.before_task_publish.connect
    def unlimited(headers: Any, **_: Any) -> None:
        headers["timelimit"] = None

    @harness.app.task(name="limits", bind=True)
    def limits(self: Any) -> Any:
        return self.request.timelimit

    assert limits.apply_async(time_limit=9).get() == (None, None)


def test_what_a_receiver_adds_counts_for_the_size(harness: Harness, t: Any) -> None:
    @signals.before_task_publish.connect
    def long(headers: Any, **_: Any) -> None:
        headers["x"] = "x" * harness.app.settings.max_message_bytes

    with pytest.raises(MessageTooLarge, match="a message of add"):
        t.add.delay(1, 2)


def test_a_retry_goes_on_without_a_change_that_cannot_be_sent(
    harness: Harness, seen: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @signals.before_task_publish.connect
    def bad(headers: Any, **_: Any) -> None:
        headers["x-trace"] = object() if headers["retries"] else "t1"

    result = harness.app.tasks["look"].delay(again="retry")
    assert result.get() == "seen"
    assert seen == [("t1", "t1")] * 2
    assert "goes on without the change" in caplog.text
