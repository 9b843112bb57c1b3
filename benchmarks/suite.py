"""Runs measures over systems, round by round, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from reliable_tasks import __version__
from tests.redis_server import default_server

from . import environments
from .arena import ROOT, BenchmarkError
from .measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .arena import Place
    from .results import Results
    from .scale import Scale
    from .systems import System

__all__ = ["describe", "run"]

_FEW = 3


def run(
    results: Results,
    systems: Sequence[System],
    names: Sequence[str],
    rounds: int,
    place: Place,
    scale: Scale,
    saved: Callable[[], None],
    *,
    decisive: bool = False,
) -> None:
    """Run each measure for each system, `rounds` times; each round begins with another system.

    `decisive`: only for the systems on which a goal depends, and not more often than it needs.
    """
    for name in names:
        measure = MEASURES[name]
        wanted = measure.decides if decisive else measure.fits
        fitting = [system for system in systems if wanted(system)]
        for number in range(min(rounds, _FEW) if decisive and measure.stays else rounds):
            turn = number % len(fitting) if fitting else 0
            for system in fitting[turn:] + fitting[:turn]:
                _run_one(results, system, name, number, place, scale)
                saved()


def _run_one(
    results: Results, system: System, name: str, number: int, place: Place, scale: Scale
) -> None:
    began = time.monotonic()
    what = f"{name}, round {number + 1}, {system.name}"
    try:
        numbers = MEASURES[name].run(system, place, scale)
    except BenchmarkError as exc:
        results.failures.append(f"{what}: {exc}")
        print(f"{what}: FAILED: {exc}", file=sys.stderr, flush=True)
        return
    results.add(name, system.name, numbers)
    said = ", ".join(f"{key} {value:,.2f}" for key, value in numbers.items())
    print(f"{what} ({time.monotonic() - began:.1f} s): {said}", flush=True)


def describe(
    place: Place, peers: Sequence[str], rounds: int, before: Path | None = None
) -> dict[str, str]:
    """Machine and versions, in words."""
    server = default_server()
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d}, {rounds} rounds",
        "machine": f"{os.cpu_count()} processors ({_processor()}), {platform.system()}",
        "Python": platform.python_version(),
        "server": f"{server.path.name} {server.version}, no persistence, on the same machine",
        "reliable_tasks": f"{_commit(ROOT)}, redis {version('redis')}",
        **({"before": _commit(before)} if before else {}),
        **environments.versions(place.venvs, peers),
    }


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    commit = done.stdout.strip()
    return f"{__version__} ({commit})" if commit else __version__


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
