"""Pauses between tries."""

from __future__ import annotations

import pytest

from reliable_tasks.core.backoff import Backoff


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(first_s=0.5, longest_s=3.0), [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]),
        (Backoff(0.0, 1.0, factor=1.0, step_s=0.4), [0.0, 0.0, 0.4, 0.8, 1.0, 1.0]),
        (Backoff(5.0, 2.0), [0.0, 2.0, 2.0]),
    ],
)
def test_pauses_grow_up_to_the_longest(backoff: Backoff, pauses: list[float]) -> None:
    assert [backoff.pause_s(failures) for failures in range(len(pauses))] == pytest.approx(pauses)


def test_there_may_be_any_number_of_failures() -> None:
    assert Backoff(0.1, 5.0).pause_s(10**6) == 5.0
