"""What a load takes: `python -m benchmarks.capacity --rate 20000 --body 50ms --results 1d`.

Measures for a minute what single steps cost on this machine: processor time of the server, of a
producer and of a worker, memory, bytes on the network, round trips. From that it works out how many
servers, worker processes, how much memory and network a load takes, and runs real workers at three
points to say how far off it is. Costs are of this machine: run it on one like those you will have.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from reliable_tasks.store.values import StoreOptions
from tests.redis_server import default_server

from . import capacity_costs
from .arena import BenchmarkError
from .capacity_model import GIB, Costs, Demand, Plan, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
POINTS = ((0.0, 2, 0.0), (0.005, 2, 0.3), (0.05, 6, 0.7))
"""Of the runs: how long a body takes, how many processes there are, how busy they are to be.

Not busy at all: empty bodies, which all wait when the worker starts.
"""
SECONDS = 6.0
MOST_BYTES = StoreOptions().max_message_bytes
_CHECKED = {
    "server_us": "server, µs",
    "worker_us": "worker, µs",
    "bytes": "network, bytes",
    "memory": "memory, bytes",
}
_MOST_BODY_S, _MOST_RATE, _LEAST_MEMORY = 86400.0, 1e8, 64 << 20


def _quantity(text: str, units: dict[str, float] | dict[str, int], example: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not found or found[2] not in units:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number with a unit of {', '.join(units)}: give it as {example}"
        )
    return float(found[1]) * units[found[2]]


def _span(text: str) -> float:
    return 0.0 if text.strip() == "0" else _quantity(text, _UNITS, "50ms, 2s or 1d")


def _bytes(text: str) -> float:
    return _quantity(text, _SIZES, "100B, 4KiB or 64GiB")


def _memory(text: str) -> float:
    if (size := _bytes(text)) < _LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a server needs for itself: 64MiB")
    return size


def _above(text: str, most: float) -> float:
    try:
        number = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = math.nan
    if not 0 < number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and up to {most:,.10g}")
    return number


def _rate(text: str) -> float:
    return _above(text, _MOST_RATE)


def _share(text: str) -> float:
    return _above(text, 0.95)


def _count(text: str) -> int:
    if not text.replace(",", "").replace("_", "").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of messages, such as 1000000")
    return int(text.replace(",", ""))


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity", description=__doc__, formatter_class=form
    )
    add = parser.add_argument
    add("--rate", type=_rate, required=True, help="messages a second")
    add("--body", type=_span, required=True, help="how long a body takes: 50ms")
    add("--results", type=_span, required=True, help="how long they are kept: 1d; 0 for not at all")
    add("--size", type=_bytes, default=100.0, help="of the arguments, and of a result: 100B")
    add("--backlog", type=_count, default=1_000_000, help="messages that may have to wait")
    add("--memory", type=_memory, default=64.0 * GIB, help="of one server: 64GiB")
    add("--busy", type=_share, default=0.7, help="share of its time that anything is to be busy")
    add("--many", action="store_true", help="calls come many at once, by enqueue_many")
    add("--no-runs", action="store_true", help="only work it out, and do not check it")
    add("--json", action="store_true", help="everything as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measure, work it out, check it; returns the exit code."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.body > _MOST_BODY_S:
        parser.error(f"--body {given.body:g} s is more than a day: say what one message takes")
    if given.size > MOST_BYTES:
        parser.error(f"--size {given.size:,.0f} is over max_message_bytes={MOST_BYTES:,}")
    demand = Demand(
        rate=given.rate,
        body_s=given.body,
        kept_s=given.results,
        backlog=given.backlog,
        memory=given.memory,
        busy=given.busy,
        many=given.many,
    )
    try:
        found = capacity_costs.costs("x" * int(given.size))
        checks = [] if given.no_runs else list(_checks(found, "x" * int(given.size)))
    except BenchmarkError as exc:
        print(f"nothing was worked out, since a run failed: {exc}", file=sys.stderr)
        return 1
    result = plan(found, demand)
    if given.json:
        print(json.dumps(_as_json(found, demand, result, checks), indent=1))
    else:
        print("\n".join(_said(found, demand, result, checks)))
    return 0


# Checking ----------------------------------------------------------------------------------------


def _checks(costs: Costs, padding: str) -> Iterator[dict[str, float]]:
    """Runs of real workers beside what is said of them."""
    for body_s, processes, busy in POINTS:
        rate = processes * busy / (body_s + costs.worker_us / 1e6)
        demand = Demand(rate=rate or _MOST_RATE, body_s=body_s, kept_s=0.0, many=not rate)
        said = plan(costs, demand, processes)
        message = said.message if rate else said.message.plus(costs.call_many, -1.0)
        seen = capacity_costs.run(
            processes_=processes, seconds=SECONDS, rate=rate, body_s=body_s, padding=padding
        )
        check = {
            "body_s": body_s,
            "processes": processes,
            "rate": rate,
            "reached": seen.rate,
            "server_us": message.server_us,
            "server_us_seen": seen.used.server_us,
            "worker_us": said.worker_us,
            "worker_us_seen": seen.worker_us,
            "bytes": message.received + message.sent,
            "bytes_seen": seen.used.received + seen.used.sent,
        }
        if not rate:  # enough messages that what a server allocates at once is little of it
            check |= {"memory": costs.ended_bytes, "memory_seen": seen.growth_bytes}
        yield check


def _error(check: dict[str, float], name: str) -> float:
    return check[name] / check[f"{name}_seen"] - 1


# Saying ------------------------------------------------------------------------------------------


def _as_json(
    costs: Costs, demand: Demand, result: Plan, checks: Sequence[dict[str, float]]
) -> dict[str, object]:
    checked = [{**c, **{f"{n}_error": _error(c, n) for n in _CHECKED if n in c}} for c in checks]
    told = {**asdict(result), "servers": result.servers}
    return {"demand": asdict(demand), "plan": told, "costs": asdict(costs), "checks": checked}


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


def _time(seconds: float) -> str:
    """In the largest unit that leaves a whole number."""
    unit = next(u for u, s in reversed(_UNITS.items()) if seconds >= s or s == _UNITS["us"])
    return f"{seconds / _UNITS[unit]:g} {unit}"


def _said(
    costs: Costs, demand: Demand, result: Plan, checks: Sequence[dict[str, float]]
) -> Iterator[str]:
    server = default_server()
    kept = _time(demand.kept_s) if demand.kept_s else "not at all"
    one, memory = result.message, result.memory_bytes
    body = _time(demand.body_s) if demand.body_s else "no time"
    yield f"{demand.rate:,.0f} messages a second, bodies of {body}, results kept {kept}"
    yield f"measured on {server.path.name} {server.version}, {os.cpu_count()} processors"
    yield ""
    yield f"servers            {result.servers:>12,}  the larger of the next two"
    yield (
        f"  for its cores    {result.servers_for_cores:>12,}  {result.server_cores:,.1f} cores: a "
        f"server uses one, at most {demand.busy:.0%} of it"
    )
    yield (
        f"  for its memory   {result.servers_for_memory:>12,}  {_size(memory)} in all, "
        f"{_size(demand.memory)} each"
    )
    carried = demand.busy / one.server_us * 1e6
    yield f"  one carries      {carried:>12,.0f}  a second of these messages"
    yield (
        f"worker processes   {result.processes:>12,}  {demand.busy:.0%} busy; "
        f"{result.queued:.1%} of the messages find none idle"
    )
    yield f"  their own work   {result.worker_cores:>12,.1f}  cores, besides what the bodies use"
    yield f"producers          {result.producer_cores:>12,.1f}  cores"
    yield (
        f"network            {result.received_per_s / 1e6:>12,.1f}  MB/s to the servers, "
        f"{result.sent_per_s / 1e6:,.1f} from them"
    )
    yield f"round trips        {result.trips_per_s:>12,.0f}  a second"
    yield ""
    yield "of one message:"
    yield (
        f"  {one.server_us:,.0f} µs of the server, {result.worker_us:,.0f} of a worker, "
        f"{one.received + one.sent:,.0f} bytes on the network, {one.trips:.1f} round trips"
    )
    yield (
        f"  {costs.waiting_bytes:,.0f} bytes of memory while it waits, {costs.ended_bytes:,.0f} "
        "with its result"
    )
    yield from _checked(checks)
    if result.servers > 1:
        yield ""
        yield "One server ends before this: see docs/explanation/scale.md."


def _checked(checks: Sequence[dict[str, float]]) -> Iterator[str]:
    if not checks:
        return
    yield ""
    yield "held against runs of real workers here (said, seen, error):"
    for c in checks:
        rate = f"{c['rate']:,.0f} a second" if c["rate"] else "all that wait"
        body = f"bodies of {_time(c['body_s'])}" if c["body_s"] else "empty bodies"
        yield f"  {body}, {c['processes']:.0f} processes, {rate} (reached {c['reached']:,.0f})"
        for name, title in _CHECKED.items():
            if name in c:
                seen = c[f"{name}_seen"]
                yield f"    {title:<16}{c[name]:>8,.0f}{seen:>8,.0f}{_error(c, name):>+8.0%}"


if __name__ == "__main__":
    sys.exit(main())
