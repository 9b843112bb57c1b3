"""Locks on a redis-py client: one script a verb, and a blocking pop to wait."""

import contextlib
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

from locks import _ops, keys
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.errors import LockStoreError
from locks.redis_errors import DRIVERS_OWN, SocketTimeout
from locks.scripts import Executor, Script, load_script

__all__ = ["RedisBackend", "given", "kind_and_name", "script", "translated", "wait_seconds"]

_KINDS: Final[dict[str, Kind]] = {"lock": "lock", "sem": "semaphore"}


def script(kind: Kind, verb: str) -> Script:
    """The script of a verb."""
    return load_script("locks", f"{kind}_{verb}.lua")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into LockStoreError."""
    try:
        yield
    except DRIVERS_OWN as error:
        raise LockStoreError(f"Redis could not be asked: {error!r}") from error


def texts(args: tuple[Any, ...]) -> list[Any]:
    """Arguments with numbers as text.

    hiredis makes a number's text in a way that runs signals' handlers, and crashes if one raises.
    """
    return [str(x) if isinstance(x, int | float) else x for x in args]


def drop_idle(client: Any) -> None:
    """Close the connections of a client that nobody uses.

    One of them may have an answer to come, where a signal's handler raised between question and
    answer; who asks next would take it for his.
    """
    nodes = client.get_nodes() if hasattr(client, "get_nodes") else ()
    for each in (client, *(node.redis_connection for node in nodes)):
        pool = getattr(each, "connection_pool", None)
        if pool is not None:
            pool.disconnect(inuse_connections=False)


def kind_and_name(key: bytes | str) -> tuple[Kind, str]:
    """What a key that list.lua names belongs to."""
    short, _, name = _ops.text(key).partition(":")
    return _KINDS[short], name


def wait_seconds(client: Any, seconds: float) -> float:
    """How long to block on this client: well below its socket timeout."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    limit = options.get("socket_timeout")
    return seconds if limit is None else min(seconds, limit / 2)


class RedisBackend:
    """A namespace of locks on the user's own client."""

    def __init__(self, client: Executor, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._prefix = keys.prefix(namespace)
        self.origin: tuple[Hashable, str] = (id(client), namespace)

    def _call(self, called: Script, *args: Any) -> Any:
        return self._asked(lambda client: called(client, self._prefix, *texts(args)))

    def _asked(self, ask: Callable[[Executor], Any]) -> Any:
        try:
            with translated():
                return ask(self._client)
        except LockStoreError:
            raise
        except BaseException:  # out of a signal's handler
            drop_idle(self._client)
            raise

    def take(
        self, subject: Subject, owner: str, ttl_ms: int, wait_ms: int = 0, now: int | None = None
    ) -> Taken | Busy:
        """See Backend."""
        args = (subject.name, owner, ttl_ms, subject.limit, wait_ms, given(now))
        return _ops.parse_taken(self._call(script(subject.kind, "acquire"), *args))

    def renew(
        self, subject: Subject, owner: str, ttl_ms: int, now: int | None = None
    ) -> int | None:
        """See Backend."""
        args = (subject.name, owner, ttl_ms, given(now))
        return _ops.parse_renewed(self._call(script(subject.kind, "renew"), *args))

    def free(
        self, subject: Subject, owner: str, now: int | None = None, *, forced: bool = False
    ) -> bool:
        """See Backend."""
        args = (subject.name, owner, subject.limit, given(now), int(forced))
        return bool(int(self._call(script(subject.kind, "release"), *args)))

    def read(self, subject: Subject, now: int | None = None) -> tuple[int | None, list[Holder]]:
        """See Backend."""
        reply = self._call(script(subject.kind, "read"), subject.name, given(now))
        return _ops.parse_holders(reply)

    def names(self) -> Iterator[tuple[Kind, str]]:
        """See Backend."""
        cursor = "0"
        seen: set[tuple[Kind, str]] = set()
        while True:
            args = (cursor, keys.pattern(self._prefix))
            page = self._call(load_script("locks", "list.lua"), *args)
            fresh = {kind_and_name(key) for key in page[1:]} - seen
            seen |= fresh
            yield from sorted(fresh)
            cursor = _ops.text(page[0])
            if cursor == "0":
                return

    def wait(self, subject: Subject, seconds: float) -> None:
        """See Backend."""
        key = keys.wake(self._namespace, subject.kind, subject.name)
        timeout = str(wait_seconds(self._client, seconds))

        def wait(client: Executor) -> None:
            # A timeout of the socket's ends the wait as the command's own does.
            with contextlib.suppress(SocketTimeout):
                client.execute_command("BLPOP", key, timeout)

        self._asked(wait)


def given(now: int | None) -> int | str:
    """The time as scripts take it."""
    return "" if now is None else now
