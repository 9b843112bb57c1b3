"""The calls of a task that are awaited: they block no event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from reliable_tasks.core.typevars import P, R

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult

__all__ = ["AsyncCalls"]


class AsyncCalls(Generic[P, R]):
    """`adelay` and `aapply_async`."""

    if TYPE_CHECKING:
        app: AppContext

    sends_plainly = True
    """Whether `apply_async` is ours: one of your own is called, in a thread, by its twin too."""

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Enqueue a call with these arguments, from a coroutine.

        Many at once share a round trip to the store. One that is cancelled says in a note of its
        `CancelledError` whether the message was enqueued.

        Raises:
            TypeError, AlreadyQueued, StoreError: as `delay` does.
        """
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | UUID | None = None,
        producer: object = None,  # noqa: ARG002 - Celery's position
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call with options, from a coroutine; see `apply_async` and `adelay`."""
        if task_id is not None:
            options["task_id"] = task_id
        if shadow is not None:
            options["shadow"] = shadow
        links = {"link": link, "link_error": link_error} if link or link_error else {}
        result: AsyncResult[R] = await self.app.asend_call(self, args, kwargs, options, links)
        return result
