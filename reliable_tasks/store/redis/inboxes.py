"""Leave one plain message in the inbox of its queue: all but id and payload is packed once."""

from collections.abc import Callable
from typing import Any, Final

from locks.scripts import Executor
from reliable_tasks.core.message import Kind
from reliable_tasks.store.redis.codec.fast_path import packed_kind
from reliable_tasks.store.redis.codec.layout import pack_text
from reliable_tasks.store.redis.errors import DRIVERS_OWN
from reliable_tasks.store.redis.server import Packer, Server

__all__ = ["Inboxes"]

_MOST_KINDS: Final = 512
_WORDS: Final = b"*8\r\n%b"
_PAYLOAD_AND_ID: Final = b"%b$%d\r\n%b\r\n$1\r\ni\r\n$%d\r\n%b\r\n"


class Inboxes:
    """Where producers leave messages without a script: see lua/include/inbox.lua.

    Args:
        server: to call.
        key: the declared key of scripts.
        open_inbox: makes the inbox of a queue.
    """

    def __init__(self, server: Server, key: str, open_inbox: Callable[[str], object]) -> None:
        self._server = server
        self._key = key
        self._open_inbox = open_inbox
        self._begun: dict[Kind, bytes] = {}

    def leave(self, kind: Kind, message_id: str, payload: bytes, executor: Executor) -> bool:
        """Leave a message that nobody has tried to store before, of the first priority.

        Args:
            kind: of the message.
            message_id: that no other message has.
            payload: a small one.
            executor: where to send it.

        Returns:
            whether it is stored for sure; otherwise it may be, and has to be stored by a script,
            which finds out.
        """
        packed = pack_text(payload)
        try:
            for _ in range(2):
                if self._send(kind, message_id, packed, executor) is not None:
                    return True
                self._open_inbox(kind.queue)
        except DRIVERS_OWN:  # what it is about is found by the script as well
            pass
        return False

    def _send(self, kind: Kind, message_id: str, packed: bytes, executor: Executor) -> Any:
        if executor is not self._server or not self._server.is_direct:
            return executor.execute_command(*self._words(kind), packed, "i", message_id)
        text = message_id.encode()
        begun = self._begun.get(kind) or self._begin(kind)
        return self._server.call(_PAYLOAD_AND_ID % (begun, len(packed), packed, len(text), text))

    def _words(self, kind: Kind) -> tuple[Any, ...]:
        return ("XADD", f"{self._key}inbox:{kind.queue}", "NOMKSTREAM", "*", packed_kind(kind))

    def _begin(self, kind: Kind) -> bytes:
        """The command up to the payload."""
        _, _, rest = Packer.pack(*self._words(kind))[0].partition(b"\r\n")
        if len(self._begun) >= _MOST_KINDS:
            self._begun.clear()
        begun = self._begun[kind] = _WORDS % rest
        return begun
