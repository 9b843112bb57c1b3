"""FastAPI: the application opens and closes the store; handlers enqueue and wait in the loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from reliable_tasks import App
from reliable_tasks.contrib.fastapi import get_app, lifespan
from reliable_tasks.errors import ConfigError
from tests.contrib.django_projects import Project
from tests.process.conftest import redis_server, store_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["redis_server", "store_url"]

VISIT = """
import asyncio, json, httpx
from shop import app

async def main():
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(
        transport=transport, base_url="http://shop"
    ) as client:
        async def visit(way):
            id = (await client.post(f"/{way}/7")).json()["id"]
            while (said := (await client.get(f"/results/{id}")).json()["value"]) is None:
                pass
            return said
        print(json.dumps(await asyncio.gather(visit("orders"), visit("by-name"))))

asyncio.run(main())
"""


def test_an_application_and_a_worker(tmp_path: Path, store_url: str) -> None:
    with Project("fastapi", tmp_path, SHOP_STORE=store_url) as project:
        project.start("reliable-tasks", "-A", "shop:tasks", "worker", "-c", "1")
        assert json.loads(project.run("-c", VISIT).splitlines()[-1]) == [700, 700]


def test_a_lifespan_of_ones_own_runs_within() -> None:
    happened: list[str] = []
    tasks = App("web", broker="sqlite://", set_as_current=False)

    @contextlib.asynccontextmanager
    async def own(web: FastAPI) -> AsyncIterator[dict[str, Any]]:
        happened.append(f"begins with {web.state.reliable_tasks.main}")
        yield {"state": 1}
        happened.append("ends")

    web = FastAPI(lifespan=lifespan(tasks, own))

    async def main() -> None:
        async with web.router.lifespan_context(web) as state:
            assert state == {"state": 1}

    asyncio.run(main())
    assert happened == ["begins with web", "ends"]


def test_a_store_that_is_away_is_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = App("web", broker=f"sqlite:///{tmp_path}/no/folder/db", set_as_current=False)
    web = FastAPI(lifespan=lifespan(tasks))

    async def main() -> None:
        async with web.router.lifespan_context(web):
            assert "is away as yet" in caplog.text

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())


def test_without_a_lifespan_the_dependency_says_what_to_do() -> None:
    web = FastAPI()

    @web.get("/")
    def front(tasks: Annotated[App, Depends(get_app)]) -> str:
        return str(tasks.main)

    async def main() -> None:
        transport = httpx.ASGITransport(app=web)
        async with httpx.AsyncClient(transport=transport, base_url="http://web") as client:
            await client.get("/")

    with pytest.raises(ConfigError, match="lifespan"):
        asyncio.run(main())
