"""A program under test: takes locks as its command line says.

count <store> <name> <file> <rounds>   add 1 to the number in the file, under the lock
hold <store> <name> <ttl>              take the lock, say its fence, then answer to each line
                                       read whether the lease is valid
"""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import redis

from locks import LeaseLost, Lock
from locks._backend import Client


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


if __name__ == "__main__":
    if sys.argv[1] == "count":
        count(*sys.argv[2:])
    else:
        hold(*sys.argv[2:])
