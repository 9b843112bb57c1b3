"""A Celery worker on RabbitMQ, next to the bridge with a worker of ours, on the same kind of queue.

    python -m benchmarks.bridge --messages 20000 --rounds 5

Every row runs the same messages, as Celery's own producer writes them, from a durable queue of one
RabbitMQ, with an empty body and two worker processes. They wait before anything starts; the rate is
that of all of them, from the start of the first body to the start of the last. Rows take turns, so
that what disturbs the machine disturbs all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import amqp
from celery import Celery

from tests.bridge.rabbitmq import RabbitMQ
from tests.redis_server import RedisServer

from . import probe, processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ROWS", "Row", "main", "measure"]

PROGRAM = "benchmarks.bridge_tasks"
STALLED_S = 60.0
HEADINGS = ("row", "messages/s", "from", "to", "µs of processor per message", "of it, by")


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the messages.

    Attributes:
        prefetch: a Celery worker's prefetch multiplier; 0 for the bridge and a worker of ours.
        acks_late: Celery's setting, with which it gives a guarantee like ours.
        store: of ours, "redis" or "sqlite".
    """

    name: str
    prefetch: int = 0
    acks_late: bool = False
    store: str = ""


ROWS = (
    Row("Celery", 4),
    Row("Celery, prefetch multiplier 64", 64),
    Row("Celery, acks_late", 4, acks_late=True),
    Row("Celery, acks_late, prefetch multiplier 64", 64, acks_late=True),
    Row("bridge and worker, Redis", store="redis"),
    Row("bridge and worker, SQLite", store="sqlite"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one row did in one round; processor time is in µs per message."""

    per_second: float
    cpu_us: dict[str, float]


def fill(server: RabbitMQ, queue: str, count: int) -> None:
    """Publish as Celery does, and wait until the broker has them all."""
    protocol = Celery("producer", broker=server.url).amqp
    with server.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, auto_delete=False)
        for number in range(count):
            made = protocol.as_task_v2(f"{queue}-{number}", "empty", (), {})
            body, kind, encoding = _encoded(made.body)
            message = amqp.Message(
                body,
                content_type=kind,
                content_encoding=encoding,
                application_headers=made.headers,
                delivery_mode=2,
                priority=0,
                **made.properties,
            )
            channel.basic_publish(message, exchange="", routing_key=queue)
        _until(lambda: channel.queue_declare(queue, passive=True).message_count >= count, "fill")


def _encoded(body: object) -> tuple[str, str, str]:
    from kombu.serialization import dumps  # noqa: PLC0415 - for this alone

    kind, encoding, text = dumps(body, "json")
    return text, kind, encoding


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + STALLED_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing has moved for {STALLED_S:.0f} s: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def _started(folder: Path, name: str, command: Sequence[str], env: dict[str, str]) -> Iterator[int]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(row: Row, server: RabbitMQ, count: int) -> Measured:
    """Fill a queue of its own and let the row drain it."""
    queue = f"bench-{os.getpid()}-{time.monotonic_ns()}"
    fill(server, queue, count)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-bridge-")))
        probes = folder / "probes"
        probes.mkdir()
        env = {probe.FOLDER: str(probes), "BENCH_SIDE": "celery" if row.prefetch else "ours"}
        parts = {"broker": server.pid}
        if row.prefetch:
            env |= {"BENCH_STORE": server.url, "BENCH_ACKS_LATE": "1" * row.acks_late}
            command = ["celery", "-q", "-A", PROGRAM, "worker", "-c", "2", "-l", "WARNING"]
            command += ["-Q", queue, "--prefetch-multiplier", str(row.prefetch)]
            parts["worker"] = stack.enter_context(_started(folder, "worker", command, env))
        else:
            parts |= _ours(stack, folder, row, server.url, queue, env)
        begun = _until_more(probes, 0).bodies  # what starting costs is left out
        before = {name: processes.cpu_seconds(pid) for name, pid in parts.items()}
        seen = _drained(probes, count)
        used = {n: processes.cpu_seconds(pid) - before[n] for n, pid in parts.items()}
    with server.connect() as connection:
        connection.channel().queue_delete(queue)
    seconds = (seen.last_ns - seen.first_ns) / 1e9
    return Measured(count / seconds, {n: s / (count - begun) * 1e6 for n, s in used.items()})


def _ours(
    stack: contextlib.ExitStack,
    folder: Path,
    row: Row,
    broker: str,
    queue: str,
    env: dict[str, str],
) -> dict[str, int]:
    parts = {}
    env["BENCH_STORE"] = f"sqlite:///{folder / 'store.db'}"
    if row.store == "redis":
        redis = stack.enter_context(RedisServer())
        parts["store"], env["BENCH_STORE"] = redis.pid, redis.url
    ours = ["reliable_tasks", "-q", "-A", PROGRAM]
    worker = [*ours, "worker", "-c", "2", "-l", "WARNING", "-Q", queue]
    parts["worker"] = stack.enter_context(_started(folder, "worker", worker, env))
    bridge = [*ours, "bridge", "--from", broker, "-Q", queue]
    parts["bridge"] = stack.enter_context(_started(folder, "bridge", bridge, env))
    return parts


def _drained(probes: Path, count: int) -> probe.Seen:
    """Wait for all bodies, for as long as something moves."""
    seen = probe.Seen()
    while seen.bodies < count:
        seen = _until_more(probes, seen.bodies)
    return seen


def _until_more(probes: Path, than: int) -> probe.Seen:
    _until(lambda: probe.look(probes).bodies > than, f"more than {than} bodies")
    return probe.look(probes)


def table(rows: Sequence[Row], found: dict[str, list[Measured]]) -> str:
    """The medians, in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    for row in rows:
        rates = [measured.per_second for measured in found[row.name]]
        names = found[row.name][0].cpu_us
        used = {n: statistics.median(m.cpu_us[n] for m in found[row.name]) for n in names}
        parts = ", ".join(f"{name} {value:.0f}" for name, value in used.items())
        numbers = [statistics.median(rates), min(rates), max(rates), sum(used.values())]
        lines.append(f"| {row.name} | {' | '.join(f'{n:,.0f}' for n in numbers)} | {parts} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="", help="only rows with one of these in their names")
    given = parser.parse_args(argv)
    rows = [row for row in ROWS if any(part in row.name for part in given.rows.split(","))]
    found: dict[str, list[Measured]] = {row.name: [] for row in rows}
    with RabbitMQ() as server:
        for number in range(given.rounds):
            turn = number % len(rows)
            for row in rows[turn:] + rows[:turn]:
                measured = measure(row, server, given.messages)
                found[row.name].append(measured)
                said = f"round {number + 1}, {row.name}: {measured.per_second:,.0f}/s"
                print(f"{said}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(table(rows, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
