"""The bridge beside a worker whose app names a broker: a process of its own, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reliable_tasks import events
from reliable_tasks.config.backend import named_backend
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.errors import ConfigError

from .beside import Stop, listening
from .bridge import Bridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.context import AppContext

__all__ = ["bridge_of", "run_beside"]

_BACKOFF: Final = Backoff(first_s=1.0, longest_s=30.0)


def bridge_of(app: AppContext, queues: Sequence[str]) -> Bridge:
    """The bridge of an app's own broker, to its own backend.

    Raises:
        ConfigError: a library is missing, or the URL names no broker.
    """
    settings = app.settings
    owner: Any = app
    return Bridge(
        owner,
        settings.broker_url,
        {queue: queue for queue in queues},
        transport_options=settings.broker_transport_options,
        results=named_backend(settings.result_backend),
    )


def run_beside(app: AppContext, queues: Sequence[str], parent: int) -> int:
    """Run it until the worker is told to stop, or is gone.

    Args:
        app: whose messages they are.
        queues: the broker's, and the store's of the same names.
        parent: the worker's process.

    Returns:
        the exit code, 0.
    """
    with listening(parent) as stop:
        _serve(app, queues, stop)
    app.close()
    return 0


def _serve(app: AppContext, queues: Sequence[str], stop: Stop) -> None:
    """Run it; where the broker refuses it, again: somebody may put that right at the broker."""
    refusals = 0
    while not stop.is_set():
        bridge = bridge_of(app, queues)
        try:
            bridge.run(stop)
        except ConfigError as error:
            refusals += 1
            pause_s = _BACKOFF.pause_s(refusals)
            events.emit("broker.unavailable", broker=bridge.broker, error=str(error), delay=pause_s)
            stop.wait(pause_s)
