"""What type checkers are told of canvases; nothing of it is needed to run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.typevars import R

from .primitives import chain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.results.groups import GroupResult

__all__ = ["ChainToGroup"]


class ChainToGroup(chain[list[R]]):
    """A chain whose last part is a group, whose members return R: it gives the group's handle."""

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self, *partial_args: Any, **options: Any
        ) -> GroupResult[R]:
            """Enqueue it, as `apply_async` does."""

        def delay(  # type: ignore[override]
            self, *partial_args: Any, **partial_kwargs: Any
        ) -> GroupResult[R]:
            """Enqueue it with these arguments for its first parts."""

        async def adelay(  # type: ignore[override]
            self, *partial_args: Any, **partial_kwargs: Any
        ) -> GroupResult[R]:
            """Enqueue it, from a coroutine."""

        async def aapply_async(  # type: ignore[override]
            self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult[R]:
            """Enqueue it, from a coroutine."""

        def apply_async(  # type: ignore[override]
            self,
            args: Any = None,
            kwargs: Mapping[str, Any] | None = None,
            route_name: str | None = None,
            **options: Any,
        ) -> GroupResult[R]:
            """Enqueue it."""

        def apply(  # type: ignore[override]
            self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult[R]:
            """Run it here and now."""
