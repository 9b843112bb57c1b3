"""Several systems at the same time, each in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.arena import BenchmarkError

from .scenarios import Found, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.arena import Place
    from benchmarks.systems import System

    from .scenarios import Plan

__all__ = ["run_many"]

_turn: AbstractContextManager[Any]


def _prepare(turn: AbstractContextManager[Any]) -> None:
    global _turn  # noqa: PLW0603 - a lock is handed to a process when it starts, not with a job
    _turn = turn
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another one would break off the cleaning up
    sys.exit(143)


def _job(system: System, name: str, plan: Plan, place: Place) -> Found | str:
    try:
        return run(system, name, plan, place, _turn)
    except BenchmarkError as exc:
        return str(exc)
    except SystemExit:
        os._exit(143)  # told to end: what ran has been cleaned up, and nothing else is to begin


def run_many(
    jobs: Sequence[tuple[System, str]], plan: Plan, place: Place, at_once: int
) -> Iterator[tuple[System, str, Found | str]]:
    """Run all jobs, in any order: what was found, or why nothing was."""
    context = get_context("spawn")
    with ProcessPoolExecutor(at_once, context, _prepare, (context.Lock(),)) as pool:
        running = {pool.submit(_job, *job, plan, place): job for job in jobs}
        try:
            for future in as_completed(running):
                yield *running[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
