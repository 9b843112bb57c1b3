"""The bridge beside a worker whose app names a broker: a process of its own, which ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.config.backend import named_backend

from .beside import WithParent, listening
from .bridge import Bridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.context import AppContext

__all__ = ["bridge_of", "run_beside"]


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
    with listening() as inbox:
        bridge_of(app, queues).run(WithParent(inbox, parent))
    app.close()
    return 0
