"""The worker's outer shell: real processes and signals around the supervisor."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

from reliable_tasks import events, signals
from reliable_tasks.core import clock
from reliable_tasks.core.waker import SignalInbox
from reliable_tasks.errors import StoreFull, StoreUnavailable
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker.scoreboard import Scoreboard

from .child import CHILD_SIGNALS, run_child
from .host import host_identity, process_gone, process_started
from .options import WorkerOptions, check_options
from .pools import pool_class
from .store_calls import ThreadedCalls
from .supervisor import Stopping, Supervisor, SupervisorOptions
from .watch import TICK_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.worker.scoreboard import Posted

__all__ = ["RESTART", "WorkerOptions", "run_worker"]

RESTART = 75
"""The exit code of a worker that is to be started anew; the command line does so itself."""

_LIVELY_S = 3 * TICK_S  # how long to look often after a child's signal, see `Scoreboard.post`
_COMPANION_PAUSE_S = 1.0
# No call of the store may take longer than a lease: a child that hears nothing for three is stuck.
_LEASES_OF_PATIENCE, _LEAST_PATIENCE_S = 3, 15.0


class _Processes:
    """The real ProcessControl: forks, signals, kills and waits."""

    def __init__(self, app: AppContext, options: WorkerOptions) -> None:
        self._app = app
        self.options = options
        self._slots = 1 if pool_class(options.pool).many_processes else options.concurrency
        self._scoreboards: dict[int, Scoreboard] = {}
        self._companions: dict[int, Callable[[], int]] = {}
        self._to_start = list(options.companions)

    def spawn(self, session: str) -> int:
        signals.worker_before_create_process.send(self._app)
        board, parent = Scoreboard(self._slots), os.getpid()
        # Signals to a child that has no handlers yet must wait for those: the parent's handlers,
        # which the fork copies, would swallow them.
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_SIGNALS)
        try:
            pid = self._fork(lambda: run_child(self._app, self.options, session, board, parent))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD_SIGNALS)
        with contextlib.suppress(OSError):  # it has ended
            os.setpgid(pid, pid)  # as it does itself, perhaps after we want to stop its group
        self._scoreboards[pid] = board
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
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            code = main()
        except BaseException as exc:  # noqa: BLE001 - nothing may unwind into the parent's stack
            events.emit("child.crashed", pid=os.getpid(), error=repr(exc))
            sys.excepthook(type(exc), exc, exc.__traceback__)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def start_companions(self) -> None:
        """Start companions that do not run; one that the system has no room for is tried again."""
        while self._to_start:
            main = self._to_start[0]
            try:
                self._companions[self._fork(main)] = main
            except OSError as exc:
                events.emit("child.not_started", error=str(exc), delay=TICK_S)
                return
            self._to_start.pop(0)

    @property
    def is_complete(self) -> bool:
        """Whether no companion waits to be started."""
        return not self._to_start

    def stop_companions(self, number: int) -> None:
        """Signal the companions, and start them no more: the worker is going down."""
        for pid in self._companions:
            _send(pid, number)
        self._companions, self._to_start = {}, []

    def drain(self, pid: int) -> None:
        _send(pid, signal.SIGTERM)

    def soft_limit(self, pid: int) -> None:
        _send(pid, signal.SIGUSR1)

    def kill(self, pid: int) -> None:
        _send(pid, signal.SIGKILL)
        _kill_group(pid)

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
                main = self._companions.pop(pid)
                events.emit(
                    "child.died", worker=self.options.hostname, pid=pid, how="companion", ids=[]
                )
                self._to_start.append(partial(_after_pause, main))
                continue
            code = os.waitstatus_to_exitcode(status)
            how = "" if code == 0 else f"exit code {code}" if code > 0 else _signal_name(-code)
            if how and _kill_group(pid):
                events.emit("child.leftovers", worker=self.options.hostname, pid=pid)
            found.append((pid, how))

    def terminate(self, pid: int, fence: int, name: str) -> bool:
        self._scoreboards[pid].revoke(fence)
        if not pool_class(self.options.pool).many_processes:
            _send(pid, signal.SIGUSR1)  # the child looks at its scoreboard for which body it is
            return False
        number = signal.Signals.__members__.get(name, signal.SIGTERM)
        if number == signal.SIGKILL:
            self.kill(pid)
        else:
            _send(pid, number)
        return True

    def stand_still(self) -> None:
        """Stop all children until we are continued: Ctrl-Z reaches the supervisor alone."""
        for pid in self._scoreboards:
            _send(-pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        for pid in self._scoreboards:
            _send(-pid, signal.SIGCONT)

    def running(self, pid: int) -> tuple[Posted, ...]:
        board = self._scoreboards.get(pid)
        return board.running() if board else ()

    def begun(self, pid: int) -> frozenset[int]:
        board = self._scoreboards.get(pid)
        return board.begun() if board else frozenset()

    def answers(self, pid: int) -> int:
        board = self._scoreboards.get(pid)
        return board.answers() if board else 0

    def forget(self, pid: int) -> None:
        self._scoreboards.pop(pid).close()

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        here = host_identity()
        processes = {(s.pid, s.pid_started) for s in sessions if s.host == here}
        gone = {process for process in processes if process_gone(*process)}
        return [s.id for s in sessions if s.host == here and (s.pid, s.pid_started) in gone]


def _after_pause(main: Callable[[], int]) -> int:
    clock.sleep(_COMPANION_PAUSE_S)  # a companion that dies at once must not burn the machine
    return main()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended already; the next `dead` finds it


def _kill_group(pid: int) -> bool:
    """Kill what a child's bodies have started; returns whether there was anything."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _inbox() -> SignalInbox:
    """Collect signals from now on, before anything else: none may be lost while a worker starts.

    A hang-up that is ignored stays so: that is what `nohup` is for.
    """
    numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD}
    numbers.add(signal.SIGTSTP)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    inbox = SignalInbox(numbers)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # see `cli.worker`
    return inbox


