from flask import Blueprint, request

from reliable_tasks.result import AsyncResult

from . import tasks

bp = Blueprint("tasks", __name__, url_prefix="/tasks")


@bp.get("/result/<id>")
def result(id: str) -> dict[str, object]:  # noqa: A002 - as the page has it
    result = AsyncResult(id)
    ready = result.ready()
    return {
        "ready": ready,
        "successful": result.successful() if ready else None,
        "value": result.get() if ready else result.result,
    }


@bp.post("/add")
def add() -> dict[str, object]:
    a = request.form.get("a", type=int)
    b = request.form.get("b", type=int)
    result = tasks.add.delay(a, b)  # type: ignore[arg-type]
    return {"result_id": result.id}


@bp.post("/block")
def block() -> dict[str, object]:
    result = tasks.block.delay()
    return {"result_id": result.id}


@bp.post("/process")
def process() -> dict[str, object]:
    result = tasks.process.delay(total=request.form.get("total", type=int))  # type: ignore[arg-type]
    return {"result_id": result.id}


@bp.post("/greet/<name>")
def greet(name: str) -> dict[str, object]:
    return {"result_id": tasks.greet.delay(name).id, "async": tasks.agreet.delay(name).id}
