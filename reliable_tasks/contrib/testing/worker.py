"""`start_worker`, in the module that Celery has it in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from reliable_tasks.celery_names import no_name
from reliable_tasks.testing.background import background_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.app import App
    from reliable_tasks.testing.background import BackgroundWorker

__all__ = ["start_worker"]


@contextlib.contextmanager
def start_worker(
    app: App,
    concurrency: int = 1,  # noqa: ARG001 - Celery's: one body at a time runs, in a thread
    pool: str = "solo",  # noqa: ARG001 - as above
    loglevel: Any = None,  # noqa: ARG001 - Celery's: the log is that of the tests
    logfile: Any = None,  # noqa: ARG001 - as above
    perform_ping_check: bool = True,  # noqa: ARG001 - Celery's: what raised is raised at the end
    ping_task_timeout: float = 10.0,  # noqa: ARG001 - as above
    shutdown_timeout: float = 10.0,
    **_: Any,
) -> Iterator[BackgroundWorker]:
    """Within the block, run what is enqueued in a thread, one body at a time.

    Raises:
        NotIdle: a body does not end within `shutdown_timeout` after the block.
    """
    with background_worker(app, stop_within_s=shutdown_timeout) as worker:
        yield worker


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
