"""Growth is measured in a store of its own, and told as factors."""

from __future__ import annotations

import pytest

from benchmarks.growth import growth_table
from benchmarks.growth_rows import measured
from benchmarks.results import Results


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_steps_are_measured_at_each_size(store: str) -> None:
    found = measured(store, {"locks": [2, 4], "values": [10]})
    assert found["values: the whole life of a message"][0] > 0
    assert len(found["trail: all of one message"]) == 2
    assert len(found["the longest script or transaction"]) == 2


def test_a_table_tells_factors() -> None:
    results = Results({})
    results.add("growth", "ours", {"backlog|1": 50.0, "backlog|10": 55.0, "backlog|100": 500.0})
    results.add("growth", "before", {"backlog|1": 50.0, "backlog|10": 500.0})
    head, rows = growth_table(results, ["ours", "before"])
    assert head[1:] == ["ours", "before"]
    assert rows == [["backlog", "50; 1.1 x, 10.0 x", "50; 10.0 x, -"]]
