"""Fields of a log line whose values JSON cannot say."""

from __future__ import annotations

import json

from reliable_tasks.log.lines import as_json


def test_only_what_json_cannot_say_becomes_text() -> None:
    circle: list[object] = []
    circle.append(circle)
    line = {"attempt": 1, "name": "a\udc80", "k\udc80": None, "circle": circle, "at": [1.5]}
    assert json.loads(as_json(line)) == {
        "attempt": 1,
        "name": "a\\udc80",
        "k\\udc80": None,
        "circle": "[[...]]",
        "at": [1.5],
    }
