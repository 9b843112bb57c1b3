import os

from reliable_tasks import App as Celery

app = Celery(broker=os.environ["STORE"], backend=os.environ["STORE"])


@app.task
def add(x: int, y: int) -> int:
    return x + y
