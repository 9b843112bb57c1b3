"""A server and the connections to it.

Calls do not go through redis-py's client, which costs several times what a small call does: each
takes a connection for itself, writes, reads and puts it back. redis-py makes the connections
(addresses, TLS, passwords, sentinels), and does everything in a cluster, where a key may move to
another node.
"""

import collections
import functools
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import hiredis
import redis
from redis import exceptions as rx

from locks.redis_backend import drop_idle
from locks.redis_errors import DRIVERS_OWN
from reliable_tasks.core import interrupts

__all__ = ["Line", "Packer", "Server"]

KEPT: Final = 64
"""How many idle connections are kept."""


class Packer:
    """Packs commands, with numbers converted to text first.

    hiredis converts numbers by running Python code, where a signal's handler may raise: it crashes.
    """

    @staticmethod
    def pack(*args: Any) -> list[bytes]:
        """Pack one command."""
        words = args[0].split()  # redis-py gives some commands with a subcommand in their name
        texts = [x if x.__class__ is str or x.__class__ is bytes else _text(x) for x in args[1:]]
        return [hiredis.pack_command((*words, *texts))]


def _text(value: Any) -> str | bytes:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value if isinstance(value, str | bytes) else str(value)


class Server:
    """redis-py's client for rare commands, and connections with one user at a time for the rest.

    Args:
        make_client: makes redis-py's client, when it is first needed.

    Attributes:
        location: where it is, without secrets.
        call_seconds: how long a call may take.
        is_cluster: whether a cluster is behind it, each node of which has some of the keys.
        is_direct: whether `call` may be used.
    """

    def __init__(
        self,
        make_client: Callable[[], Any],
        location: str,
        call_seconds: float,
        max_calls: int | None = None,
        *,
        is_cluster: bool = False,
    ) -> None:
        self._make_client = make_client
        self.location = location
        self.call_seconds = call_seconds
        self.is_cluster = is_cluster
        self._max_calls = max_calls
        self.is_direct = not is_cluster and max_calls is None
        # Single operations on both are atomic: no lock that a fork could copy while it is held.
        self._has_moved = False
        self._spare: collections.deque[Line] = collections.deque()
        self._calling: list[int] = []  # the process of each call that is under way

    @functools.cached_property
    def client(self) -> Any:
        """redis-py's client, safe across threads and forks; a cluster is asked for its nodes.

        Raises:
            RedisError, OSError: no node of a cluster can be reached.
        """
        client = self._make_client()
        if not self.is_cluster:
            client.connection_pool.connection_kwargs["command_packer"] = Packer
        return client

    def node(self, key: str) -> redis.Redis:
        """The client of the node that has the key."""
        if not self.is_cluster:
            return cast("redis.Redis", self.client)
        if self._has_moved:
            self.client.nodes_manager.initialize()
            self._has_moved = False
        node = self.client.get_node_from_key(key)
        return cast("redis.Redis", self.client.get_redis_connection(node))

    @interrupts.whole
    def call(self, packed: bytes) -> Any:
        """Send a command that was packed before, and return its reply; raises as the other does."""
        return self._call(packed)

    def unblock(self, number: int, key: str) -> None:
        """End what a connection to the node of a key blocks in, as if its time were over."""
        if self.is_cluster:
            self.node(key).client_unblock(number)
        else:
            self.call(Packer.pack("CLIENT UNBLOCK", number)[0])

    @interrupts.whole
    def execute_command(self, *args: Any) -> Any:
        """Send one command and return its reply.

        Raises:
            RedisError, OSError: the server's error, or the connection's.
        """
        if self.is_cluster:
            return self._call_cluster(args)
        packed = Packer.pack(*args)[0]
        if self._max_calls is None:
            return self._call(packed)
        me = os.getpid()
        if self._calling.count(me) >= self._max_calls:
            raise rx.ConnectionError(f"all of max_connections={self._max_calls} are in use")
        try:
            self._calling.append(me)
            return self._call(packed)
        finally:
            self._calling.remove(me)

    def _call_cluster(self, args: tuple[Any, ...]) -> Any:
        try:
            return self.client.execute_command(args[0], *[_text(x) for x in args[1:]])
        except DRIVERS_OWN:
            raise
        except BaseException:
            drop_idle(self.client)  # one of them may have an answer to come
            raise

    def _call(self, packed: bytes) -> Any:
        line = self._kept() or self._new_line("")
        try:
            reply = line.call(packed)
        except rx.ReadOnlyError:  # no longer the master: the name may lead to another one by now
            line.close()
            raise
        except rx.ResponseError:
            self._put_back(line)
            raise
        except (rx.RedisError, OSError):
            line.close()
            self.close_spare()  # whatever broke this one has most likely broken all
            raise
        except BaseException:  # raised by a signal's handler: the answer is still to come
            line.close()
            raise
        self._put_back(line)
        return reply

    @contextmanager
    def line(self, key: str) -> Iterator["Line"]:
        """A connection of the caller's own to the node of a key; closed if its use fails."""
        line = None
        try:
            line = self._kept() or self._new_line(key)
            yield line
        except BaseException:
            if line is not None:
                line.close()
            if self.is_cluster:  # whose other nodes may have the key by now
                self._has_moved = True
                self.close_spare()
            raise
        self._put_back(line)

    def _new_line(self, key: str) -> "Line":
        # Not the pool's `make_connection`: it counts them and never learns that one is gone.
        pool = self.node(key).connection_pool
        return Line(pool.connection_class(**pool.connection_kwargs | {"command_packer": Packer}))

    def _kept(self) -> "Line | None":
        while self._spare:
            try:
                line = self._spare.pop()
            except IndexError:  # another thread was first
                return None
            if line.is_usable():
                return line
            line.close()
        return None

    def _put_back(self, line: "Line") -> None:
        if len(self._spare) < KEPT:
            self._spare.append(line)
        else:
            line.close()

    def close_spare(self) -> None:
        """Close the idle connections."""
        while self._spare:
            try:
                self._spare.pop().close()
            except IndexError:  # another thread was first
                return

    def close(self) -> None:
        """Close all connections; the next call opens them again."""
        self.close_spare()
        if "client" in vars(self):
            self.client.close()