def run_worker(app: AppContext, options: WorkerOptions) -> int:
    """Run a worker in this process until it is told to stop.

    TERM or Ctrl-C finishes what runs and gives the rest back; a second one, or QUIT, gives
    everything back at once. HUP stops it in the same way as TERM: to be started anew, if it has no
    terminal.

    Returns:
        The exit code: 0; or `RESTART`, if it was told to start anew.

    Raises:
        ConfigError: an option is not possible.
        StoreError: the store is of no use, and trying again would not help.
    """
    with contextlib.closing(_inbox()) as inbox:
        return _run(app, options, inbox)


def _run(app: AppContext, options: WorkerOptions, inbox: SignalInbox) -> int:
    app.import_modules()
    check_options(app, options)
    # Open the store now, so that a wrong URL or login is refused before anything runs. If the store
    # is only away, the supervisor waits for it, at the start as at any other time.
    with contextlib.suppress(StoreUnavailable, StoreFull):
        app.store.sessions()
    signals.worker_init.send(app)
    events.outlive_exits()
    pid = os.getpid()
    processes = _Processes(app, options)
    calls = ThreadedCalls(app.store, inbox.wake)
    supervisor = Supervisor(app.store, processes, _supervisor_options(app, options, pid), calls)
    events.emit(
        "worker.started",
        worker=options.hostname,
        pid=pid,
        store=app.store.location,
        queues=options.queues,
        concurrency=options.concurrency,
        pool=options.pool,
        tasks=len(app.tasks),
    )
    processes.start_companions()
    signals.worker_ready.send(app)
    loop = _Loop(supervisor, processes, inbox, calls)
    loop.run()
    signals.worker_shutdown.send(app)
    code = RESTART if loop.restart else 0
    events.emit("worker.stopped", worker=options.hostname, pid=pid, code=code)
    if calls.idle:  # else closing would wait for a store that has had its time
        calls.close()
        app.close()
    return code


def _supervisor_options(app: AppContext, options: WorkerOptions, pid: int) -> SupervisorOptions:
    settings = app.settings
    return SupervisorOptions(
        info=SessionInfo(
            id="",
            worker=options.hostname,
            host=host_identity(),
            pid=pid,
            pid_started=process_started(pid),
            queues=options.queues,
        ),
        children=options.concurrency if pool_class(options.pool).many_processes else 1,
        lease_ms=round(settings.session_lease * 1000),
        heartbeat_s=settings.heartbeat_seconds,
        grace_s=options.shutdown_timeout,
        patience_s=max(_LEAST_PATIENCE_S, _LEASES_OF_PATIENCE * settings.session_lease),
    )


class _Loop:
    """Steps the supervisor and obeys signals, whatever goes wrong in between.

    Attributes:
        restart: whether the worker was told to start anew.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        processes: _Processes,
        inbox: SignalInbox,
        calls: ThreadedCalls,
    ) -> None:
        self._supervisor = supervisor
        self._processes = processes
        self._inbox = inbox
        self._calls = calls
        self._lively_until = 0.0
        self.restart = False

    def run(self) -> None:
        supervisor, inbox = self._supervisor, self._inbox
        while not supervisor.finished:
            now = clock.monotonic()
            try:
                while inbox.came:
                    self._obey(inbox.came.pop(0), now)
                supervisor.step(now)
                if self._calls.idle:  # a fork would wait for the end of a call
                    self._processes.start_companions()
            except BaseException as exc:  # noqa: BLE001 - a listener's, say: the bodies must not pay
                _tell_of(exc)
                self._rest(TICK_S)
            else:
                due = supervisor.next_due(now)
                lively = now < self._lively_until or not self._processes.is_complete
                self._rest(min(due - now, TICK_S) if lively else due - now)

    def _rest(self, timeout_s: float) -> None:
        if not self._inbox.came and self._inbox.wait(timeout_s):
            self._inbox.clear()

    def _obey(self, number: int, now: float) -> None:
        if number == signal.SIGCHLD:  # the loop looks for dead children anyway
            self._lively_until = now + _LIVELY_S
            return
        if number == signal.SIGTSTP:
            self._processes.stand_still()
            return
        stopping = self._supervisor.stopping is not Stopping.NO
        if number == signal.SIGHUP:
            if stopping:
                return
            self.restart = not _has_terminal()
        elif self.restart and number != signal.SIGQUIT:
            self.restart = False  # a second signal: go down, as before, but do not start again
            return
        else:
            self.restart = False
        cold = number == signal.SIGQUIT or stopping
        how = Stopping.COLD if cold else Stopping.WARM
        self._processes.stop_companions(signal.SIGKILL if cold else signal.SIGTERM)
        self._supervisor.stop(how, now)
        name = _signal_name(number)
        reason = "to start anew" if self.restart else ""
        said = {"how": how.name.lower(), "signal": name, "reason": reason}
        events.emit("worker.stopping", worker=self._processes.options.hostname, **said)
        signals.worker_shutting_down.send(None, sig=name, how=how.name.capitalize())


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:  # it is closed
        return False


def _tell_of(exc: BaseException) -> None:
    """Report what went wrong, although the listeners of that may raise as well."""
    try:
        events.emit("worker.internal_error", error=repr(exc))
    except BaseException:  # noqa: BLE001 - the standard error has both
        traceback.print_exc()
    else:
        traceback.print_exception(exc)
