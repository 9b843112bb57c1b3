"""Many calls of a task at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from reliable_tasks.core.typevars import R

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult

__all__ = ["ManyCalls"]


class ManyCalls(Generic[R]):
    """`enqueue_many`."""

    if TYPE_CHECKING:
        app: AppContext

    def enqueue_many(
        self, arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]], **options: Any
    ) -> list[AsyncResult[R]]:
        """Enqueue many calls in batches: much faster than one by one.

        Each batch, of at most `max_batch` calls or 4 MiB of arguments, is one atomic step; of calls
        that are more than plain (with a once-key or a countdown) it may be several. One is stored
        while the next is made, so that the arguments may come from a generator.

        Args:
            arguments: of each call: a tuple of positional ones, or a dict of those by name.
            **options: of all of them, as `apply_async` takes them.

        Raises:
            TypeError: the arguments of a call do not fit the function.
            ConfigError: an option is not possible, or a call is neither a tuple nor a dict.
            AlreadyQueued: a call of a once-task without `graceful` is a duplicate; the others of
                its batch have been enqueued.
            StoreError: the store refused, or could not be reached.
        """
        return self.app.send_many(self, arguments, options)
