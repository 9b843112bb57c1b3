"""What messages cost a server: `python -m benchmarks.instructions`, with valgrind installed.

Counts the server's instructions for each message, or for each call, by callgrind. Unlike seconds
they are the same whatever else the machine does, to a few in a hundred: the collection of Lua's
garbage falls on some calls and not on others. `--before` counts another checkout's as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.values import ClaimRequest, Commit, SessionInfo, StoreOptions
from tests.redis_server import default_server, free_port

from .adapter import PAUSE_S, STORE, Adapter
from .arena import ROOT, told_with
from .report import insert, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks.store.values import Claim

__all__ = ["main"]

COMMAND = "python -m benchmarks.instructions"
LEASE_MS = 6_000_000
PATIENCE_S = 600
MANY, FEW, WARM, AT_ONCE = 2_048, 100, 300, 256
SESSION = "s" * 32
QUEUES = ("celery",)


class _Counter:
    """A server under callgrind, and the store on it."""

    def __init__(self, pid: int, folder: Path, url: str, store: RedisStore) -> None:
        self._pid = pid
        self._folder = folder
        self.url = url
        self.store = store

    def per_call(self, count: int, run: Callable[[], object]) -> float:
        """Instructions of a run, for each of `count`."""
        self._control("--zero")
        run()
        self._control("--dump")
        newest = max(self._folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        totals = re.findall(
            r"^(?:totals|summary): (\d+)", newest.read_text(errors="replace"), re.MULTILINE
        )
        return int(totals[-1]) / count

    def _control(self, what: str) -> None:
        command = ["callgrind_control", what, str(self._pid)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)


@contextlib.contextmanager
def _counter() -> Iterator[_Counter]:
    with tempfile.TemporaryDirectory(prefix="rt-instructions-") as name:
        folder, port = Path(name), free_port()
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts"]
        command += [str(default_server().path), "--port", str(port), "--save", "", "--dir", name]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
            try:
                _wait_until_it_answers(port)
                url = f"redis://127.0.0.1:{port}/0"
                options = {"socket_timeout": PATIENCE_S}
                store = RedisStore(url, StoreOptions(), transport_options=options)
                yield _Counter(process.pid, folder, url, store)
                store.close()
            finally:
                process.kill()


def _wait_until_it_answers(port: int) -> None:
    retry = Retry(ConstantBackoff(0.1), 300)
    with redis.Redis(port=port, retry=retry, socket_timeout=PATIENCE_S) as client:
        client.ping()


class _Work:
    """What is counted: each method is one thing that producers or workers do."""

    def __init__(self, store: RedisStore, peer: Adapter) -> None:
        self._store = store
        self._peer = peer
        self._held: list[Claim] = []
        store.open_session(SessionInfo(id=SESSION, worker="w@host"), LEASE_MS)
        peer.send(1)
        peer.send_bulk(WARM)
        self.drain()

    def enqueue_many(self) -> None:
        self._peer.send_bulk(MANY)

    def enqueue_few(self) -> None:
        self._peer.send(FEW)

    def _claim(self, limit: int, commits: Sequence[Commit] = ()) -> tuple[Claim, ...]:
        return self._store.exchange(
            SESSION, commits, ClaimRequest(queues=QUEUES, limit=limit)
        ).claims

    @staticmethod
    def _commits(claims: Sequence[Claim]) -> list[Commit]:
        return [Commit(id=c.id, fence=c.fence, outcome=Succeeded(result=b"1")) for c in claims]

    def drain(self) -> None:
        claims = self._claim(AT_ONCE)
        while claims:
            claims = self._claim(AT_ONCE, self._commits(claims))

    def claim_few(self) -> None:
        for _ in range(FEW):
            self._held.extend(self._claim(1))

    def commit_few(self) -> None:
        for claim in self._held:
            self._store.exchange(SESSION, self._commits([claim]), None)

    def find_nothing(self) -> None:
        for _ in range(FEW):
            self._claim(1)


def _peer(url: str) -> Adapter:
    os.environ[STORE] = url
    from .peers.ours import Peer  # noqa: PLC0415 - it opens the store of the environment

    return Peer()


@contextlib.contextmanager
def _idle_worker(peer: Adapter) -> Iterator[None]:
    with subprocess.Popen(peer.worker(2, "WARNING", "")) as process:
        try:
            for _ in range(WARM // 10):
                peer.round_trip()
            yield
        finally:
            process.terminate()


def _live(peer: Adapter) -> None:
    for _ in range(FEW):
        peer.round_trip()
        time.sleep(PAUSE_S)  # so that the worker waits again


def counts() -> Iterator[tuple[str, float]]:
    """What there is to count, and the instructions of each."""
    with _counter() as counter:
        peer = _peer(counter.url)
        work = _Work(counter.store, peer)
        for what, count, run in (
            ("a message, enqueued with many", MANY, work.enqueue_many),
            ("a message, claimed and committed with many", MANY, work.drain),
            ("a message, enqueued alone", FEW, work.enqueue_few),
            ("a message, claimed alone", FEW, work.claim_few),
            ("a message, committed alone", FEW, work.commit_few),
            ("an exchange that finds nothing", FEW, work.find_nothing),
        ):
            yield what, counter.per_call(count, run)
        work.drain()
        with _idle_worker(peer):
            what = "a message's life: enqueued, run by an idle worker, its result awaited"
            yield what, counter.per_call(FEW, lambda: _live(peer))


def _counts_of(checkout: Path) -> dict[str, float]:
    """The counts of a checkout's code, in a process that imports it."""
    found: dict[str, float] = told_with(checkout, "benchmarks.instructions", "--count")
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument(
        "--out", type=Path, help="the page to write: the table goes between its marks"
    )
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: it is what counts", file=sys.stderr)
        return 1
    if given.count:
        print(json.dumps(dict(counts())))
        return 0
    checkouts = {"before": given.before.absolute()} if given.before else {}
    checkouts["now"] = ROOT
    found = {name: _counts_of(checkout) for name, checkout in checkouts.items()}
    rows = [[what, *(f"{of[what]:,.0f}" for of in found.values())] for what in found["now"]]
    text = table(["instructions of the server", *found], rows)
    if given.out is None:
        print(text)
    else:
        insert(given.out, text, COMMAND)
    return 0


if __name__ == "__main__":
    sys.exit(main())
