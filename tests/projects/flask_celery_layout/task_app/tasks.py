import time

from flask import current_app

from reliable_tasks import Task, shared_task


@shared_task(ignore_result=False)
def add(a: int, b: int) -> int:
    return a + b


@shared_task()
def block() -> None:
    time.sleep(0.01)


@shared_task(bind=True, ignore_result=False)
def process(self: Task, total: int) -> object:
    for i in range(total):
        self.update_state(state="PROGRESS", meta={"current": i + 1, "total": total})
    return {"current": total, "total": total}


@shared_task(ignore_result=False)
def greet(name: str) -> str:
    return f"{current_app.config['GREETING']} {name}"


@shared_task(ignore_result=False)
async def agreet(name: str) -> str:
    return f"{current_app.config['GREETING']} {name}"
