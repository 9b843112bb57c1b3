"""A store of which one verb fails, before or after it has been applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.errors import StoreUnavailable
from tests.faults.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.store.protocol import Store

__all__ = ["FailingStore"]


class FailingStore(Standing):
    """Stands before a store.

    Args:
        inner: the store.
        verb: that fails.
        applied: whether the store does it all the same.
        times: how often.

    Attributes:
        ids: of the messages that were to be enqueued.
    """

    def __init__(self, inner: Store, verb: str, *, applied: bool, times: int = 1) -> None:
        super().__init__(inner)
        self.ids: list[str] = []
        self._verb = verb
        self._applied = applied
        self._times = times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._failing(found) if name == self._verb else found

    def _failing(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.ids += [m.id for batch in args for m in getattr(batch, "messages", ())]
            if not self._times:
                return verb(*args, **kwargs)
            self._times -= 1
            if self._applied:
                verb(*args, **kwargs)
            raise StoreUnavailable("the reply was lost")

        return call
