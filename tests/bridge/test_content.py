"""JSON bodies are what kombu reads in them, whichever decoder does it."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from kombu.utils import json as kombu_json

from reliable_tasks.contrib.bridge.content import content_of
from reliable_tasks.contrib.bridge.sources import Delivery


def read(text: str) -> Any:
    return content_of(Delivery("q", text.encode(), "application/json", "utf-8"), 10_000)


@pytest.mark.parametrize(
    "text",
    [
        '[[1, "ü"], {}, {}]',
        ' {"a": {"": null}}\n',
        "[Infinity, -Infinity, 1e400]",
        '"\\ud800"',
        "[123456789012345678901234567890, 18446744073709551616, 0.1234567890123456789]",
        '{"a": 1, "a": 2}',
        '{"\\u005f_type__": "decimal", "__value__": "1.5"}',
    ],
)
def test_texts(text: str) -> None:
    assert read(text) == kombu_json.loads(text)


@pytest.mark.parametrize(
    "value",
    [dt.datetime(2026, 11, 28, tzinfo=dt.UTC), uuid.uuid4(), Decimal("1.50"), b"bytes"],
)
def test_kombus_own_kinds(value: object) -> None:
    assert read(kombu_json.dumps([[value], {}, {}])) == [[value], {}, {}]


def test_nan() -> None:
    assert str(read("[NaN]")) == "[nan]"
