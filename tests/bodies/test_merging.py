"""The arguments of a retry, against what Celery 5.7 makes of them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from reliable_tasks.bodies.merging import merged_call


def of_all_kinds(x: Any, /, y: Any = 1, *rest: Any, z: Any = 0, **more: Any) -> Any:
    """One parameter of each kind."""
    return x, y, rest, z, more


def of_two(x: Any, y: Any = 1) -> Any:
    return x, y


Call = tuple[tuple[Any, ...], dict[str, Any]]


@pytest.mark.parametrize(
    ("function", "had", "args", "kwargs", "call"),
    [
        (of_two, ((1,), {"y": 2}), None, None, ((1,), {"y": 2})),
        (of_two, ((1,), {"y": 2}), (9,), None, ((9,), {"y": 2})),
        (of_two, ((1,), {"y": 2}), (9, 8), None, ((9, 8), {})),
        (of_two, ((1,), {"y": 2}), (9,), {}, ((9,), {})),
        (of_two, ((1,), {}), None, {"x": 5}, ((5,), {})),
        (of_two, ((1, 2), {}), None, {"x": 5}, ((5, 2), {})),
        (of_two, ((1,), {"y": 2}), None, {"y": 5}, ((1,), {"y": 5})),
        (of_two, ((), {"x": 1, "y": 2}), None, {"y": 5}, ((), {"y": 5})),
        (of_two, ((1, 2, 3), {}), None, {"x": 5}, ((1, 2, 3), {"x": 5})),
        (of_all_kinds, ((1, 2, 3), {"z": 4}), None, {"y": 5, "x": 6}, ((1, 5, 3), {"x": 6})),
        (of_all_kinds, ((1,), {"x": 2, "z": 4}), (9, 8), None, ((9, 8), {"x": 2, "z": 4})),
    ],
)
def test_what_is_given_goes_over_what_was_there(
    function: Any, had: Call, args: Any, kwargs: Any, call: Call
) -> None:
    assert merged_call(inspect.signature(function), had, args, kwargs) == call
