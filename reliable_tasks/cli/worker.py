"""`worker`: run a worker."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from reliable_tasks.errors import ConfigError

from ._banner import banner
from ._context import Chosen, F, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of
from ._queues import QUEUES, served
from ._say import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App
    from reliable_tasks.worker import WorkerOptions

__all__ = ["command"]

_TAKEN = {
    ("-O", "optimization"): "Workers are always fair.",
    ("--prefetch-multiplier",): "Claims are made when they can start.",
    ("-S", "--statedb"): "Revocations live in the store.",
    ("-s", "--schedule", "--schedule-filename"): "The schedule lives in the store.",
    ("--heartbeat-interval",): "See the setting heartbeat_interval.",
}
_TAKEN_FLAGS = {
    ("-E", "--task-events", "--events"): "See the audit trail.",
    ("--without-gossip",): "There is none.",
    ("--without-mingle",): "There is none.",
    ("--without-heartbeat",): "The heartbeat keeps a worker's messages.",
}


def _accept_celerys(command: F) -> F:
    """Options of Celery's that need nothing here: they are taken, hidden and without effect."""
    for names, text in _TAKEN.items():
        command = click.option(*names, hidden=True, expose_value=False, help=text)(command)
    for names, text in _TAKEN_FLAGS.items():
        flag = click.option(*names, is_flag=True, hidden=True, expose_value=False, help=text)
        command = flag(command)
    return command


def _no_detach(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        raise click.UsageError(
            "a worker does not detach itself; let systemd, supervisord or your container run it, "
            "which also restarts it",
            ctx,
        )


def _autoscale(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Celery's `max,min`: the most of them, since an idle process costs next to nothing."""
    if value is None:
        return None
    try:
        return max(int(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not MAX,MIN; -c N says the same") from None


_POSITIVE = click.IntRange(1)


@click.command("worker")
@click.option("-c", "--concurrency", type=_POSITIVE, help="How many bodies run at once.")
@click.option(*QUEUES, multiple=True, metavar="NAMES", help="Consume these, with commas between.")
@click.option("-X", "--exclude-queues", multiple=True, metavar="NAMES", help="But not these.")
@click.option("-n", "--hostname", metavar="NAME", help="name@%h: %h host, %n, %d, %p its parts.")
@click.option("-P", "--pool", help="prefork, threads, asyncio or solo.")
@click.option("-B", "--beat", is_flag=True, help="Run a beat as well; any number may run.")
@click.option(
    "--max-tasks-per-child", type=_POSITIVE, help="Replace a child after so many messages."
)
@click.option(
    "--max-memory-per-child", type=_POSITIVE, metavar="KIB", help="Or when it uses so much memory."
)
@click.option("--time-limit", type=float, metavar="S", help="Kill bodies that run longer.")
@click.option("--soft-time-limit", type=float, metavar="S", help="Or first ask them to stop.")
@click.option("--shutdown-timeout", type=float, metavar="S", help="How long TERM may take.")
@click.option("-I", "--include", multiple=True, metavar="MODULES", help="Import these, too.")
@click.option("--autoscale", callback=_autoscale, metavar="MAX,MIN", help="Means -c MAX.")
@click.option("--pidfile", metavar="FILE", help="Write the process's number there.")
@click.option("--purge", "--discard", "purge", is_flag=True, help="Revoke first what waits.")
@click.option("-D", "--detach", is_flag=True, hidden=True, expose_value=False, callback=_no_detach)
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@level_option
@_accept_celerys
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    /,
    loglevel: str,
    logfile: str | None,
    pidfile: str | None,
    purge: bool,
    include: tuple[str, ...],
    **given: Any,
) -> None:
    """Run a worker until it is told to stop.

    TERM (or Ctrl-C) lets it finish what runs and give the rest back; a second one, or QUIT, gives
    everything back at once. HUP stops it as TERM does and starts it anew, unless it has a terminal.
    Killing it loses nothing.
    """
    # A shell starts what runs in its background with QUIT ignored. While it is blocked it is kept,
    # and the worker gets it once it listens.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT})
    restore = partial(signal.pthread_sigmask, signal.SIG_SETMASK, before)
    click.get_current_context().call_on_close(restore)
    with _without_collections():
        app = chosen.find_app()
        if include:
            names = (name for text in include for name in text.split(",") if name)
            app.conf.include = (*app.settings.include, *names)
        app.import_modules()
        options = _options(app, chosen, given)
    set_up_log(app.settings, chosen, loglevel, logfile)
    with pidfile_of(pidfile):
        if purge:
            from .purge import purge_queues  # noqa: PLC0415 - rarely asked for

            purge_queues(app, options.queues, (), force=True)
        if not chosen.quiet:
            say(banner(app, options, beat=bool(options.companions)))
        from reliable_tasks.worker import RESTART, run_worker  # noqa: PLC0415 - `--help` needs none

        code = run_worker(app, options)
    if code == RESTART:
        chosen.start_anew()
    raise click.exceptions.Exit(code)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Keep imported modules out of garbage collection, which took a tenth of the start."""
    before, never = gc.get_threshold(), (1_000_000, 1_000, 1_000)
    gc.set_threshold(*never)
    try:
        yield
    finally:
        if gc.get_threshold() == never:  # the program may have said what it wants
            gc.set_threshold(*before)


def _options(app: App, chosen: Chosen, given: dict[str, Any]) -> WorkerOptions:
    """The options: what the line says, else the settings."""
    from reliable_tasks.worker import WorkerOptions  # noqa: PLC0415 - `--help` needs none of it
    from reliable_tasks.worker.options import expand_hostname  # noqa: PLC0415

    settings = app.settings
    queues = served(app, given["queues"], given["exclude_queues"])
    if not queues:
        raise ConfigError("no queue is left to consume: name one with -Q")
    timeout = given["shutdown_timeout"]
    concurrency = given["concurrency"] or given["autoscale"] or settings.worker_concurrency
    beat = given["beat"] or chosen.beat
    return WorkerOptions(
        hostname=expand_hostname(given["hostname"]),
        queues=queues,
        concurrency=concurrency or os.cpu_count() or 1,
        pool=_pool(given["pool"]) or settings.worker_pool,
        max_tasks_per_child=given["max_tasks_per_child"] or settings.worker_max_tasks_per_child,
        max_memory_per_child_kib=given["max_memory_per_child"]
        or settings.worker_max_memory_per_child,
        time_limit=given["time_limit"] or settings.task_time_limit,
        soft_time_limit=given["soft_time_limit"] or settings.task_soft_time_limit,
        shutdown_timeout=settings.worker_shutdown_timeout if timeout is None else timeout,
        companions=(_beat_of(app),) if beat else (),
    )


def _beat_of(app: App) -> Callable[[], int]:
    from reliable_tasks.beat.service import beat_companion  # noqa: PLC0415 - most run none

    return beat_companion(app)


def _pool(name: str | None) -> str | None:
    """The pool of this name.

    Raises:
        click.BadParameter: it is one of Celery's that is not here, or none at all.
    """
    if name is None:
        return None
    from reliable_tasks.worker.pools import pool_class  # noqa: PLC0415 - `--help` needs none

    if name in {"gevent", "eventlet"}:
        raise click.BadParameter(
            f"there is no pool {name!r}: use --pool threads, or asyncio with `async def` bodies"
        )
    name = "prefork" if name == "processes" else name
    pool_class(name)
    return name
