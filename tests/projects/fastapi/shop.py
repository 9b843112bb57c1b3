"""A FastAPI application: `uvicorn shop:app`, and `reliable-tasks -A shop:tasks worker`."""

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from reliable_tasks import App
from reliable_tasks.contrib.fastapi import get_app, lifespan
from reliable_tasks.errors import TimeoutError as ResultTimeoutError

tasks = App("shop", broker=os.environ["SHOP_STORE"])


@tasks.task
async def charge(number: int) -> int:
    return number * 100


app = FastAPI(lifespan=lifespan(tasks))


@app.post("/orders/{number}")
async def order(number: int) -> dict[str, str]:
    return {"id": (await charge.adelay(number)).id}


@app.post("/by-name/{number}")
async def by_name(number: int, tasks: Annotated[App, Depends(get_app)]) -> dict[str, str]:
    return {"id": (await tasks.asend_task("shop.charge", (number,))).id}


@app.get("/results/{id}")
async def result(id: str, tasks: Annotated[App, Depends(get_app)]) -> dict[str, Any]:  # noqa: A002
    try:
        return {"value": await tasks.AsyncResult(id).aget(timeout=1)}
    except ResultTimeoutError:
        return {"value": None}
