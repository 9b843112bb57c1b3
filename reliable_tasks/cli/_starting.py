"""A worker that is about to start, as Celery's signals hand it to their receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from reliable_tasks.app import App
    from reliable_tasks.worker import WorkerOptions

__all__ = ["StartingWorker"]


class StartingWorker:
    """The `instance` of `celeryd_init` and `celeryd_after_setup`.

    Attributes:
        app: whose worker it is.
        hostname: its name.
        queues: what it will consume; None until that is settled. Receivers of
            `celeryd_after_setup` may add to it.
        concurrency: how many bodies will run at once.
        pool: what they will run in.
    """

    def __init__(self, app: App, hostname: str) -> None:
        self.app = app
        self.hostname = hostname
        self.queues: list[str] | None = None
        self.concurrency: int | None = None
        self.pool: str | None = None

    def begin(self, given: dict[str, Any]) -> None:
        """Send `celeryd_init`: receivers may still change the app's settings."""
        from reliable_tasks import signals  # noqa: PLC0415 - `--help` needs none of it

        said = {"instance": self, "conf": self.app.conf, "options": dict(given)}
        signals.celeryd_init.send(self.hostname, **said)

    def settled(self, options: WorkerOptions) -> WorkerOptions:
        """Send `celeryd_after_setup`; returns the options with the queues as receivers left them.

        Raises:
            ConfigError: a receiver has left no list of queues.
        """
        from reliable_tasks import signals  # noqa: PLC0415 - `--help` needs none of it

        self.queues = [*options.queues]
        self.concurrency, self.pool = options.concurrency, options.pool
        conf = self.app.conf
        signals.celeryd_after_setup.send(self.hostname, instance=self, conf=conf)
        queues: object = self.queues
        if not isinstance(queues, list) or not all(isinstance(name, str) for name in queues):
            raise ConfigError(
                f"a receiver of celeryd_after_setup has left queues={shown(queues)}: leave a list "
                "of names"
            )
        return msgspec.structs.replace(options, queues=tuple(dict.fromkeys(queues)))
