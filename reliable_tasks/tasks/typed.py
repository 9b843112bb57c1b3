"""What type checkers are told of tasks; nothing of it is needed to run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Literal, Protocol, TypeVar, overload

from reliable_tasks.core.typevars import P, R
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["AsyncTask", "MakesTask"]

B_co = TypeVar("B_co", covariant=True)


class AsyncTask(Task[P, R]):
    """A task made of an `async def` function that returns R.

    Its results are of type R, as those of any task. Called directly it is the function that it
    was made of, and gives the coroutine.
    """

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, R]:
            """Call the function here, which gives its coroutine."""


class MakesTask(Protocol[B_co]):
    """What `@app.task(…)` gives: it makes a task of a function.

    B_co says whether the function's first argument is the task: `Literal[True]` or
    `Literal[False]`; it is unknown where the options hide it (`@app.task(**OPTIONS)`). The first
    two overloads are for that: the arguments of such a task are not checked.
    """

    @overload
    def __call__(
        self: MakesTask[None], fun: Callable[..., Coroutine[Any, Any, R]], /
    ) -> AsyncTask[..., R]: ...

    @overload
    def __call__(self: MakesTask[None], fun: Callable[..., R], /) -> Task[..., R]: ...

    @overload
    def __call__(
        self: MakesTask[Literal[True]],
        fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
    ) -> AsyncTask[P, R]: ...

    @overload
    def __call__(
        self: MakesTask[Literal[True]], fun: Callable[Concatenate[Any, P], R], /
    ) -> Task[P, R]: ...

    @overload
    def __call__(
        self: MakesTask[Literal[False]], fun: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self: MakesTask[Literal[False]], fun: Callable[P, R], /) -> Task[P, R]: ...
