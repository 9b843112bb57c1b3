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

from ._accepted import not_needed, refused, umask_option
from ._banner import banner
from ._context import Chosen, app_options
from ._logging import level_option, set_up_log
from ._pidfile import pidfile_of
from ._queues import QUEUES, served
from ._say import mention, say
from ._starting import StartingWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App
    from reliable_tasks.worker import WorkerOptions

__all__ = ["command"]

_NOT_NEEDED = {
    ("-O", "--optimization"): "workers are always fair",
    ("--prefetch-multiplier",): "a worker claims what it can start",
    ("-S", "--statedb"): "revocations live in the store",
    ("-s", "--schedule", "--schedule-filename"): "the schedule's state lives in the store",
    ("--scheduler",): "there is one scheduler, and entries can be changed while it runs",
    ("--heartbeat-interval",): "the setting heartbeat_interval says it, for all workers alike",
    ("--pool-start-method",): "children are forked, before anything in them runs",
    ("--executable",): "a worker runs in the Python that starts it",
}
_FLAGS_NOT_NEEDED = {
    ("-E", "--task-events", "--events"): "the audit trail tells what happened, see `audit`",
    ("--disable-prefetch",): "a worker claims what it can start",
    ("--without-gossip",): "there is none",
    ("--without-mingle",): "there is none",
    ("--without-heartbeat",): "the heartbeat keeps a worker's messages, and is one call in seconds",
}


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
@click.option("-f", "--logfile", metavar="FILE", help="Log there instead of standard error.")
@umask_option
@level_option
@refused
@not_needed(_NOT_NEEDED, _FLAGS_NOT_NEEDED)
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
        starting = _starting(app, given)
        options = _options(app, chosen, given, starting.hostname)
    set_up_log(app.settings, chosen, loglevel, logfile)
    options = starting.settled(options)
    beat = bool(options.companions)
    options = _behind_a_broker(app, options)
    with pidfile_of(pidfile):
        if purge:
            from .purge import purge_queues  # noqa: PLC0415 - rarely asked for

            purge_queues(app, options.queues, (), force=True)
        if not chosen.quiet:
            say(banner(app, options, beat=beat))
        from reliable_tasks.worker import RESTART, run_worker  # noqa: PLC0415 - `--help` needs none

        with _stop_told(options) if not chosen.quiet else contextlib.nullcontext():
            code = run_worker(app, options)
    if code == RESTART:
        chosen.start_anew()
    raise click.exceptions.Exit(code)


@contextlib.contextmanager
def _stop_told(options: WorkerOptions) -> Iterator[None]:
    """Say what happens when a signal ends the worker, whatever the level of the log."""
    from reliable_tasks import signals  # noqa: PLC0415 - `--help` needs none of it

    def tell(sig: str, how: str, **_: Any) -> None:
        if how == "Warm":
            grace = f"at most {options.shutdown_timeout:g} s"
            more = f"finishing what runs ({grace}); once more gives it back at once"
        else:
            more = "giving everything back at once"
        mention(f"worker: {sig}: {more}")

    signals.worker_shutting_down.connect(tell)
    try:
        yield
    finally:
        signals.worker_shutting_down.disconnect(tell)
    mention("worker: stopped; what was not finished is in the store")


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


def _starting(app: App, given: dict[str, Any]) -> StartingWorker:
    from reliable_tasks.worker.options import expand_hostname  # noqa: PLC0415 - as below

    starting = StartingWorker(app, expand_hostname(given["hostname"]))
    starting.begin(given)
    return starting


def _options(app: App, chosen: Chosen, given: dict[str, Any], hostname: str) -> WorkerOptions:
    """The options: what the line says, else the settings."""
    from reliable_tasks.worker import WorkerOptions  # noqa: PLC0415 - `--help` needs none of it

    settings = app.settings
    queues = served(app, given["queues"], given["exclude_queues"])
    if not queues:
        raise ConfigError("no queue is left to consume: name one with -Q")
    timeout = given["shutdown_timeout"]
    concurrency = given["concurrency"] or given["autoscale"] or settings.worker_concurrency
    beat = given["beat"] or chosen.beat
    return WorkerOptions(
        hostname=hostname,
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


def _behind_a_broker(app: App, options: WorkerOptions) -> WorkerOptions:
    """The options with the bridge as a companion, where a broker stands before the store.

    Raises:
        ConfigError: the bridge's libraries are not installed.
    """
    from reliable_tasks.config.brokers import is_broker  # noqa: PLC0415 - `--help` needs none

    if not is_broker(app.settings.broker_url):
        return options
    import msgspec  # noqa: PLC0415 - as above

    from reliable_tasks.core.doors import door  # noqa: PLC0415 - as above

    app.serve(options.queues)
    bridge = door().companion(app, options.queues)
    return msgspec.structs.replace(options, companions=(*options.companions, bridge))


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
