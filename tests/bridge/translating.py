"""Deliveries to translate, and what came of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, OnceTask
from reliable_tasks.contrib.bridge.sources import Delivery
from reliable_tasks.contrib.bridge.translate import Translator
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import On, decode_headers
from reliable_tasks.errors import MessageRefused

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from reliable_tasks.core.message import Message

__all__ = [
    "app",
    "call_of",
    "delivered",
    "following",
    "minimal",
    "ms",
    "refusal",
    "translated",
    "workflow",
]


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App("new", broker="sqlite://", set_as_current=False) as made:
        made.task(name="old.add")(lambda x, y: x + y)
        made.task(name="old.once", base=OnceTask, once={"keys": ["x"]})(lambda x, y: x + y)
        yield made


def ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)


def call_of(message: Message) -> Any:
    return loads_call(message.payload, decode_headers(message.headers).serializer)


def translated(app: App, delivery: Delivery, **options: Any) -> Message:
    high_first = options.pop("high_first", False)
    made = Translator(app, options, high_first=high_first).translate(delivery)
    assert made.workflow == []
    return made.call


def workflow(app: App, delivery: Delivery) -> dict[str, Message]:
    """The parts of a workflow by their ids; a second delivery gives the same."""
    translator = Translator(app, {}, high_first=False)
    made = translator.translate(delivery)
    assert translator.translate(delivery) == made
    assert made.call in made.workflow
    return {m.id: m for m in made.workflow}


def following(parts: dict[str, Message], message: Message, on: On = On.SUCCESS) -> list[Message]:
    return [parts[edge.child] for edge in message.edges if edge.on == on]


def refusal(app: App, delivery: Delivery) -> str:
    with pytest.raises(MessageRefused) as raised:
        Translator(app, {}, high_first=False).translate(delivery)
    return str(raised.value)


def delivered(body: Any, **fields: Any) -> Delivery:
    packed = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(
        "q", packed, **{"content_type": "application/json", "content_encoding": "utf-8", **fields}
    )


def minimal(body: Any = None, **fields: Any) -> Delivery:
    """Protocol 2 with no more than it takes."""
    headers = {"task": "old.add", "id": "an-id", "lang": "js", **fields.pop("headers", {})}
    given = [[1, 2], {}, {}] if body is None else body
    return delivered(given, headers=headers, **fields)
