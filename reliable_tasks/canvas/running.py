"""The ways to run a signature, whatever it is made of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic

from reliable_tasks.core.typevars import R

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.eager import EagerResult
    from reliable_tasks.results.result import AsyncResult

__all__ = ["Runnable"]


class Runnable(dict[str, Any], Generic[R]):
    """What can be enqueued, applied and called; R is the type of its result."""

    if TYPE_CHECKING:

        @property
        def app(self) -> AppContext:
            """The app whose task it is."""

        @property
        def type(self) -> Any:
            """The task."""

        def _merge(
            self,
            args: Any = None,
            kwargs: Mapping[str, Any] | None = None,
            options: Mapping[str, Any] | None = None,
            force: bool = False,
        ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]: ...

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Run the task here and now, as a plain function."""
        args, kwargs, _ = self._merge(partial_args, partial_kwargs, None)
        return self.type(*args, **kwargs)

    def __invert__(self) -> R:
        """`~sig`: enqueue it and wait for its result."""
        return self.apply_async().get()

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[R]:
        """Enqueue it with these arguments before its own."""
        return self.apply_async(partial_args, partial_kwargs)

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> AsyncResult[R]:
        """Enqueue it with these arguments before its own, from a coroutine."""
        return await self.aapply_async(partial_args, partial_kwargs)

    async def aapply_async(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Enqueue it, from a coroutine; see `apply_async` and `Task.adelay`.

        A canvas is planned and stored in a thread. One that is cancelled when that has begun is
        stored all the same: whole, or not at all.
        """
        app = self.app
        lone = app.canvas.lone_message(self, args, kwargs, options)
        if lone is not None:
            result: AsyncResult[R] = await app.asend_message(*lone)
            return result
        send = partial(self.apply_async, args, kwargs, **options)
        stored: AsyncResult[R] = await app.gathering.in_thread(f"enqueueing {self!r}", send)
        return stored

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,  # noqa: ARG002 - Celery's position
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue it, with these arguments before its own and these options over its own.

        Returns:
            An `AsyncResult`; a `GroupResult` for a group, and for a chain that ends in one.

        Raises:
            ConfigError: an option is not possible, or the canvas is not.
            TypeError: the arguments do not fit the function.
            AlreadyQueued: a lone once-task's message with the same key is there already.
            StoreError: the store refused, or could not be reached.
        """
        result: AsyncResult[R] = self.app.canvas.apply_canvas(self, args, kwargs, options)
        return result

    def apply(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R]:
        """Run it here and now, with hooks, retries and callbacks; give the results' handles."""
        result: EagerResult[R] = self.app.canvas.apply_here(self, args, kwargs, options)
        return result
