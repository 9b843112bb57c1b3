"""Enqueue one plain message: all of the command but id and payload is packed once for each kind."""

from collections.abc import Callable
from typing import Any, Final

from reliable_tasks.core.message import Kind
from reliable_tasks.store.redis.codec.fast_path import one_plain
from reliable_tasks.store.redis.codec.layout import pack_text
from reliable_tasks.store.redis.codec.scripts import script
from reliable_tasks.store.redis.errors import DRIVERS_OWN
from reliable_tasks.store.redis.server import Packer, Server

__all__ = ["LoneEnqueue"]

_MOST_KINDS: Final = 512
_ID_AND_PAYLOAD: Final = b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n"


class LoneEnqueue:
    """Calls enqueue_plain.lua.

    Args:
        server: to call.
        key: the declared key of the script.
        audit: the audit mode.
        run: runs a script by its name, whatever the server is and however it has to be called.
        is_usual: whether scripts take the server's time, and nothing is waited for behind them.
    """

    def __init__(
        self, server: Server, key: str, audit: str, run: Callable[..., Any], *, is_usual: bool
    ) -> None:
        self._server = server
        self._key = key
        self._audit = audit
        self._run = run
        self._is_usual = is_usual and server.is_direct
        self._begun: dict[Kind, bytes] = {}

    def __call__(self, kind: Kind, message_id: str, payload: bytes, durable: str | None) -> bool:
        """Store a message; False where something has its id, and nothing was stored."""
        packed = pack_text(payload)
        if self._is_usual and durable is None:
            text = message_id.encode()
            begun = self._begun.get(kind) or self._begin(kind)
            command = _ID_AND_PAYLOAD % (begun, len(text), text, len(packed), packed)
            try:
                return bool(self._server.call(command))
            except DRIVERS_OWN:  # what it is about, and whether it can be repeated, is found there
                pass
        args = (*one_plain(kind), message_id, packed)
        return bool(self._run("enqueue_plain", *args, durable=durable))

    def _begin(self, kind: Kind) -> bytes:
        """The command up to the id, with room for that and the payload in its length."""
        sha = script("enqueue_plain").sha
        words = ("EVALSHA", sha, "1", self._key, "", self._audit, *one_plain(kind))
        _, _, rest = Packer.pack(*words)[0].partition(b"\r\n")
        if len(self._begun) >= _MOST_KINDS:
            self._begun.clear()
        begun = self._begun[kind] = b"*%d\r\n%b" % (len(words) + 2, rest)
        return begun
