"""`dead`: look at dead letters, replay them, drop them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import State
from reliable_tasks.errors import UnknownResult
from reliable_tasks.store.values import MessageQuery, every_of

from ._context import Chosen, app_options
from ._output import call_of, echo_json, echo_some, instant, table
from ._progress import told
from ._say import ask, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reliable_tasks.store.protocol import OperatorStore, ReadStore
    from reliable_tasks.store.values import Record

__all__ = ["command"]

_PAGE = 500


@click.group("dead")
@app_options
def command() -> None:
    """Look at dead letters, replay them, drop them.

    A dead letter is a message that failed for good; it keeps its arguments.
    """


def _choosing(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command IDs, or `--all` narrowed by task and queue."""
    function = click.option("-Q", "--queue", help="With --all: of this queue.")(function)
    function = click.option("--task", help="With --all: of this task.")(function)
    function = click.option("--all", "every", is_flag=True, help="All dead letters.")(function)
    return click.argument("ids", metavar="[ID]...", nargs=-1)(function)


def _dead(
    store: ReadStore, task: str | None, queue: str | None, *, printed: bool = False
) -> Iterator[Record]:
    query = MessageQuery(dead=True, task=task, queue=queue, limit=_PAGE)
    return told(every_of(store.find, query), "dead letters", printed=printed)


def _chosen_ids(
    store: ReadStore, ids: tuple[str, ...], every: bool, task: str | None, queue: str | None
) -> list[str]:
    """The ids that were given, or those of all.

    Raises:
        click.UsageError: both were asked for, or neither.
    """
    if bool(ids) == every or (ids and (task or queue)):
        raise click.UsageError("give IDs, or --all (with --task or --queue to narrow it)")
    return list(ids) if ids else [record.id for record in _dead(store, task, queue)]


def _why(record: Record) -> str:
    if not record.failure:
        return record.reason
    failure = decode_failure(record.failure)
    return f"{failure.type}: {failure.message}"


def _as_dict(record: Record) -> dict[str, object]:
    return {
        "id": record.id,
        "task": record.task,
        "queue": record.queue,
        "ended": instant(record.ended_ms),
        "reason": record.reason,
        "attempt": record.attempt,
        "delivery": record.delivery,
        "error": _why(record),
    }


@command.command("list")
@click.option("--task", help="Only of this task.")
@click.option("-Q", "--queue", help="Only of this queue.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each.")
@app_options
@click.pass_obj
def list_(chosen: Chosen, task: str | None, queue: str | None, limit: int, as_json: bool) -> None:
    """List dead letters."""
    store = chosen.open_app().store
    found = _dead(store, task, queue, printed=True)
    echo_some(found, limit, _echo_json if as_json else _echo_table, "--limit shows more")


def _echo_json(records: Iterable[Record]) -> None:
    for record in records:
        echo_json(_as_dict(record))


def _echo_table(records: Iterable[Record]) -> None:
    head = ("id", "task", "queue", "ended", "reason", "attempt", "error")
    rows = (
        (r.id, r.task, r.queue, instant(r.ended_ms), r.reason, r.attempt, _why(r)[:100])
        for r in records
    )
    table(head, rows, "No dead letters.")


@command.command("show")
@click.argument("message_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@app_options
@click.pass_obj
def show(chosen: Chosen, message_id: str, as_json: bool) -> None:
    """Show one dead letter: its call, its error and the traceback."""
    app = chosen.open_app()
    record = app.store.read([message_id], full=True)[0]
    if record is None:
        raise UnknownResult(f"nothing is stored under {message_id} in {app.store.location}")
    if record.state != State.FAILED:
        raise UnknownResult(f"{message_id} is no dead letter: it is {record.state}")
    failure = decode_failure(record.failure) if record.failure else None
    trace = failure.traceback if failure else ""
    call = call_of(app, record)
    if as_json:
        echo_json({**_as_dict(record), "call": call, "traceback": trace})
        return
    say(f"id       {record.id}")
    say(f"call     {call}")
    say(f"queue    {record.queue}")
    say(f"ended    {instant(record.ended_ms)} on {record.worker or 'no worker'}")
    say(f"reason   {record.reason} (attempt {record.attempt}, delivery {record.delivery})")
    say(f"error    {_why(record)}")
    if trace:
        say(f"\n{trace.rstrip()}")


@command.command("replay")
@_choosing
@app_options
@click.pass_obj
def replay(
    chosen: Chosen, ids: tuple[str, ...], every: bool, task: str | None, queue: str | None
) -> None:
    """Queue dead letters again, as if new; what they had ended with them waits again."""
    store: OperatorStore = chosen.open_app().store
    wanted = _chosen_ids(store, ids, every, task, queue)
    failed = 0
    for start in range(0, len(wanted), _PAGE):
        for reply in store.replay(wanted[start : start + _PAGE]):
            held = f" by {reply.holder}'s once-lock" if reply.holder else ""
            if reply.done != "replayed" or ids:
                say(f"{reply.id}: {reply.done}{held}")
            failed += reply.done != "replayed"
    say(f"{len(wanted) - failed} of {len(wanted)} replayed")
    if failed:
        raise click.exceptions.Exit(1)


@command.command("drop")
@_choosing
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def drop(
    chosen: Chosen,
    ids: tuple[str, ...],
    every: bool,
    task: str | None,
    queue: str | None,
    force: bool,
) -> None:
    """Delete dead letters with their arguments, for good."""
    store: OperatorStore = chosen.open_app().store
    wanted = _chosen_ids(store, ids, every, task, queue)
    for message_id, record in zip(wanted, store.read(wanted), strict=True):
        if record is None or record.state != State.FAILED:
            what = "unknown" if record is None else record.state
            raise UnknownResult(f"{message_id} is no dead letter: it is {what}; nothing dropped")
    if wanted and not force:
        ask(f"Delete {len(wanted)} dead letters for good?")
    done = sum(store.drop(wanted[start : start + _PAGE]) for start in range(0, len(wanted), _PAGE))
    say(f"{done} dropped")
