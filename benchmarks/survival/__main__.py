"""`python -m benchmarks.survival`: what becomes of messages when things die, side by side."""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import environments, suite
from benchmarks.arena import Place
from benchmarks.report import insert
from benchmarks.systems import PEERS
from tests.redis_server import default_server

from .contenders import contenders
from .goals import misses
from .many import run_many
from .page import markdown
from .scenarios import BRIEF, FULL, SCENARIOS, Found, Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

COMMAND = "python -m benchmarks.survival"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    add = parser.add_argument
    add("--peers", default=",".join(PEERS), help="with commas; '' for none")
    add("--only", default=",".join(SCENARIOS), help=f"of {', '.join(SCENARIOS)}")
    add("--at-once", type=int, default=12, help="how many systems are tried at the same time")
    add("--brief", action="store_true", help="fewer messages and short waits")
    add("--out", type=Path, help="the page to write: results go between its marks")
    add("--venvs", type=Path, default=environments.DEFAULT_FOLDER, help="the peers' environments")
    add("--work", type=Path, help="where databases lie meanwhile")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run it; returns the exit code: 0 if our own rows reach their goals."""
    given = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is cleaned up
    peers = tuple(name for name in given.peers.split(",") if name)
    for peer in peers:
        environments.make(given.venvs, peer)
    place = Place(given.venvs, given.work)
    plan = BRIEF if given.brief else FULL
    systems = contenders(peers)
    jobs = [
        (system, name)
        for name in given.only.split(",")
        for system in systems
        if SCENARIOS[name].fits(system)
    ]
    about = suite.describe(place, peers, 1)
    found: list[Found] = []
    failures: list[str] = []
    for system, name, result in run_many(jobs, plan, place, given.at_once):
        if isinstance(result, Found):
            found.append(result)
        else:
            failures.append(f"{name}, {system.name}: {result}")
        print(f"{name}, {system.name}: {result}", flush=True)
    about |= _about(found, plan, given.at_once)
    text = markdown(found, systems, about, failures)
    if given.out is None:
        print(text)
    else:
        insert(given.out, text, COMMAND)
        data = {"about": about, "found": [asdict(f) for f in found], "failures": failures}
        given.out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    ours = {system.name for system in systems if system.is_ours}
    return 1 if failures or any(misses(f) for f in found if f.system in ours) else 0


def _about(found: Sequence[Found], plan: Plan, at_once: int) -> dict[str, str]:
    naps = [f.body_ms for f in found if f.scenario != "zombie"]
    usual, late = (statistics.median(ms) for ms in zip(*naps, strict=True)) if naps else (0.0, 0.0)
    server = default_server()
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "how": f"one system was hurt at a time, up to {at_once} were watched",
        "server": f"{server.path.name} {server.version}, appendonly yes, appendfsync always",
        "messages": f"{plan.tasks} of {plan.task_ms} ms; for the zombie "
        f"{plan.zombie_tasks} of {plan.zombie_ms} ms, stopped for {plan.stop_s:g} s",
        "undisturbed": f"a body of {plan.task_ms} ms took {usual:.1f} ms, and in 99 of 100 cases "
        f"at most {late:.1f} ms (the median of all rows)",
    }


if __name__ == "__main__":
    sys.exit(main())
