"""The measurement of the bridge beside a Celery worker works, on few messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bridge import ROWS, measure, table

if TYPE_CHECKING:
    from tests.bridge.rabbitmq import RabbitMQ


def test_both_sides_run_all_messages(rabbitmq: RabbitMQ) -> None:
    rows = [row for row in ROWS if row.name in {"Celery, acks_late", "bridge and worker, Redis"}]
    found = {row.name: [measure(row, rabbitmq, 300)] for row in rows}
    (theirs,), (ours,) = found.values()
    assert set(theirs.cpu_us) == {"broker", "worker"}
    assert set(ours.cpu_us) == {"broker", "store", "worker", "bridge"}
    assert min(theirs.per_second, ours.per_second) > 0
    lines = table(rows, found).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {row.name}" for row in rows]
