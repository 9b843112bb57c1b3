"""`bridge`: take over the messages that another system's broker gets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
import msgspec

from reliable_tasks import __version__, events
from reliable_tasks.config.backend import named_backend
from reliable_tasks.config.brokers import is_broker
from reliable_tasks.errors import ConfigError

from ._banner import health_of
from ._context import Chosen, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of
from ._queues import QUEUES
from ._say import mention, say

if TYPE_CHECKING:
    from reliable_tasks.app import App
    from reliable_tasks.contrib.bridge.bridge import Bridge

__all__ = ["command"]


@click.command("bridge")
@click.option(
    *("--from", "url"),
    metavar="URL",
    help="The broker, such as amqp://host; by default the app's, if its broker_url names one.",
)
@click.option(
    *QUEUES,
    metavar="THEIRS[=OURS],…",
    multiple=True,
    help="The broker's queues; with =OURS for a queue of another name here.",
)
@click.option(
    "--results",
    metavar="URL",
    help="Celery's result backend to tell how messages end: rpc://, cache+memcached://…, db+…; by "
    "default the app's, if it names a broker.",
)
@click.option(
    "--prefetch",
    metavar="N",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="How many messages the broker may send before they are stored.",
)
@click.option("--tell-only", is_flag=True, help="Tell results, and take nothing over.")
@click.option(
    "--once", is_flag=True, help="Take over what is there, and end; fail where it cannot."
)
@click.option(
    "--transport-options", metavar="JSON", help="kombu's options for the connection, as JSON."
)
@click.option("-n", "--hostname", metavar="NAME", help="Its name in the log: name@%h, %h the host.")
@click.option("--pidfile", metavar="FILE", help="Write the process's number there.")
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@level_option
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    url: str | None,
    queues: tuple[str, ...],
    results: str | None,
    prefetch: int,
    tell_only: bool,
    once: bool,
    transport_options: str | None,
    hostname: str | None,
    pidfile: str | None,
    logfile: str | None,
    loglevel: str,
) -> None:
    """Take over the messages of Celery's producers, from the broker they send to.

    Each message is stored here, and only then acknowledged: whatever is killed, none is lost and
    none is there twice. Any number may run at once. TERM or Ctrl-C ends it.
    """
    from reliable_tasks.contrib.bridge.bridge import (  # noqa: PLC0415 - as below
        Bridge,
        listening,
        queues_of,
    )

    app = chosen.find_app()
    app.import_modules()
    set_up_log(app.settings, chosen, loglevel, logfile)
    named = queues_of(queues) or {app.settings.task_default_queue: app.settings.task_default_queue}
    bridge = Bridge(
        app,
        url or _broker_of(app),
        named,
        prefetch=prefetch,
        name=hostname,
        transport_options=_options(transport_options) or ({} if url else _options_of(app)),
        results=_results(app, results),
        once=once,
    )
    events.outlive_exits()
    with listening() as stop, pidfile_of(pidfile):
        if not chosen.quiet:
            say(_banner(app, bridge))
        if tell_only:
            bridge.tell(stop)
            return
        counts = bridge.run(stop)
    if not chosen.quiet:
        mention(
            f"bridge: stopped; {counts.stored} stored, {counts.duplicates} duplicates, "
            f"{counts.refused} dead letters"
        )


def _broker_of(app: App) -> str:
    if is_broker(app.settings.broker_url):
        return app.settings.broker_url
    raise click.UsageError(
        "name the broker that the messages come from: --from amqp://host",
        click.get_current_context(silent=True),
    )


def _options_of(app: App) -> dict[str, Any]:
    """What the app says of its own broker."""
    return dict(app.settings.broker_transport_options)


def _results(app: App, url: str | None) -> str | None:
    """Where endings are told.

    Raises:
        ConfigError: Celery has no such backend.
    """
    if url:
        return named_backend(url, name="--results")
    settings = app.settings
    return named_backend(settings.result_backend) if is_broker(settings.broker_url) else None


def _options(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ConfigError(f"--transport-options {text!r} must be a JSON object: {error}") from None


def _banner(app: App, bridge: Bridge) -> str:
    queues = (t if t == o else f"{t} as {o}" for t, o in bridge.queues.items())
    lines = [
        f"reliable-tasks {__version__}: {bridge.name} (process {os.getpid()})",
        "",
        f"  app     {app.main or app!r}",
        f"  from    {bridge.broker}",
        f"  queues  {', '.join(queues)}",
        f"  store   {app.store.location}",
        *([f"  results {bridge.results}"] if bridge.results else []),
        *(f"  WARNING {warning}" for warning in health_of(app.store).warnings),
    ]
    return "\n".join([*lines, ""])
