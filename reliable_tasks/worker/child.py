"""A child: one process with a session, a consumer and a pool."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from reliable_tasks import events, signals
from reliable_tasks.attempts.executor import Executor
from reliable_tasks.core.clock import sleep
from reliable_tasks.worker.exchanger import InlineExchanger, ThreadedExchanger

from .consumer import Consumer
from .copies import handle
from .pools import pool_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.worker.scoreboard import Scoreboard

    from .options import WorkerOptions
    from .pools.base import Pool

__all__ = ["CHILD_SIGNALS", "run_child"]

CHILD_SIGNALS = frozenset({signal.SIGTERM, signal.SIGUSR1})
"""Signals that a supervisor sends to a child; blocked until the child handles them."""

_PR_SET_PDEATHSIG = 1
_ORPHAN_CHECK_S = 1.0


def run_child(
    app: AppContext, options: WorkerOptions, session: str, board: Scoreboard, parent: int
) -> int:
    """Work for a session until told to stop; returns the exit code."""
    _die_with(parent)
    if options.pool != "solo":
        _stand_apart()
    settings = app.settings
    store = app.store
    chosen = pool_class(options.pool)
    slots = 1 if chosen.many_processes else options.concurrency
    executor = Executor(
        app,
        options.hostname,
        soft_time_limit=options.soft_time_limit,
        time_limit=options.time_limit,
    )
    consumer = Consumer(
        options.queues,
        slots,
        ahead_s=settings.claim_ahead_ms / 1000,
        max_tasks=options.max_tasks_per_child,
        trusted_s=settings.session_lease / 2,
    )
    pool = chosen(executor, store, board, slots, options.max_memory_per_child_kib)
    kind = InlineExchanger if pool.inline else ThreadedExchanger
    pool.exchanger = kind(
        consumer,
        store,
        session,
        pool.claims_came,
        on_answer=board.count_answer,
        on_crash=_end_loudly,
    )
    # TERM comes from the supervisor, which alone interprets Ctrl-C. Draining takes a lock that the
    # main thread may hold, so a thread of its own does it.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    otherwise: dict[signal.Signals, Callable[[], object]] = {
        signal.SIGTERM: lambda: threading.Thread(target=pool.exchanger.drain).start(),
        signal.SIGUSR1: pool.soft_limit,
        **dict.fromkeys((signal.SIGINT, signal.SIGQUIT, signal.SIGHUP), lambda: None),
    }
    handle({number: partial(_heard, pool, number, otherwise[number]) for number in otherwise})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD_SIGNALS)
    app.on_after_fork.send(app)
    signals.worker_process_init.send(None)
    pool.exchanger.start()
    pool.run()
    pool.exchanger.join()
    signals.worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)
    app.close()
    return 0


def _heard(pool: Pool, number: signal.Signals, otherwise: Callable[[], object]) -> None:
    """Handle a signal: the scoreboard says whether it is about a revoked message."""
    if not pool.hear_of_revocation(number):
        otherwise()


def _end_loudly(exc: BaseException) -> None:
    """End the process from any thread; the supervisor replaces it and counts what ran."""
    try:
        events.emit("child.crashed", pid=os.getpid(), error=repr(exc))
        sys.excepthook(type(exc), exc, exc.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(1)


def _stand_apart() -> None:
    """Lead a process group, so that what bodies start can be killed along with this process."""
    os.setpgid(0, 0)
    if os.isatty(0):
        # The system stops a background group that reads from the terminal: give it /dev/null.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)


def _die_with(parent: int) -> None:
    """End at once when the supervisor does: nobody would renew the session."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        sleep(_ORPHAN_CHECK_S)
    os._exit(1)
