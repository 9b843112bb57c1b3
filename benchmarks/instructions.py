"""What the scripts cost a server: `python -m benchmarks.instructions`, with valgrind installed.

Counts the server's instructions for each message, or for each call, by callgrind. Unlike seconds
they are the same whatever else the machine does, to a few in a hundred: the collection of Lua's
garbage falls on some calls and not on others.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from reliable_tasks.core import ids
from reliable_tasks.core.message import Message
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.values import Batch, ClaimRequest, Commit, SessionInfo, StoreOptions
from tests.redis_server import default_server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reliable_tasks.store.values import Claim

__all__ = ["main"]

LEASE_MS = 6_000_000
PATIENCE_S = 600
MANY, FEW, WARM, AT_ONCE = 2_048, 100, 300, 256
SESSION = "s" * 32
QUEUES = ("celery",)


class _Counter:
    """A server under callgrind, and the store on it."""

    def __init__(self, pid: int, folder: Path, store: RedisStore) -> None:
        self._pid = pid
        self._folder = folder
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
                yield _Counter(process.pid, folder, store)
                store.close()
            finally:
                process.kill()


def _wait_until_it_answers(port: int) -> None:
    retry = Retry(ConstantBackoff(0.1), 300)
    with redis.Redis(port=port, retry=retry, socket_timeout=PATIENCE_S) as client:
        client.ping()


class _Work:
    """What is counted: each method is one thing that producers or workers do."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._many = self._messages(MANY)
        self._few = self._messages(FEW)
        self._held: list[Claim] = []
        store.open_session(SessionInfo(id=SESSION, worker="w@host"), LEASE_MS)
        self._enqueue(self._messages(WARM), 1000)
        self.drain()

    @staticmethod
    def _messages(count: int) -> list[Message]:
        return [Message(id=ids.new_id(), task="noop", payload=b"[[1],{}]") for _ in range(count)]

    def _enqueue(self, messages: Sequence[Message], at_once: int) -> None:
        for first in range(0, len(messages), at_once):
            self._store.enqueue(Batch(messages=tuple(messages[first : first + at_once])))

    def enqueue_many(self) -> None:
        self._enqueue(self._many, 1000)

    def enqueue_few(self) -> None:
        self._enqueue(self._few, 1)

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


def main() -> int:
    """Print the table; returns the exit code."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: it is what counts", file=sys.stderr)
        return 1
    print("| on the server | instructions |\n| --- | ---: |")
    with _counter() as counter:
        work = _Work(counter.store)
        for what, count, run in (
            ("a message, enqueued with many", MANY, work.enqueue_many),
            ("a message, claimed and committed with many", MANY, work.drain),
            ("a message, enqueued alone", FEW, work.enqueue_few),
            ("a message, claimed alone", FEW, work.claim_few),
            ("a message, committed alone", FEW, work.commit_few),
            ("an exchange that finds nothing", FEW, work.find_nothing),
        ):
            print(f"| {what} | {counter.per_call(count, run):,.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
