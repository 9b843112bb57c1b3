"""A worker in a thread of the test's own process, for as long as a block takes."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from reliable_tasks.core import clock

from .binding import virtual_time_of
from .worker import InlineWorker, NotIdle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.app import App

    from .time import VirtualTime

__all__ = ["BackgroundWorker", "background_worker"]

_LEASE_MS = 600_000  # renewed between bodies only: a body may take as long as this
_PAUSE_S = 0.01
_NO_LIMIT = 10**9


class _RealTime:
    """In the place of virtual time, for a store that has none."""

    monotonic = staticmethod(clock.monotonic)


class BackgroundWorker(InlineWorker):
    """Runs what is enqueued, one body at a time, until it is told to stop.

    Args:
        app: whose tasks, on whatever store it has.
    """

    def __init__(self, app: App) -> None:
        time: VirtualTime | _RealTime = virtual_time_of(app) or _RealTime()
        super().__init__(app, time)  # type: ignore[arg-type] # it reads the clock, and no more
        self.error: BaseException | None = None
        self._stopping = threading.Event()

    def serve(self) -> None:
        """Work until `stop`; what ends it early is kept in `error`."""
        try:
            with self.opened(_LEASE_MS):
                while not self._stopping.wait(_PAUSE_S):
                    self._store.heartbeat([self.session], _LEASE_MS)
                    self._consumer.woken()  # it looks again, for what came and what is due by now
                    self._until_idle(_NO_LIMIT, advance=False)
        except BaseException as error:  # noqa: BLE001 - the block that it works for raises it
            self.error = error

    def reload(self) -> None:
        """Celery's, for tasks declared since the start: they are known here without it."""

    def stop(self) -> None:
        """Let it finish the body that runs, and end."""
        self._stopping.set()


@contextlib.contextmanager
def background_worker(app: App, *, stop_within_s: float = 10.0) -> Iterator[BackgroundWorker]:
    """Within the block, run what is enqueued in a thread, one body at a time.

    A body is not stopped by limits or revocations, as in the pool `threads`.

    Raises:
        NotIdle: a body does not end within `stop_within_s` after the block.
    """
    app.finalize()
    worker = BackgroundWorker(app)
    thread = threading.Thread(target=worker.serve, name="test worker", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(stop_within_s)
    if thread.is_alive():
        raise NotIdle(f"a body still runs {stop_within_s:g} s after the block has ended")
    if worker.error is not None:
        raise worker.error
