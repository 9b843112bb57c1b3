"""`result`: what became of a message."""

from __future__ import annotations

import traceback as tracebacks
from typing import TYPE_CHECKING, Any

import click

from reliable_tasks.errors import CodecError, UnknownResult

from ._accepted import not_needed
from ._context import Chosen, app_options
from ._output import echo_json, instant
from ._say import say

if TYPE_CHECKING:
    from reliable_tasks.results.result import AsyncResult

__all__ = ["command", "shown_value"]


def shown_value(result: AsyncResult[Any]) -> Any:
    """What the body returned, or in words what ended it."""
    try:
        value = result.result
    except CodecError as error:
        return f"(cannot be decoded here: {error})"
    if isinstance(value, BaseException):
        told = tracebacks.TracebackException(type(value), value, None)
        told.__notes__ = None  # the traceback that `--traceback` shows is one
        return list(told.format_exception_only())[-1].strip()
    return value


@click.command("result")
@click.argument("message_id", metavar="ID")
@click.option("--traceback", is_flag=True, help="Show the traceback of a failure.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@not_needed({("-t", "--task"): "an ID is enough"})
@app_options
@click.pass_obj
def command(chosen: Chosen, message_id: str, traceback: bool, as_json: bool) -> None:
    """Show what became of a message: its state, and its result or error.

    Exits with 1 when nothing is stored under the ID, or the message has failed.
    """
    app = chosen.open_app()
    result = app.AsyncResult(message_id)
    record = app.store.read([message_id])[0]
    if record is None:
        raise UnknownResult(
            f"nothing is stored under {message_id}: it was never enqueued here, or is expired "
            f"(results are kept as result_expires says) in {app.store.location}"
        )
    state, value = result.state, shown_value(result)
    if as_json:
        fields = {"id": message_id, "task": record.task, "state": state, "result": value}
        fields |= {"attempt": record.attempt, "worker": record.worker, "reason": record.reason}
        fields |= {"enqueued": instant(record.enqueued_ms), "ended": instant(record.ended_ms)}
        echo_json(fields | ({"traceback": result.traceback} if traceback else {}))
    else:
        say(f"{state}  {record.task}[{message_id}]")
        if traceback and result.traceback:
            say(result.traceback.rstrip())
        elif value is not None:
            say(value if isinstance(value, str) else repr(value))
    if state == "FAILURE":
        raise click.exceptions.Exit(1)
