"""Blocking until there is something to do, without polling.

For work: whoever blocks is noted in the store; what queues a message pushes as many markers as
there is work for those who are noted. One of them watches for what is due next.

For results and schedules: those who wait subscribe to a channel. A notification is a hint: the
caller reads again in any case, so a missed one costs no more than `WAIT_SECONDS`. It says in which
state a message is, so that who waits for an ending sleeps on while the message is claimed.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reliable_tasks.clock import monotonic
from reliable_tasks.ids import new_id
from reliable_tasks.message import FINAL_STATES

from . import keys
from ._server import Line, Server

__all__ = ["WAIT_SECONDS", "Waiting"]

WAIT_SECONDS: Final = 1.0
WORK_SECONDS: Final = 5.0
"""How long one wait for work lasts at most, and so how late work starts if a watcher died."""
SUBSCRIPTIONS: Final = 500
GRACE_SECONDS: Final = 2.0
UNBLOCK_SECONDS: Final = 0.05

_ENDED: Final = frozenset(state.encode() for state in FINAL_STATES)

Run = Callable[..., Any]


class Waiting:
    """The waits of one store.

    Args:
        server: where the connections come from.
        namespace: of the store.
        run: calls a script by its name.
        now: gives the time for scripts ("" = the server's).
    """

    def __init__(
        self, server: Server, namespace: str, run: Run, now: Callable[[], int | str]
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._run = run
        self._now = now
        self._noted: dict[str, bool] = {}
        self._made = 0, ""

    # For work

    def for_work(self, queues: Sequence[str], timeout: float, wake_fd: int) -> bool:
        """Block until work may be there; False when the time passed."""
        waiter = f"{self._identity()}:{threading.get_ident()}"
        timeout = min(timeout, WORK_SECONDS)
        there, due_ms = self._run("idle", self._now(), waiter, _ms(timeout), *queues)
        if there:
            return True
        self._noted[waiter] = True
        comes_due = 0 <= due_ms <= timeout * 1000
        if comes_due:
            timeout = due_ms / 1000
        lists = [keys.wake(self._namespace, q) for q in queues]
        lists.append(keys.nudge(self._namespace, waiter))
        with self._server.line(lists[0]) as line:
            woken = self._block(line, lists, timeout, wake_fd)
        return woken or comes_due

    def _identity(self) -> str:
        """Of this process among all that block for work."""
        pid = os.getpid()
        if self._made[0] != pid:
            self._made = pid, new_id()
        return self._made[1]

    def _block(self, line: Line, lists: list[str], timeout: float, wake_fd: int) -> bool:
        number = line.number
        line.send("BLPOP", *lists, max(timeout, 0.001))
        replied, interrupted = line.ready(timeout + GRACE_SECONDS, wake_fd)
        if not replied and interrupted:
            self._unblock(line, number, lists[0])
        return line.receive() is not None or interrupted

    def _unblock(self, line: Line, number: int, key: str) -> None:
        """End a blocked wait; its reply tells whether a marker was first.

        Said again until that comes: on a connection of its own, it can overtake the wait.
        """
        deadline = monotonic() + self._server.call_seconds
        replied = False
        while not replied and monotonic() < deadline:
            self._server.node(key).client_unblock(number)
            replied, _ = line.ready(UNBLOCK_SECONDS)

    def back(self) -> str:
        """Who of this thread was noted as blocking and does so no more; "" for nobody."""
        waiter = f"{self._made[1]}:{threading.get_ident()}"
        return waiter if self._noted.pop(waiter, None) else ""

    # For results

    def for_change(self, seen: Mapping[str, int], timeout: float, *, ended: bool) -> bool:
        """Block until one of these messages may have another version, or has ended.

        At most a second.
        """
        timeout = min(timeout, WAIT_SECONDS)
        some = list(seen.items())[:SUBSCRIPTIONS]
        channels = [keys.changed(self._namespace, i) for i, _ in some]
        pairs = [part for i, version in some for part in (i, "" if ended else version)]

        def changed() -> bool:
            return bool(self._run("watch", _ms(timeout + GRACE_SECONDS), *pairs))

        return self.on_channels(channels, changed, timeout, told=_ENDED if ended else None)

    def on_channels(
        self,
        channels: list[str],
        changed: Callable[[], bool],
        timeout: float,
        wake_fd: int = -1,
        told: frozenset[bytes] | None = None,
    ) -> bool:
        """Block until one of the channels speaks, unless `changed` says there is no need to.

        Args:
            channels: to listen to.
            changed: asked when they are listened to.
            timeout: how long to wait, in seconds.
            wake_fd: a descriptor that ends the waiting when it is readable; -1 for none.
            told: what must be said; None for anything.
        """
        if not channels:
            return False
        with self._server.line(channels[0]) as line:
            line.send("SUBSCRIBE", *channels)
            for _ in channels:
                line.receive()
            there = changed() or self._listen(line, timeout, wake_fd, told)
            line.send("UNSUBSCRIBE")
            line.unread = len(channels)
            return there

    @staticmethod
    def _listen(line: Line, timeout: float, wake_fd: int, told: frozenset[bytes] | None) -> bool:
        deadline = monotonic() + timeout
        while True:
            replied, interrupted = line.ready(max(0.0, deadline - monotonic()), wake_fd)
            if replied:
                kind, _, said = line.receive()
                if kind == b"message" and (told is None or said in told):
                    return True
            if interrupted or monotonic() >= deadline:
                return interrupted


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
