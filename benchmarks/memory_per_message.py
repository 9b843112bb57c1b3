"""How much of Redis's memory a message takes: waiting, ended, and with a once-key.

    python -m benchmarks.memory_per_message [URL]

Without a URL it starts a private server. With one, use an empty server of your own: what else
happens on it is measured, too. Prints bytes per message for several sizes of arguments.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import redis

from reliable_tasks import App, OnceTask
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.outcome import Failed, Succeeded
from reliable_tasks.store.values import ClaimRequest, Commit, SessionInfo

COUNT = 10_000
BATCH = 500
SIZES = (0, 100, 1000, 10_000)
KINDS = ("waiting", "scheduled", "waiting, once", "succeeded", "failed")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="of an empty server; a private one by default")
    parser.add_argument("--count", type=int, default=COUNT, help="messages per measurement")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(private_server())
        client = stack.enter_context(redis.Redis.from_url(url))
        info: Any = client.info("server")
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info["redis_version"]
        print(f"{name} {version}, {given.count} messages each, bytes per message")
        print(f"{'bytes of arguments':>20}" + "".join(f"{kind:>16}" for kind in KINDS))
        for size in SIZES:
            cells = [measure(url, client, kind, size, given.count) for kind in KINDS]
            print(f"{size:>20}" + "".join(f"{cell:>16.0f}" for cell in cells))


@contextlib.contextmanager
def private_server() -> Iterator[str]:
    """A server of the tests' own; its URL."""
    from tests.redis_server import RedisServer  # noqa: PLC0415 - only where it is wanted

    with RedisServer() as server:
        yield server.url


def measure(url: str, client: redis.Redis, kind: str, size: int, count: int) -> float:
    """Bytes per message of a kind whose argument has `size` bytes."""
    namespace = f"memory-{size}-{kind.replace(', ', '-')}"
    app = App("memory", broker=url, store_namespace=namespace, set_as_current=False)
    base = {"base": OnceTask} if kind.endswith("once") else {}
    make: Callable[..., Any] = app.task(name="measured", **base)
    task = make(lambda number, text: (number, text))
    app.store.counts()
    before = used(client)
    fill(app, task, kind, size, count)
    if kind in {"succeeded", "failed"}:
        end_all(app, failing=kind == "failed")
    grown = used(client) - before
    app.close()
    for key in client.scan_iter(f"{{{namespace}}}:*", count=10_000):
        client.unlink(key)
    return grown / count


def fill(app: App, task: Any, kind: str, size: int, count: int) -> None:
    """Enqueue them."""
    delay = {"countdown": 3600} if kind == "scheduled" else {}
    for first in range(0, count, BATCH):
        some = range(first, min(count, first + BATCH))
        app.enqueue_many(task.s(n, "x" * size).set(**delay) for n in some)


def end_all(app: App, *, failing: bool) -> None:
    """Claim and end them; a result is as small as a number, a failure as a short exception."""
    outcome = (
        Failed(failure=encode_failure(ValueError("no"))) if failing else Succeeded(result=b"1")
    )
    app.store.open_session(SessionInfo(id="s", worker="memory@here"), 3_600_000)
    commits: tuple[Commit, ...] = ()
    while True:
        reply = app.store.exchange("s", commits, ClaimRequest(queues=("celery",), limit=BATCH))
        commits = tuple(Commit(id=c.id, fence=c.fence, outcome=outcome) for c in reply.claims)
        if not commits:
            return


def used(client: redis.Redis) -> int:
    """What the server has allocated for data and its upkeep."""
    info: Any = client.info("memory")
    return int(info["used_memory"])


if __name__ == "__main__":
    main()
