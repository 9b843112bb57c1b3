"""FastAPI: open and close an app of tasks with the web application, and hand it to handlers.

```python
app = FastAPI(lifespan=lifespan(tasks))


@app.post("/orders/{number}")
async def order(number: int, tasks: Annotated[App, Depends(get_app)]) -> str:
    return (await tasks.asend_task("shop.charge", (number,))).id
```
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from fastapi import Request  # noqa: TC002 - FastAPI reads the annotation

from reliable_tasks import App
from reliable_tasks.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from fastapi import FastAPI

    Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]

__all__ = ["get_app", "lifespan"]

_log = logging.getLogger(__name__)


def lifespan(tasks: App, inner: Lifespan | None = None) -> Lifespan:
    """A `lifespan=` that opens the store of `tasks` at the start, and closes it at the end.

    A store that is away is logged, and no reason not to start: calls are tried again.

    Args:
        tasks: the app; it becomes the current one, and that of `get_app`.
        inner: a lifespan of your own, to run within.
    """

    @contextlib.asynccontextmanager
    async def around(web: FastAPI) -> AsyncIterator[Any]:
        tasks.set_current()
        web.state.reliable_tasks = tasks
        try:
            await asyncio.to_thread(_open, tasks)
            if inner is None:
                yield None
            else:
                async with inner(web) as state:
                    yield state
        finally:
            await asyncio.to_thread(tasks.close)

    return around


def _open(tasks: App) -> None:
    try:
        tasks.store.read(["-"])  # any id: what counts is that it answers
    except StoreUnavailable as away:
        _log.warning("the store of %r is away as yet: %s", tasks, away)


def get_app(request: Request) -> App:
    """A dependency: the app of the web application's `lifespan`.

    Raises:
        ConfigError: the web application was made without.
    """
    tasks = getattr(request.app.state, "reliable_tasks", None)
    if not isinstance(tasks, App):
        raise ConfigError(
            "no app of tasks belongs to this application: make it with "
            "FastAPI(lifespan=reliable_tasks.contrib.fastapi.lifespan(tasks))"
        )
    return tasks
