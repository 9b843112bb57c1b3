"""What stands before a store in tests: all is handed on, but for what a subclass does itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.store.values import batch_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.message import Kind
    from reliable_tasks.store.values import Receipt

__all__ = ["Standing"]


class Standing:
    """Stands before a store; a subclass that does something to `enqueue` does it to plain calls.

    It holds its callers to what they promise of those: nobody has tried to store them before.

    Args:
        inner: the store.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._tried: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def enqueue_plain(
        self, kind: Kind, ids: Sequence[str], payloads: Sequence[bytes], durable: str | None = None
    ) -> tuple[Receipt, ...]:
        assert self._tried.isdisjoint(ids), "what may be known is for `enqueue`"
        self._tried.update(ids)
        receipts: tuple[Receipt, ...] = self.enqueue(
            batch_of(kind, ids, payloads, durable)
        ).receipts
        return receipts
