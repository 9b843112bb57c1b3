"""The signals of publishing, as a beat sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import signals
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import decode_headers
from tests.beat.driver import SECOND

if TYPE_CHECKING:
    from tests.beat.driver import Driver


def test_the_signals_of_publishing_are_sent(drive: Driver) -> None:
    heard: list[tuple[str, Any]] = []

    def before(sender: str, **_: Any) -> None:
        heard.append(("before", sender))

    def after(sender: str, **fields: Any) -> None:
        heard.append(("after", fields["receipt"].kind))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        drive.add("e", 60)
        drive.step(60 * SECOND)
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    assert heard == [("before", "add"), ("after", "created")]


def test_what_a_receiver_adds_travels_with_a_slot(drive: Driver) -> None:
    def before(headers: Any, body: Any, **_: Any) -> None:
        headers["x-trace"] = "t1"
        body[1]["b"] = 2

    signals.before_task_publish.connect(before)
    try:
        drive.add("e", 60)
        drive.step(60 * SECOND)
    finally:
        signals.before_task_publish.disconnect(before)
    (message,) = drive.messages()
    assert decode_headers(message.headers).user == {"x-trace": "t1"}
    assert loads_call(message.payload or b"") == ((1,), {"b": 2})


def test_a_slot_that_a_receiver_spoils_stays_due(drive: Driver) -> None:
    def before(headers: Any, **_: Any) -> None:
        headers["x-trace"] = object()

    signals.before_task_publish.connect(before)
    try:
        drive.add("e", 60)
        drive.step(60 * SECOND)
    finally:
        signals.before_task_publish.disconnect(before)
    assert drive.messages() == ()
    drive.step(60 * SECOND)
    assert len(drive.messages()) == 1
