"""Blocking until there is something to do, without polling.

Work: an idle worker blocks on the inboxes of its queues, where each entry is handed to one of those
who block: a message that a producer has left there, or a bell, rung by a script that has queued
messages elsewhere. One of the idle workers watches for what is due next.

Results and schedules: the caller subscribes to a channel. A notification is a hint: the caller
reads again in any case, so a missed one costs no more than `WAIT_SECONDS`. It names the message's
state, so that a caller waiting for completion can ignore intermediate transitions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from redis import exceptions as rx

from reliable_tasks.core.clock import monotonic
from reliable_tasks.core.message import FINAL_STATES
from reliable_tasks.store.redis import keys
from reliable_tasks.store.redis.errors import is_out_of_memory
from reliable_tasks.store.redis.server import Line, Server

__all__ = ["WAIT_SECONDS", "Waiting"]

WAIT_SECONDS: Final = 1.0
WORK_SECONDS: Final = 5.0
"""The longest wait for work, and so how late work starts if the watcher has died (`WATCH_MS`)."""
SUBSCRIPTIONS: Final = 500
GRACE_SECONDS: Final = 2.0
UNBLOCK_SECONDS: Final = 0.001
"""How soon a wait that did not end is to be ended again; longer each time."""

_NO_INBOX: Final = ("NOGROUP", "UNBLOCKED")
"""How the errors begin that say that there is none, or none any more."""
_ENDED: Final = frozenset(state.encode() for state in FINAL_STATES)

Run = Callable[..., Any]


class Waiting:
    """The waits of one store.

    Args:
        server: provides the connections.
        namespace: of the store.
        run: runs a script by its name.
        now: returns the time for scripts ("" = the server's).
    """

    def __init__(
        self, server: Server, namespace: str, run: Run, now: Callable[[], int | str]
    ) -> None:
        self._server = server
        self._namespace = namespace
        self._run = run
        self._now = now
        self._opened: set[str] = set()

    # For work

    def open_inbox(self, queue: str) -> None:
        """Make the inbox of a queue, unless there is one."""
        self._run("open_inbox", self._now(), "", queue)
        self._opened.add(queue)

    def for_work(
        self,
        queues: Sequence[str],
        timeout: float,
        wake_fd: int,
        *then: tuple[Any, ...],
        due_s: float = math.inf,
    ) -> Any:
        """Block until there may be work, or `timeout`, and return the reply to `then`.

        Args:
            queues: to wait for.
            timeout: in seconds; the server ends the wait, up to 1/`hz` of a second too late.
            wake_fd: a descriptor that ends the wait when it is readable.
            then: a command that is sent along, and runs when the wait ends.
            due_s: after so many seconds we end it ourselves, on time.

        Returns:
            None if that did not run: there is none, or the server does not know the script or is
            out of memory, or something is due already.
        """
        if due_s <= 0:
            return None
        for queue in queues:
            if queue not in self._opened:
                self.open_inbox(queue)
        timeout = min(timeout, WORK_SECONDS)
        inboxes = [keys.inbox(self._namespace, q) for q in queues]
        # What is handed out is claimed by `then`, and needs no note of who has it until then.
        group = ("GROUP", keys.WORKERS, "w", "COUNT", 1, "BLOCK", _ms(timeout), "NOACK")
        blocking = ("XREADGROUP", *group, "STREAMS", *inboxes, *[">"] * len(inboxes))
        with self._server.line(inboxes[0]) as line:
            number = line.number  # asked for now: a blocked connection answers nothing
            line.send_all(blocking, *then)
            replied, interrupted = line.ready(min(due_s, timeout + GRACE_SECONDS), wake_fd)
            if not replied and (interrupted or due_s < timeout):
                self._unblock(line, number, inboxes[0])
            try:
                line.receive()
            except rx.ResponseError as e:
                if not str(e).startswith(_NO_INBOX):
                    raise
                self._opened.clear()
            try:
                return line.receive() if then else None
            except rx.ResponseError as e:
                if isinstance(e, rx.NoScriptError) or is_out_of_memory(e):
                    return None
                raise

    def _unblock(self, line: Line, number: int, key: str) -> None:
        """End a blocked wait, as if its time were over; an entry may come first, or its time end.

        Either way the one reply of the wait is still to be read, and `then` runs behind it. UNBLOCK
        does nothing to a connection that does not block. It goes by another one, where it can
        overtake the wait, and so is repeated until that has its reply.
        """
        deadline = monotonic() + self._server.call_seconds
        replied, pause_s = False, UNBLOCK_SECONDS
        while not replied and monotonic() < deadline:
            self._server.unblock(number, key)
            replied, _ = line.ready(pause_s)
            pause_s *= 2

    # For results

    def for_change(
        self, seen: Mapping[str, int], timeout: float, *, ended: bool, wake_fd: int = -1
    ) -> bool:
        """Block until one of these messages may have a new version, or has ended; at most 1 s."""
        timeout = min(timeout, WAIT_SECONDS)
        some = list(seen.items())[:SUBSCRIPTIONS]
        channels = [keys.changed(self._namespace, i) for i, _ in some]
        pairs = [part for i, version in some for part in (i, "" if ended else version)]

        def changed() -> bool:
            return bool(self._run("watch", _ms(timeout + GRACE_SECONDS), *pairs))

        told = _ENDED if ended else None
        return self.on_channels(channels, changed, timeout, wake_fd, told)

    def for_end(
        self, message_id: str, timeout: float, command_of: Callable[..., tuple[Any, ...]]
    ) -> Any:
        """Block until a message has ended, and return its record's string.

        True if it may have ended and has to be read; None on timeout.
        """
        timeout = min(timeout, WAIT_SECONDS)
        channel = keys.changed(self._namespace, message_id)
        note = _ms(timeout + GRACE_SECONDS), message_id
        listens = False
        try:
            with self._server.line(channel) as line:
                # In this order, since a subscribed connection may not run scripts. The server runs
                # both with nothing in between; should it ever not, we wait for a second in vain.
                line.send_all(command_of("await", *note), ("SUBSCRIBE", channel))
                try:
                    packed = line.receive()
                except rx.ResponseError as e:
                    if not (isinstance(e, rx.NoScriptError) or is_out_of_memory(e)):
                        raise
                    packed = self._run("await", *note)
                line.receive()
                listens = True
                if packed is None:
                    said, _ = self._listen(line, timeout, -1, _ENDED)
                    packed = said and (said.partition(b" ")[2] or True)
                line.send("UNSUBSCRIBE")
                line.unread = 1
                return packed
        except (rx.ConnectionError, OSError):
            if not listens:
                raise
            return None  # the server was there just now: the next call tells whether it still is

    def on_channels(
        self,
        channels: list[str],
        changed: Callable[[], bool],
        timeout: float,
        wake_fd: int = -1,
        told: frozenset[bytes] | None = None,
    ) -> bool:
        """Block until a message comes on one of the channels, unless `changed` says it is too late.

        Args:
            channels: to subscribe to.
            changed: called once subscribed: whether to return at once.
            timeout: how long to wait, in seconds.
            wake_fd: a descriptor that ends the wait when it is readable; -1 for none.
            told: the states to wait for; None for any message.
        """
        if not channels:
            return False
        with self._server.line(channels[0]) as line:
            line.send("SUBSCRIBE", *channels)
            for _ in channels:
                line.receive()
            there = changed() or self._listen(line, timeout, wake_fd, told) != (None, False)
            line.send("UNSUBSCRIBE")
            line.unread = len(channels)
            return there

    @staticmethod
    def _listen(
        line: Line, timeout: float, wake_fd: int, told: frozenset[bytes] | None
    ) -> tuple[bytes | None, bool]:
        """Wait for one of the states: the message, and whether `wake_fd` ended the wait."""
        deadline = monotonic() + timeout
        while True:
            replied, interrupted = line.ready(max(0.0, deadline - monotonic()), wake_fd)
            if replied:
                kind, _, said = line.receive()
                if kind == b"message" and (told is None or said.partition(b" ")[0] in told):
                    return said, False
            if interrupted or monotonic() >= deadline:
                return None, interrupted


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
