"""`demo`: the promises on real files, with failures, a kill, and the accounts afterwards."""

from __future__ import annotations

import shutil
import signal
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reliable_tasks.core import clock, ids

from ._context import Chosen, app_options
from ._output import table
from ._say import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from reliable_tasks.app import App

    from ._demo_run import Accounts, Asked, Ran

__all__ = ["command"]

_KEPT_S = 3600  # on a server of the user's own, all of it expires after this
_BAR = 24


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Whose files to read; Python's standard library by default.",
)
@click.option(
    "--limit", type=click.IntRange(10, 100_000), default=1500, show_default=True, help="Files."
)
@click.option("--keep", is_flag=True, help="Keep the store and the worker's log, and say where.")
@app_options
@click.pass_obj
def command(chosen: Chosen, folder: Path | None, limit: int, keep: bool) -> None:
    """See the promises kept: checksums of real files, by a worker that gets killed.

    Each file is one message of a once-task, enqueued three times. Some attempts fail and are
    retried. A worker with two processes runs them, and one of the two is killed with SIGKILL in the
    middle of a file. In the end each file must have been committed once, with the right checksum.

    It works in a temporary SQLite store, or with -b in a namespace of its own on your server.
    Exits with 1 when anything does not hold.
    """
    folder = folder or Path(sysconfig.get_path("stdlib"))
    with _terminated_as_interrupted(), _work_folder(keep=keep) as work:
        broker = chosen.broker or f"sqlite:///{work / 'demo.db'}"
        app = _app(broker)
        try:
            holds = _demonstrate(app, broker, folder, limit, work)
        finally:
            app.close()
    if not holds:
        raise click.exceptions.Exit(1)


def _app(broker: str) -> App:
    from ._demo_tasks import app  # noqa: PLC0415 - `--help` needs none of it

    app.conf.update(
        broker_url=broker,
        store_namespace=f"demo-{ids.new_id()[:8]}",
        audit="all",
        audit_expires=_KEPT_S,
        result_expires=_KEPT_S,
        dead_letter_expires=_KEPT_S,
    )
    return app


def _demonstrate(app: App, broker: str, folder: Path, limit: int, work: Path) -> bool:
    from . import _demo_run as demo  # noqa: PLC0415 - `--help` needs none of it

    plan = demo.make_plan(folder, limit)
    total = len(plan.stumbles)
    say(f"folder  {folder} ({total} files)\nstore   {app.store.location}")
    began = clock.monotonic()
    asked = demo.enqueue(app, plan)
    took = clock.monotonic() - began
    say(f"queued  {asked.calls} calls in {took:.1f} s ({asked.duplicates} duplicates)\n")
    with demo.Worker(broker, app.settings.store_namespace, work) as worker:
        ran = demo.run(worker, app.store, total, _progress(total))
        accounts = demo.Accounts.read(app.store, list(asked.ids.values()))
        problems = demo.check(app, plan, asked, ran, accounts)
        _report(app, asked, ran, accounts)
        for problem in problems[:20]:
            say(f"does not hold: {problem}", err=True)
        if problems:
            say(f"the worker's log ends so:\n{worker.log_tail()}", err=True)
    if not problems:
        say(f"\nAll holds: {total} files, each committed once, each checksum right.")
    return not problems


def _progress(total: int) -> Callable[[int, int], None]:
    """Shows how far it is: one line that changes on a terminal, else a line now and then."""
    terminal = sys.stdout.isatty()
    shown = -1

    def show(done: int, waiting: int) -> None:
        nonlocal shown
        step = done * (100 if terminal else 4) // total
        if step == shown and not (terminal and done == total):
            return
        shown = step
        text = f"{done:>{len(str(total))}}/{total} committed, {waiting} wait for a retry"
        if terminal:
            bar = "#" * (done * _BAR // total)
            click.echo(f"\r[{bar:<{_BAR}}] {text:<50}", nl=done >= total)
        else:
            say(text)

    return show


def _report(app: App, asked: Asked, ran: Ran, accounts: Accounts) -> None:
    from reliable_tasks.store.values import AuditEvent  # noqa: PLC0415 - `--help` needs none of it

    from .audit import print_story  # noqa: PLC0415

    committed = accounts.total(AuditEvent.SUCCEEDED)
    rate = f"{committed / accounts.seconds:.0f} a second" if accounts.seconds else None
    say()
    table(
        ("what", "how many"),
        (
            ("calls enqueued", asked.calls),
            ("duplicates suppressed", asked.duplicates),
            ("retries", accounts.total(AuditEvent.RETRY)),
            ("processes killed (kill -9)", ran.kills),
            ("deaths survived by messages", accounts.total(AuditEvent.REAPED)),
            ("messages committed", committed),
            ("rate", rate),
        ),
    )
    retried = next(m for m in asked.ids.values() if m in accounts.rows[AuditEvent.RETRY])
    say("\nThe story of a message that was retried:")
    print_story(app.store, retried)
    if ran.murdered:
        say("\nThe story of the message whose process was killed:")
        print_story(app.store, ran.murdered)


@contextmanager
def _work_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="reliable-tasks-demo-"))
    try:
        yield folder
    finally:
        if keep:
            say(f"\nkept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let TERM clean up as Ctrl-C does: no worker may be left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
