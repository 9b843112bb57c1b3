"""From what Celery 5 publishes, in every shape, to messages of ours; and what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Any

import celery
import pytest

from reliable_tasks import App
from reliable_tasks.core.message import On, decode_headers
from reliable_tasks.tasks.calls import once_lock
from tests.bridge.producing import Producer
from tests.bridge.translating import (
    app,
    call_of,
    delivered,
    following,
    minimal,
    ms,
    refusal,
    translated,
    workflow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["app"]

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def old() -> Iterator[Producer]:
    producer = Producer()
    yield producer
    producer.close()


# Calls -------------------------------------------------------------------------------------------


def test_a_call_with_every_option(app: App, old: Producer) -> None:
    options = {
        "task_id": "mine",
        "eta": NOW + dt.timedelta(hours=1),
        "expires": NOW + dt.timedelta(hours=2),
        "priority": 3,
        "time_limit": 20,
        "soft_time_limit": 10,
        "shadow": "shown",
        "ignore_result": True,
        "headers": {"tenant": "t1"},
        "root_id": "root",
        "parent_id": "parent",
        "group_id": "group",
        "reply_to": "back",
        "replaced_task_nesting": 2,
    }
    (delivery,) = old.sent(lambda: old.add.apply_async((1,), {"y": 2}, **options))
    message = translated(app, delivery, **{old.queue: "ours"})
    assert (message.id, message.task, message.queue) == ("mine", "old.add", "ours")
    assert call_of(message) == ((1,), {"y": 2})
    assert message.eta_ms == ms(NOW + dt.timedelta(hours=1))
    assert message.expires_ms == ms(NOW + dt.timedelta(hours=2))
    assert (message.priority, message.root_id, message.parent_id) == (3, "root", "parent")
    headers = decode_headers(message.headers)
    assert (headers.time_limit, headers.soft_time_limit) == (20, 10)
    assert (headers.shadow, headers.ignore_result) == ("shown", True)
    assert (headers.user, headers.group, headers.nesting) == ({"tenant": "t1"}, "group", 2)
    assert headers.properties == {"reply_to": "back"}


@pytest.mark.parametrize("protocol", [1, 2])
def test_both_protocols(app: App, protocol: int) -> None:
    old = Producer(task_protocol=protocol)
    try:
        (delivery,) = old.sent(
            lambda: old.add.apply_async(
                (1, 2), task_id="a", countdown=60, expires=120, time_limit=5
            )
        )
    finally:
        old.close()
    message = translated(app, delivery)
    assert (message.id, message.task, call_of(message)) == ("a", "old.add", ((1, 2), {}))
    assert message.eta_ms is not None
    assert message.expires_ms is not None
    assert message.expires_ms - message.eta_ms == pytest.approx(60_000, abs=2_000)
    assert decode_headers(message.headers).time_limit == 5


@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "lzma"])
@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_serializers_and_compressions(
    app: App, old: Producer, serializer: str, compression: str | None
) -> None:
    given = ([1, 2.5, "käse", None, {"a": [True]}], "x" * 500)
    (delivery,) = old.sent(
        lambda: old.add.apply_async(given, serializer=serializer, compression=compression)
    )
    assert bool(delivery.headers.get("compression")) == bool(compression)
    assert call_of(translated(app, delivery)) == (given, {})


def test_values_of_python_that_kombus_json_knows(app: App, old: Producer) -> None:
    values = (NOW, NOW.date(), NOW.time(), uuid.uuid4(), decimal.Decimal("1.50"), b"\x00bytes")
    (delivery,) = old.sent(lambda: old.add.apply_async((values, 1)))
    ((first, _), _) = call_of(translated(app, delivery))
    assert list(first) == list(values)


def test_stamps(app: App, old: Producer) -> None:
    sig = old.add.s(1, 2)
    sig.stamp(region="eu", append_stamps=False)
    (delivery,) = old.sent(sig.apply_async)
    assert (decode_headers(translated(app, delivery).headers).stamps or {})["region"] == "eu"


def test_a_once_task_gets_its_key_here(app: App, old: Producer) -> None:
    (delivery,) = old.sent(lambda: old.app.send_task("old.once", (1, 2)))
    message = translated(app, delivery)
    assert message.once is not None
    assert message.once == once_lock(app.tasks["old.once"], (1, 5), {})
    assert decode_headers(message.headers).once_label == "old.once(x=1)"


def test_a_once_task_whose_arguments_do_not_fit_is_left_to_the_worker(
    app: App, old: Producer
) -> None:
    (delivery,) = old.sent(lambda: old.app.send_task("old.once", (1, 2, 3)))
    assert translated(app, delivery).once is None


def test_calls_of_one_producer_have_all_but_their_own_in_common(app: App, old: Producer) -> None:
    """So that a worker prepares them once; Celery names each as the root of itself."""
    sent = old.sent(lambda: [old.add.delay(1, 2), old.add.delay(3, 4)])
    first, second = [translated(app, delivery) for delivery in sent]
    assert (first.root_id, second.root_id) == ("", "")
    assert first.headers == second.headers
    assert first.parent_id is second.parent_id is None


def test_an_unknown_task_is_no_fault(app: App, old: Producer) -> None:
    (delivery,) = old.sent(lambda: old.app.send_task("nobody.knows", (1,)))
    assert translated(app, delivery).task == "nobody.knows"


def test_map_starmap_and_chunks(app: App, old: Producer) -> None:
    (mapped,) = old.sent(old.total.map([[1, 2], [3]]).apply_async)
    message = translated(app, mapped)
    assert message.task == "reliable_tasks.map"
    assert call_of(message)[1]["it"] == [[1, 2], [3]]
    parts = old.sent(old.add.chunks([(1, 2), (3, 4), (5, 6)], 2).apply_async)
    tasks = {translated(app, part).task for part in parts}
    assert (len(parts), tasks) == (2, {"reliable_tasks.starmap"})


@pytest.mark.parametrize(
    ("given", "low_first", "high_first"),
    [(None, 0, 0), (0, 0, 0), (1, 1, 8), (9, 9, 0), (200, 9, 0), ("x", 0, 0), (True, 0, 0)],
)
def test_priorities(app: App, given: object, low_first: int, high_first: int) -> None:
    delivery = minimal(properties={"priority": given})
    assert translated(app, delivery, high_first=False).priority == low_first
    assert translated(app, delivery, high_first=True).priority == high_first


def test_times_without_a_zone() -> None:
    with App("z", broker="sqlite://", timezone="Asia/Tokyo", set_as_current=False) as app:
        naive = minimal(headers={"eta": "2030-01-01T09:00:00"})
        assert translated(app, naive).eta_ms == ms(dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
        aware = minimal(headers={"eta": "2030-01-01T09:00:00Z"})
        assert translated(app, aware).eta_ms == ms(dt.datetime(2030, 1, 1, 9, tzinfo=dt.UTC))
        for utc, hour in ((True, 9), (False, 0)):
            body = {"task": "t", "id": "i", "eta": "2030-01-01T09:00:00", "utc": utc}
            message = translated(app, delivered(body))
            assert message.eta_ms == ms(dt.datetime(2030, 1, 1, hour, tzinfo=dt.UTC))


# What follows a call -----------------------------------------------------------------------------


def test_callbacks_and_errbacks(app: App, old: Producer) -> None:
    (delivery,) = old.sent(
        lambda: old.add.apply_async(
            (1, 2), task_id="a", link=[old.add.s(3), old.total.si([4])], link_error=old.total.s()
        )
    )
    parts = workflow(app, delivery)
    head = parts["a"]
    linked = following(parts, head)
    assert [(m.task, call_of(m)[0]) for m in linked] == [("old.add", (3,)), ("old.total", ([4],))]
    assert [decode_headers(m.headers).takes for m in linked] == ["one", ""]
    (errback,) = following(parts, head, On.FAILURE)
    assert (errback.task, errback.any_parent) == ("old.total", True)
    assert {m.root_id or m.id for m in parts.values()} == {"a"}


def test_a_chain_keeps_its_order_and_ids(app: App, old: Producer) -> None:
    made = (old.add.s(1, 2) | old.add.s(3) | old.add.s(4)).apply_async
    results: list[Any] = []
    (delivery,) = old.sent(lambda: results.append(made()))
    parts = workflow(app, delivery)
    first = parts[results[0].parent.parent.id]
    (second,) = following(parts, first)
    (third,) = following(parts, second)
    assert [call_of(m)[0] for m in (first, second, third)] == [(1, 2), (3,), (4,)]
    assert (second.id, third.id) == (results[0].parent.id, results[0].id)
    assert third.edges == ()


def test_a_chord_that_comes_whole(app: App, old: Producer) -> None:
    members = celery.group(old.add.s(n) for n in range(3))
    canvas = old.add.s(1, 2) | members | old.total.s() | old.add.s(9)
    results: list[Any] = []
    (delivery,) = old.sent(lambda: results.append(canvas.apply_async()))
    parts = workflow(app, delivery)
    (head,) = (m for m in parts.values() if not m.waits)
    header = following(parts, head)
    assert len(header) == 3
    bodies = {m.id for member in header for m in following(parts, member)}
    (body,) = (parts[each] for each in bodies)
    assert (body.task, body.waits, decode_headers(body.headers).takes) == ("old.total", 3, "list")
    (last,) = following(parts, body)
    assert (last.id, call_of(last)[0]) == (results[0].id, (9,))


@pytest.mark.parametrize("long", [False, True])
def test_the_body_of_a_chord_has_the_id_that_its_producer_waits_for(
    app: App, old: Producer, long: bool
) -> None:
    body = old.total.s() | old.add.s(9) if long else old.total.s()
    canvas = old.add.s(1, 2) | celery.chord([old.add.s(3), old.add.s(4)], body)
    results: list[Any] = []
    (delivery,) = old.sent(lambda: results.append(canvas.apply_async()))
    parts = workflow(app, delivery)
    last = parts[results[0].id]
    assert (last.task, last.edges) == ("old.add" if long else "old.total", ())


def test_a_group_as_callback_and_links_of_links(app: App, old: Producer) -> None:
    inner = old.add.s(5).set(link=old.add.s(6), queue="else", countdown=3)
    (delivery,) = old.sent(
        lambda: old.add.apply_async((1, 2), task_id="a", link=celery.group(inner, old.add.s(7)))
    )
    parts = workflow(app, delivery)
    linked = following(parts, parts["a"])
    assert {call_of(m)[0] for m in linked} == {(5,), (7,)}
    (five,) = (m for m in linked if call_of(m)[0] == (5,))
    assert (five.queue, five.delay_ms) == ("else", 3000)
    assert [call_of(m)[0] for m in following(parts, five)] == [(6,)]


def test_a_member_of_a_chord_is_refused_with_the_remedy(app: App, old: Producer) -> None:
    made = celery.chord([old.add.s(1, 1), old.add.s(2, 2)], old.total.s()).apply_async
    deliveries = old.sent(made)
    assert len(deliveries) == 2
    for delivery in deliveries:
        assert "part of a chord, whose counter lives in Celery's result backend" in refusal(
            app, delivery
        )


def test_ids_of_parts_depend_on_the_call(app: App) -> None:
    def parts(args: list[int]) -> set[str]:
        embed = {"callbacks": [{"task": "t", "args": [], "kwargs": {}, "options": {}}]}
        return set(workflow(app, minimal([args, {}, embed], headers={"task": "t"})))

    assert parts([1]) & parts([2]) == {"an-id"}


def test_a_workflow_whose_arguments_do_not_fit_is_refused(app: App) -> None:
    embed = {"callbacks": [{"task": "t", "args": [], "kwargs": {}, "options": {}}]}
    assert "old.add(): missing a required argument: 'y'" in refusal(app, minimal([[1], {}, embed]))
