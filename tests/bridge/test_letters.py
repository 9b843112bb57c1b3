"""What the bridge refuses is a dead letter, with the reason and the message as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.contrib.bridge.letters import QUEUE, TASK
from reliable_tasks.contrib.bridge.sources import Delivery
from reliable_tasks.errors import MessageRefused
from reliable_tasks.store.values import AuditQuery
from tests.bridge.bridging import (
    Broker,
    app,
    broker,
    call,
    dead,
    heard,
    letter,
    no_pauses,
    run,
    store_url,
    work,
)

__all__ = ["app", "broker", "heard", "no_pauses", "store_url"]

# Dead letters ------------------------------------------------------------------------------------


def test_a_letter_has_the_reason_and_the_message_as_it_was(
    app: App, broker: Broker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    body, kind = b"\x80\x04.", "application/x-python-serialize"
    headers = {"task": "add", "id": "pickled", "own": [1]}
    properties = {"reply_to": "back", "priority": 3}
    broker.ready = [Delivery("celery", body, kind, "binary", headers, properties)]
    assert run(app).refused == 1
    assert broker.acked == 1
    kept = letter(app, "pickled")
    assert kept["reason"].startswith("add: its body is pickle, which may run code")
    assert (kept["body"], kept["content_type"], kept["queue"]) == (body, kind, "celery")
    assert (kept["headers"], kept["properties"]) == (headers, properties)
    assert app.AsyncResult("pickled").kwargs == kept
    with pytest.raises(MessageRefused, match="its body is pickle"):
        app.AsyncResult("pickled").get()
    (row,) = app.store.audit(AuditQuery(id="pickled", event="failed"))
    assert row.fields["exception"] == "MessageRefused"
    (told,) = (fields for name, fields in heard if name == "bridge.refused")
    assert (told["id"], told["queue"]) == ("pickled", "celery")


@pytest.mark.parametrize(
    ("body", "headers", "properties"),
    [
        ({"task": "\ud800", "id": "odd", "args": []}, {}, {}),
        ([[], {}, {}], {"task": "\ud800", "id": "odd"}, {}),
        ([[], {}], {"task": "add", "id": "odd"}, {"reply_to": "\ud800"}),
    ],
)
def test_text_that_utf8_cannot_write_is_escaped_in_a_letter(
    app: App, broker: Broker, body: object, headers: Any, properties: Any
) -> None:
    raw = json.dumps(body).encode()
    broker.ready = [
        call("before", 1, 2),
        Delivery("celery", raw, "application/json", "utf-8", headers, properties),
        call("after", 1, 2),
    ]
    done = run(app)
    assert (done.stored, done.refused, broker.acked) == (2, 1, 3)
    (reason,) = dead(app).values()
    assert reason.isascii()


def test_a_body_larger_than_a_message_comes_in_parts(store_url: str, broker: Broker) -> None:
    with App("n", broker=store_url, max_message_bytes=20_000, set_as_current=False) as app:
        body = json.dumps([["x" * 60_000], {}, {}]).encode()
        headers = {"task": "add", "id": "large"}
        broker.ready = [Delivery("celery", body, "application/json", "utf-8", headers)]
        run(app)
        letters = sorted(
            dead(app).items(),
            key=lambda item: int(item[0].rpartition("-")[2] or 0) if "part" in item[0] else 1,
        )
        assert "part 1 of" in letters[0][1]
        parts = [letter(app, name)["body"] for name, _ in letters]
        whole = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
        assert whole == body
        broker.ready = [Delivery("celery", body, "application/json", "utf-8", headers)]
        run(app)
        assert len(dead(app)) == len(letters)


def test_a_message_without_an_id_has_a_letter_of_its_own(app: App, broker: Broker) -> None:
    for number in range(2):
        counted = {"x-delivery-count": number}
        broker.ready = [
            Delivery("celery", b"hello", kind, None, counted) for kind in (None, "text/plain")
        ]
        run(app)
    names = dead(app)
    assert len(names) == 2, "one each, however often they are delivered"
    assert all(name.startswith("bridge-") for name in names)
    assert {letter(app, name)["content_type"] for name in names} == {None, "text/plain"}
    assert {letter(app, name)["body"] for name in names} == {"hello"}


def test_messages_that_look_alike_have_a_letter_each(app: App, broker: Broker) -> None:
    twins = [Delivery("celery", b"hello", name=("connection", number)) for number in (1, 2)]
    for _ in range(2):
        broker.ready = [*twins]
        run(app)
    assert len(dead(app)) == 2, "one each, however often they are delivered"


def test_the_same_id_with_another_payload_is_flagged(
    app: App, broker: Broker, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    broker.ready = [call("a", 1, 2), call("a", 1, 3), call("a", 1, 2, task="once")]
    counts = run(app)
    assert (counts.stored, counts.conflicts, counts.refused, broker.acked) == (1, 2, 2, 3)
    why = sorted(dead(app).values())
    assert "another call of it, with other arguments, has it" in why[0]
    assert "a call of add has it" in why[1]
    rows = app.store.audit(AuditQuery(id="a", event="conflict"))
    assert sum(row.count for row in rows) == 2
    assert [f["holder_task"] for n, f in heard if n == "message.conflict"] == ["add", "add"]
    work(app)
    assert app.ran == [(1, 2)]  # type: ignore[attr-defined]


def test_it_is_flagged_when_the_first_has_ended_too(app: App, broker: Broker) -> None:
    broker.ready = [call("a", 1, 2)]
    run(app)
    work(app)
    broker.ready = [call("a", 1, 2), call("a", 1, 3)]
    counts = run(app)
    assert (counts.stored, counts.conflicts) == (1, 1)
    assert app.AsyncResult("a").get() == 3
    assert app.ran == [(1, 2)]  # type: ignore[attr-defined]


def test_a_broken_message_whose_id_is_taken_has_another_one(app: App, broker: Broker) -> None:
    broker.ready = [call("a", 1, 2)]
    run(app)
    broken = Delivery("celery", b"{", "application/json", None, {"task": "add", "id": "a"})
    broker.ready = [broken]
    run(app)
    (name,) = dead(app)
    assert name.startswith("a-refused-")
    assert app.AsyncResult("a").state == "PENDING"


def test_a_workflow_whose_part_is_taken_is_flagged_whole(app: App, broker: Broker) -> None:
    link = {"task": "add", "args": [10], "kwargs": {}, "options": {"task_id": "part"}}
    broker.ready = [call("part", 7, 7), call("head", 1, 2, embed={"callbacks": [link]})]
    counts = run(app)
    assert (counts.stored, counts.refused) == (1, 1)
    (name,) = dead(app)
    assert name.startswith("head-refused-")
    work(app)
    assert app.ran == [(7, 7)]  # type: ignore[attr-defined]


def test_letters_of_a_bridge_that_was_killed_are_failed_by_the_next(
    app: App, broker: Broker
) -> None:
    app.task(name=TASK)(lambda **_: None)
    app.send_task(TASK, kwargs={"reason": "because"}, queue=QUEUE)
    app.send_task("add", (1, 2), queue=QUEUE)
    run(app)
    why = sorted(dead(app).values())
    assert why[0] == "because"
    assert "the queue 'reliable_tasks.bridge' is the bridges' own" in why[1]