class Line:
    """One connection, on which replies are read when they come."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pid = os.getpid()
        self.unread = 0
        """How many channels the last user left without reading the server's answers."""
        self._number: int | None = None
        connection.connect()
        self._fd: int = connection._sock.fileno()  # noqa: SLF001 - redis-py has no public way to it
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)

    def is_usable(self) -> bool:
        """Whether a command may be sent: it is ours, open, and nothing is left to read."""
        if self._pid != os.getpid():  # a forked process must not use its parent's
            return False
        try:
            if self.unread:
                self.drain()
        except (rx.RedisError, OSError):
            return False
        return not self._readable.poll(0)

    def send(self, *args: Any) -> None:
        """Send a command."""
        self._connection.send_command(*args, check_health=False)

    def send_all(self, *commands: tuple[Any, ...]) -> None:
        """Send commands in one go; the server runs them one after the other."""
        packed = self._connection.pack_commands(commands)
        self._connection.send_packed_command(packed, check_health=False)

    def receive(self) -> Any:
        """Read one reply."""
        return self._connection.read_response()

    def call(self, packed: bytes) -> Any:
        """Send a packed command and read its reply; after a long pause, check the connection first.

        Raises:
            RedisError, OSError: the server's error, or the connection's.
        """
        self._connection.send_packed_command((packed,))
        return self._connection.read_response()

    def execute_command(self, *args: Any) -> Any:
        """The same for a command that is not packed yet."""
        return self.call(Packer.pack(*args)[0])

    @property
    def number(self) -> int:
        """The server's id of this connection."""
        if self._number is None:
            self._number = int(self.execute_command("CLIENT", "ID"))
        return self._number

    def drain(self) -> None:
        """Read what the last user left unread."""
        while self.unread:
            if self.receive()[0] == b"unsubscribe":
                self.unread -= 1

    def ready(self, timeout: float, wake_fd: int = -1) -> tuple[bool, bool]:
        """Wait for a reply or for `wake_fd`; returns (reply there, wake_fd readable)."""
        if self._connection.can_read(timeout=0):
            return True, False
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if wake_fd >= 0:
            poll.register(wake_fd, select.POLLIN)
        events = dict(poll.poll(max(0.0, timeout) * 1000))
        return self._fd in events, wake_fd in events

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()
