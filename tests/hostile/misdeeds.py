"""What user code does to the worker that runs it, without meaning any harm.

Each misdeed is a function without arguments. Where it is called (a body, a hook, a receiver …) is
the program's to say; what must hold afterwards, whatever it did, is told in `invariants`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEEDS", "Deed", "Mute", "OwnBaseError", "Unutterable"]

_STUCK_S = 600.0
_BLOCK_S = 1.0
_FIRST_FREE_FD, _LAST_FD = 3, 256


@dataclass(frozen=True, slots=True)
class Deed:
    """A misdeed.

    Attributes:
        do: carries it out.
        kills: it ends its process, or may: whatever else runs in there is delivered again.
        hangs: it does not come back; only where a time limit holds.
    """

    do: Callable[[], Any]
    kills: bool = False
    hangs: bool = False


class OwnBaseError(BaseException):
    """What a library may raise to get past `except Exception`."""


class Unutterable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise SystemExit(3)

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class Mute:
    """A value that no codec takes and that cannot be shown."""

    def __json__(self) -> Any:
        raise asyncio.CancelledError

    def __str__(self) -> str:
        raise SystemExit(4)

    def __repr__(self) -> str:
        raise GeneratorExit

    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def _raise(exc: BaseException) -> Callable[[], Any]:
    def do() -> None:
        raise exc

    return do


def _deep_recursion() -> Any:
    return _deep_recursion()


def _grown_text() -> None:
    raise ValueError("x" * 3_000_000)


def _chained() -> None:
    exc: Exception = ValueError("first")
    for n in range(300):
        exc.__context__, exc = None, _caused(exc, n)
    raise exc


def _caused(cause: Exception, n: int) -> Exception:
    exc = ValueError(f"cause {n}")
    exc.__cause__ = cause
    return exc


def _exit_of_c() -> None:
    ctypes.CDLL(None).exit(0)


def _signal_self(number: int) -> Callable[[], Any]:
    return lambda: os.kill(os.getpid(), number)


def _fork_that_returns() -> None:
    os.fork()


def _fork_that_raises() -> None:
    if os.fork() == 0:
        raise RuntimeError("in the copy")


def _fork_of_c() -> None:
    ctypes.PyDLL(None).fork()


def _terminated_process() -> None:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(_STUCK_S,))
    process.start()
    process.terminate()
    process.join()


def _left_over_process() -> None:
    subprocess.Popen(["sleep", "5"])


def _spin() -> None:
    while True:
        pass


def _swallow_everything() -> None:
    while True:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: BLE001 - what such bodies do
            continue


def _block_with_the_gil() -> None:
    ctypes.PyDLL(None).usleep(int(_BLOCK_S * 1_000_000))


def _close_others_descriptors() -> None:
    os.closerange(_FIRST_FREE_FD, _LAST_FD)


def _close_the_standard_ones() -> None:
    os.closerange(0, 3)


def _leave_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(_BLOCK_S,)).start()


def _leave_a_raising_thread() -> None:
    threading.Thread(target=_raise(SystemExit(5)), daemon=True).start()


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _alarm() -> None:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001)


def _few_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, hard))


def _many_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 4_096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    _descriptors.extend(kept)


_descriptors: list[int] = []


def _short_timeouts() -> None:
    socket.setdefaulttimeout(0.0001)


def _no_streams() -> None:
    sys.stdout = sys.stderr = None


def _closed_streams() -> None:
    sys.stdout.close()


def _no_environment() -> None:
    os.environ.clear()


def _nowhere() -> None:
    os.chdir("/proc/self/fd")


def _shut_logging() -> None:
    logging.disable(logging.CRITICAL)
    logging.shutdown()


def _no_collector() -> None:
    gc.disable()
    gc.freeze()


def _little_recursion() -> None:
    sys.setrecursionlimit(120)


def _narrow_umask() -> None:
    os.umask(0o777)


class _Grudge:
    """Raises when it is let go of, in whatever code that happens."""

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            raise ValueError("in __del__")


def _loops_of_grudges() -> None:
    for _ in range(100):
        one: Any = _Grudge()
        one.itself = one


def _own_loop() -> None:
    asyncio.new_event_loop()


def _nested() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


def _endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


DEEDS: dict[str, Deed] = {
    "SystemExit(0)": Deed(_raise(SystemExit(0))),
    "SystemExit(text)": Deed(_raise(SystemExit("gone"))),
    "KeyboardInterrupt": Deed(_raise(KeyboardInterrupt())),
    "CancelledError": Deed(_raise(asyncio.CancelledError())),
    "GeneratorExit": Deed(_raise(GeneratorExit())),
    "StopIteration": Deed(_raise(StopIteration(7))),
    "StopAsyncIteration": Deed(_raise(StopAsyncIteration())),
    "its own BaseException": Deed(_raise(OwnBaseError("own"))),
    "MemoryError": Deed(_raise(MemoryError())),
    "deep recursion": Deed(_deep_recursion),
    "a group": Deed(_raise(ExceptionGroup("many", [ValueError(1), TypeError("two")]))),
    "a base group": Deed(_raise(BaseExceptionGroup("many", [KeyboardInterrupt()]))),
    "an exception that cannot be shown": Deed(_raise(Unutterable("x"))),
    "an exception of values that cannot": Deed(_raise(ValueError(Mute()))),
    "a lone surrogate": Deed(_raise(ValueError("a \ud800 b"))),
    "a long text": Deed(_grown_text),
    "a long chain": Deed(_chained),
    "os._exit(0)": Deed(lambda: os._exit(0), kills=True),
    "os._exit(3)": Deed(lambda: os._exit(3), kills=True),
    "exit(0) of C": Deed(_exit_of_c, kills=True),
    "abort": Deed(os.abort, kills=True),
    "SIGKILL": Deed(_signal_self(signal.SIGKILL), kills=True),
    "SIGTERM": Deed(_signal_self(signal.SIGTERM), kills=True),
    "SIGINT": Deed(_signal_self(signal.SIGINT), kills=True),
    "SIGUSR1": Deed(_signal_self(signal.SIGUSR1), kills=True),
    "SIGHUP": Deed(_signal_self(signal.SIGHUP), kills=True),
    "a fork that returns": Deed(_fork_that_returns),
    "a fork that raises": Deed(_fork_that_raises),
    "a fork of C that returns": Deed(_fork_of_c),
    "a process terminated": Deed(_terminated_process),
    "a process left over": Deed(_left_over_process),
    "for ever": Deed(_spin, hangs=True),
    "for ever, deaf": Deed(_swallow_everything, hangs=True),
    "stopped": Deed(_signal_self(signal.SIGSTOP), hangs=True),
    "blocked with the GIL": Deed(_block_with_the_gil),
    "others' descriptors closed": Deed(_close_others_descriptors, kills=True),
    "standard descriptors closed": Deed(_close_the_standard_ones, kills=True),
    "a thread left": Deed(_leave_a_thread),
    "a raising thread left": Deed(_leave_a_raising_thread),
    "signals ignored": Deed(_ignore_signals),
    "an alarm that raises": Deed(_alarm, kills=True),
    "few descriptors allowed": Deed(_few_descriptors, kills=True),
    "many descriptors open": Deed(_many_descriptors),
    "short timeouts": Deed(_short_timeouts),
    "no streams": Deed(_no_streams),
    "closed streams": Deed(_closed_streams),
    "no environment": Deed(_no_environment),
    "nowhere": Deed(_nowhere),
    "logging shut": Deed(_shut_logging),
    "no collector": Deed(_no_collector),
    "little recursion": Deed(_little_recursion, kills=True),
    "a narrow umask": Deed(_narrow_umask),
    "loops of grudges": Deed(_loops_of_grudges),
    "a loop of its own": Deed(_own_loop),
    "a mute value": Deed(Mute),
    "a nested value": Deed(_nested),
    "an endless value": Deed(_endless),
    "a value with a surrogate": Deed(lambda: "\ud800"),
    "a huge value": Deed(lambda: "x" * 20_000_000),
    "a huge number": Deed(lambda: 10**5_000),
    "not a number": Deed(lambda: float("nan")),
}
"""By their names."""
