"""Writes that are confirmed on disk or on replicas before a call returns.

"memory": in the server's memory. "fsync": on its disk. "replicas:N": in the memory of N replicas.
What the server does not offer is refused when the store is opened, not at the first message.
"""

import contextlib
from typing import Any, Final

from redis import exceptions as rx

from locks.scripts import Executor
from reliable_tasks.errors import ConfigError, StoreError, suggest
from reliable_tasks.store.redis.server import Server

__all__ = ["Durability", "setting"]

WORDS: Final = ("memory", "fsync", "replicas:1")


def setting(server: Server, name: str, key: str) -> str | None:
    """A setting of the server; None if it may not be read."""
    with contextlib.suppress(rx.ResponseError, rx.NoPermissionError):
        found: Any = server.node(key).config_get(name)
        values = list(found.values())
        return _text(values[0]) if values else None
    return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class Durability:
    """What a server confirms of its writes, and how to wait for that.

    Args:
        server: to call.
        key: the declared key of the scripts.
    """

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self._waits: dict[str, tuple[str | int, ...]] = {}

    def check(self, durable: str) -> tuple[str | int, ...]:
        """The command that waits for it; () if every write is durable before its reply.

        Raises:
            ConfigError: there is no such durability.
            StoreError: this server does not offer it.
        """
        if durable not in self._waits:
            self._waits[durable] = self._command_for(durable)
        return self._waits[durable]

    def _command_for(self, durable: str) -> tuple[str | int, ...]:
        timeout_ms = round(self._server.call_seconds * 800)
        if durable == "memory":
            return ()
        if durable == "fsync":
            return self._fsync(timeout_ms)
        word, _, number = durable.partition(":")
        if word != "replicas" or not number.isdecimal() or int(number) < 1:
            raise ConfigError(
                f"durable={durable!r} is none of memory, fsync and replicas:N"
                f"{suggest(durable, WORDS)}"
            )
        there = int(self._info("replication").get("connected_slaves", 0))
        if there < int(number):
            raise StoreError(
                f"durable={durable!r} cannot be had of {self._server.location}: it has {there} "
                "connected replicas; add replicas, or ask for less"
            )
        return ("WAIT", int(number), timeout_ms)

    def _fsync(self, timeout_ms: int) -> tuple[str | int, ...]:
        if not int(self._info("persistence").get("aof_enabled", 0)):
            raise StoreError(
                f"durable='fsync' cannot be had of {self._server.location}: it keeps no "
                "append-only file; set `appendonly yes` there, or ask for less"
            )
        if self._has_waitaof():
            return ("WAITAOF", 1, 0, timeout_ms)
        if setting(self._server, "appendfsync", self._key) == "always":
            return ()
        raise StoreError(
            f"durable='fsync' cannot be had of {self._server.location}: it has no WAITAOF (Redis "
            "7.2, Valkey 7.2); set `appendfsync always` there, or upgrade it"
        )

    def _has_waitaof(self) -> bool:
        try:
            node: Any = self._server.node(self._key)
            node.execute_command("WAITAOF", 0, 0, 1)
        except (rx.ResponseError, rx.NoPermissionError) as e:
            return not str(e).lower().startswith("unknown command")
        return True

    def _info(self, section: str) -> dict[str, Any]:
        return dict(self._server.node(self._key).info(section))

    def executor(self, durable: str) -> Executor:
        """Where to send commands so that a reply means that their writes are durable.

        Raises:
            ConfigError: there is no such durability.
            StoreError: this server does not offer it.
        """
        wait = self.check(durable)
        return _Confirming(self._server, self._key, durable, wait) if wait else self._server


class _Confirming:
    """Sends commands, and waits on the same connection, since WAIT is about its last write."""

    def __init__(self, server: Server, key: str, durable: str, wait: tuple[str | int, ...]) -> None:
        self._server = server
        self._key = key
        self._durable = durable
        self._wait = wait

    def execute_command(self, *args: Any) -> Any:
        """Send one command, and return its reply once its writes are durable.

        Raises:
            StoreError: it was stored, but not confirmed in time.
        """
        with self._server.line(self._key) as line:
            reply = line.execute_command(*args)
            confirmed = line.execute_command(*self._wait)
        reached = confirmed[0] if isinstance(confirmed, list) else confirmed
        if reached < int(self._wait[1]):
            raise StoreError(
                f"{self._server.location} stored it, but did not confirm "
                f"durable={self._durable!r} within {self._wait[-1]} ms; it may be lost if the "
                "server is"
            )
        return reply
