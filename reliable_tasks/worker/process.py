"""The worker's outer shell: real processes and signals around the supervisor."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
from typing import TYPE_CHECKING

from reliable_tasks import clock, events, signals
from reliable_tasks.errors import StoreFull, StoreUnavailable
from reliable_tasks.store.values import SessionInfo

from .board import Board
from .child import run_child
from .host import host_identity, process_gone, process_started
from .options import WorkerOptions, check_options
from .pools import pool_class
from .supervisor import Stopping, Supervisor, SupervisorOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.app import App

    from .board import Posted

__all__ = ["WorkerOptions", "run_worker"]

_TICK_S = 0.1  # how late a time limit may be noticed
_COMPANION_PAUSE_S = 1.0


class _Processes:
    """The supervisor's hands: forks, kills and waits."""

    def __init__(self, app: App, options: WorkerOptions) -> None:
        self._app = app
        self._options = options
        self._slots = 1 if pool_class(options.pool).many_processes else options.concurrency
        self._boards: dict[int, Board] = {}
        self._companions: dict[int, Callable[[], int]] = {}

    def spawn(self, session: str) -> int:
        board, parent = Board(self._slots), os.getpid()
        pid = self._fork(lambda: run_child(self._app, self._options, session, board, parent))
        self._boards[pid] = board
        return pid

    def _fork(self, main: Callable[[], int]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        self._app.close()  # no connection crosses a fork
        gc.freeze()  # what is there now is shared with the child, and stays so
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            code = main()
        except BaseException as exc:  # noqa: BLE001 - nothing may unwind into the parent's stack
            events.emit("child.crashed", pid=os.getpid(), error=repr(exc))
            sys.excepthook(type(exc), exc, exc.__traceback__)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def start_companions(self) -> None:
        for main in self._options.companions:
            self._companions[self._fork(main)] = main

    def stop_companions(self, number: int) -> None:
        for pid in self._companions:
            _send(pid, number)

    def drain(self, pid: int) -> None:
        _send(pid, signal.SIGTERM)

    def soft_limit(self, pid: int) -> None:
        _send(pid, signal.SIGUSR1)

    def kill(self, pid: int) -> None:
        _send(pid, signal.SIGKILL)

    def dead(self) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid in self._companions:
                self._companion_died(pid)
                continue
            code = os.waitstatus_to_exitcode(status)
            how = "" if code == 0 else f"exit code {code}" if code > 0 else _signal_name(-code)
            found.append((pid, how))

    def _companion_died(self, pid: int) -> None:
        main = self._companions.pop(pid)
        events.emit("child.died", pid=pid, session=None, how="companion")
        self._companions[self._fork(lambda: _after_pause(main))] = main

    def forget_companions(self) -> None:
        """They are going down with the worker: do not start them again."""
        self._companions = {}

    def running(self, pid: int) -> tuple[Posted, ...]:
        board = self._boards.get(pid)
        return board.running() if board else ()

    def begun(self, pid: int) -> frozenset[int]:
        board = self._boards.get(pid)
        return board.begun() if board else frozenset()

    def forget(self, pid: int) -> None:
        self._boards.pop(pid).close()

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        here = host_identity()
        return [s.id for s in sessions if s.host == here and process_gone(s.pid, s.pid_started)]


def _after_pause(main: Callable[[], int]) -> int:
    clock.sleep(_COMPANION_PAUSE_S)  # a companion that dies at once must not burn the machine
    return main()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended already; the next wait tells


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Signals:
    """Collects signals; the loop acts on them."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._before = {
            number: signal.signal(number, self._note)
            for number in (
                signal.SIGTERM,
                signal.SIGINT,
                signal.SIGQUIT,
                signal.SIGHUP,
                signal.SIGCHLD,
            )
        }
        self._fd_before = signal.set_wakeup_fd(self._in)

    def _note(self, number: int, _frame: object) -> None:
        self.came.append(number)

    def wait(self, timeout: float) -> None:
        if not self.came:
            ready, _, _ = select.select([self._out], [], [], timeout)
            if ready:
                os.read(self._out, 512)

    def close(self) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._out)
        os.close(self._in)


def run_worker(app: App, options: WorkerOptions) -> int:
    """Run a worker in this process until it is told to stop.

    TERM or Ctrl-C finishes what runs and gives the rest back; a second one, or QUIT, gives
    everything back at once.

    Returns:
        The exit code: 0, or 1 if it did not stop by being told to.

    Raises:
        ConfigError: an option is not possible.
        StoreError: the store is of no use, and trying again would not help.
    """
    app.import_modules()
    check_options(app, options)
    settings = app.settings
    # Opened now, so that what is wrong with it is told before anything runs. Where it only is away,
    # the supervisor waits for it, at the start as at any other time.
    with contextlib.suppress(StoreUnavailable, StoreFull):
        app.store.sessions()
    signals.worker_init.send(app)
    pid = os.getpid()
    info = SessionInfo(
        id="",
        worker=options.hostname,
        host=host_identity(),
        pid=pid,
        pid_started=process_started(pid),
        queues=options.queues,
    )
    processes = _Processes(app, options)
    many = pool_class(options.pool).many_processes
    supervisor = Supervisor(
        app.store,
        processes,
        SupervisorOptions(
            info=info,
            children=options.concurrency if many else 1,
            lease_ms=round(settings.session_lease * 1000),
            heartbeat_s=settings.heartbeat_interval or settings.session_lease / 4,
            grace_s=options.shutdown_timeout,
        ),
    )
    events.emit("worker.started", worker=options.hostname, pid=pid, store=app.store.location)
    noticed = _Signals()
    try:
        processes.start_companions()
        signals.worker_ready.send(app)
        _loop(supervisor, processes, noticed)
    finally:
        noticed.close()
    signals.worker_shutdown.send(app)
    events.emit("worker.stopped", worker=options.hostname, pid=pid)
    app.close()
    return 0


def _loop(supervisor: Supervisor, processes: _Processes, noticed: _Signals) -> None:
    while not supervisor.finished:
        now = clock.monotonic()
        while noticed.came:
            _obey(noticed.came.pop(0), supervisor, processes, now)
        supervisor.step(now)
        noticed.wait(max(0.0, min(_TICK_S, supervisor.next_due(now) - now)))


def _obey(number: int, supervisor: Supervisor, processes: _Processes, now: float) -> None:
    if number == signal.SIGCHLD:
        return  # it only woke the loop, which looks for dead children anyway
    cold = number == signal.SIGQUIT or supervisor.stopping is not Stopping.NO
    how = Stopping.COLD if cold else Stopping.WARM
    events.emit("worker.stopping", how=how.name.lower(), signal=_signal_name(number))
    signals.worker_shutting_down.send(None, sig=_signal_name(number), how=how.name.capitalize())
    processes.stop_companions(signal.SIGKILL if cold else signal.SIGTERM)
    processes.forget_companions()
    supervisor.stop(how, now)
