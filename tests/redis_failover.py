"""Several servers of which one may die: replicas under a Sentinel, and a small cluster."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import pytest
import redis
import redis.cluster

from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

__all__ = ["Failover", "cluster", "sentinel"]

NOTICED_MS = 1000
"""How long a node is silent before the others take it for dead."""
PROMPT = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


class Failover(Protocol):
    """Servers, of which the master can be killed."""

    @property
    def url(self) -> str:
        """The store's URL, which names what outlives the master."""

    def kill_master(self, key: str) -> None:
        """Kill -9 the server that has a key now."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition; while servers change places, some do not answer."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(redis.RedisError):
            if condition():
                return
        if time.monotonic() > deadline:
            pytest.fail(f"in {PATIENCE_S:g} s it did not come to this: {what}")
        time.sleep(0.02)


def _replicas(client: redis.Redis) -> int:
    """How many replicas have all that the master had when they came."""
    info: Any = client.info("replication")
    replicas = [x for name, x in info.items() if re.fullmatch(r"slave\d+", name)]
    return sum(x["state"] == "online" for x in replicas)


def _say(client: redis.Redis, *words: str | int) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _knows(client: redis.Redis, name: str) -> bool:
    return name in str(client.cluster("nodes"))


class _Sentinel(RedisServer):
    """A Sentinel that alone decides about the master."""

    def __init__(self, *config: str) -> None:
        self._config = config
        super().__init__()

    def _command(self) -> list[str]:
        file = self.dir / "sentinel.conf"
        file.write_text("\n".join(self._config) + "\n")  # which it writes to
        words = ["--sentinel", "--port", str(self.port), "--bind", "127.0.0.1"]
        return [str(self.binary.path), str(file), *words, "--dir", str(self.dir)]


class _UnderSentinel:
    """A master, two replicas and a Sentinel."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        master = stack.enter_context(RedisServer(args=PROMPT))
        of_master = ("--replicaof", "127.0.0.1", str(master.port), *PROMPT)
        others = [stack.enter_context(RedisServer(args=of_master)) for _ in range(2)]
        self._servers = {server.port: server for server in (master, *others)}
        until(lambda: _replicas(master.client()) == 2, "two replicas")
        self._sentinel = stack.enter_context(
            _Sentinel(
                f"sentinel monitor main 127.0.0.1 {master.port} 1",
                f"sentinel down-after-milliseconds main {NOTICED_MS}",
                "sentinel failover-timeout main 3000",
            )
        )
        until(lambda: self._state()["num-slaves"] == 2, "the Sentinel knows the replicas")

    def _state(self) -> dict[str, Any]:
        state: Any = self._sentinel.client().sentinel_master("main")
        return dict(state)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self._sentinel.port}/main/0"

    def kill_master(self, key: str) -> None:
        self._servers[int(self._state()["port"])].kill9()


class _Cluster:
    """Three masters, of which one has all slots but two, and two replicas of that one."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        words = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NOTICED_MS)]
        words += ["--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"]
        made = [stack.enter_context(RedisServer(args=(*words, *PROMPT))) for _ in range(5)]
        self._servers = {server.port: server for server in made}
        main, *others = [server.client() for server in made]
        for epoch, server in enumerate(made[1:]):
            _say(others[epoch], "CLUSTER", "SET-CONFIG-EPOCH", epoch + 2)
            _say(main, "CLUSTER", "MEET", "127.0.0.1", server.port)
        _say(main, "CLUSTER", "ADDSLOTS", *range(2, 16384))
        for slot, voter in enumerate(others[:2]):
            _say(voter, "CLUSTER", "ADDSLOTS", slot)
        name = _say(main, "CLUSTER", "MYID").decode()
        for replica in others[2:]:
            until(partial(_knows, replica, name), "they have met")
            _say(replica, "CLUSTER", "REPLICATE", name)
        until(lambda: _replicas(main) == 2, "two replicas")
        for client in (main, *others):
            until(partial(self._is_whole, client), "all know of all")

    @staticmethod
    def _is_whole(client: redis.Redis) -> bool:
        info: Any = client.cluster("info")
        nodes: Any = client.cluster("nodes")
        replicas = [n for n in nodes.values() if "slave" in n["flags"]]
        return (
            info["cluster_state"] == "ok"
            and info["cluster_slots_assigned"] == "16384"
            and info["cluster_size"] == "3"
            and len(replicas) == 2
        )

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self._servers)

    def kill_master(self, key: str) -> None:
        nodes = [("127.0.0.1", port) for port in self._servers]
        startup = [redis.cluster.ClusterNode(*node) for node in nodes]  # type: ignore[no-untyped-call]
        with redis.RedisCluster(startup_nodes=startup) as client:
            self._servers[client.get_node_from_key(key).port].kill9()


@contextlib.contextmanager
def sentinel() -> Iterator[Failover]:
    """A master with two replicas, watched by a Sentinel."""
    with contextlib.ExitStack() as stack:
        yield _UnderSentinel(stack)


@contextlib.contextmanager
def cluster() -> Iterator[Failover]:
    """The smallest cluster that elects a new master for a dead one."""
    with contextlib.ExitStack() as stack:
        yield _Cluster(stack)
