"""The program of `benchmarks.bridge`, for Celery and, with only the import changed, for us."""

import os
from typing import Any

from benchmarks import probe

if os.environ["BENCH_SIDE"] == "celery":
    from celery import Celery
else:
    from reliable_tasks import App as Celery

app: Any = Celery("bridged", broker=os.environ["BENCH_STORE"])
app.conf.task_acks_late = bool(os.environ.get("BENCH_ACKS_LATE"))


@app.task(name="empty")  # type: ignore[untyped-decorator] # one of two apps
def empty() -> None:
    probe.hit()
