"""A program under test: takes locks as its command line says.

count <store> <name> <file> <rounds>   add 1 to the number in the file, under the lock
hold <store> <name> <ttl>              take the lock, say its fence, then answer to each line
                                       read whether the lease is valid
fork_in_c <store> <name> <ttl>         hold a lock, fork as C code does, so that no hook of Python's
                                       runs, and have the child take another and hold it for long
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from locks import Lease, LeaseLost, Lock, _renewer
from locks._opening import Client


@contextlib.contextmanager
def opened(address: str) -> Iterator[Client | Path]:
    if "://" not in address:
        yield Path(address)
        return
    with contextlib.closing(redis.Redis.from_url(address)) as client:
        yield client


def count(address: str, name: str, file: str, rounds: str) -> None:
    number = Path(file)
    with opened(address) as store:
        lock = Lock(name, store)
        for _ in range(int(rounds)):
            with lock as lease:
                before = int(number.read_text())
                number.write_text(str(before + 1))
                print(lease.fence, before + 1, flush=True)


def hold(address: str, name: str, ttl: str) -> None:
    with opened(address) as store:
        lease = Lock(name, store, ttl=float(ttl)).acquire()
        print(lease.fence, flush=True)
        for _ in sys.stdin:
            print("valid" if lease.valid else "lost", flush=True)
        with contextlib.suppress(LeaseLost):
            lease.release()


def fork_in_c(address: str, name: str, ttl: str) -> None:
    with opened(address) as store:
        # Another thread may hold what Python has no hook to free, so the renewer only seems to run.
        _renewer._renewer._thread = threading.main_thread()
        lock = Lock(name, store, auto_renew=False)
        with lock as lease:
            fork = ctypes.PYFUNCTYPE(ctypes.c_int)(("fork", ctypes.PyDLL(None)))
            child = int(fork())
            if child == 0:
                os._exit(_after_the_fork(store, lock, lease, ttl))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            lease.check()  # the child has not given it away
    sys.exit(code)


def _after_the_fork(store: Client | Path, lock: Lock, inherited: Lease, ttl: str) -> int:
    """0 where the child's lease is renewed, else the number of what is wrong."""
    if inherited.valid or lock.try_acquire() is not None:
        return 1
    if isinstance(store, Path) and _open_files(store) != 1:
        return 4  # the parent's connection was used, or is still open
    lease = Lock(f"{lock.name}-child", store, ttl=float(ttl)).acquire()
    first = lease.expires_at
    for _ in range(200):
        if (lease.expires_at - first).total_seconds() > float(ttl):
            print("the child's lease is renewed", flush=True)
            lease.release()
            return 0
        if lease.lost.wait(0.1):
            return 2
    return 3


def _open_files(store: Client | Path) -> int:
    links = (Path(f"/proc/self/fd/{number}") for number in range(64))
    return sum(1 for link in links if link.is_symlink() and str(link.readlink()) == str(store))


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]]
    programs = {"count": count, "hold": hold, "fork_in_c": fork_in_c}
    programs[sys.argv[1]](*sys.argv[2:])
