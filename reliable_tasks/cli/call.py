"""`call`: enqueue a call of a task."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from reliable_tasks.errors import AlreadyQueued

from ._context import Chosen, app_options
from ._output import echo_json, seconds_of
from ._say import say
from .result import shown_value

__all__ = ["command"]


def _json_of(kind: type[list[Any] | dict[str, Any]], example: str) -> Any:
    def parse(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
        if value is None:
            return kind()
        try:
            found = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise click.BadParameter(f"{value!r} is not JSON: {error}; write {example}") from None
        if not isinstance(found, kind):
            raise click.BadParameter(
                f"{value!r} is not a JSON {_NAMES[kind.__name__]}; write {example}"
            )
        return found

    return parse


_NAMES = {"list": "array", "dict": "object"}


def _seconds(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    return None if value is None else seconds_of(value)


def _expiry(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> float | str | None:
    """A span; or an instant in ISO 8601, which `apply_async` reads."""
    try:
        return _seconds(ctx, parameter, value)
    except click.BadParameter:
        return value


@click.command("call")
@click.argument("task")
@click.option("-a", "--args", callback=_json_of(list, "'[1, 2]'"), help="A JSON array.")
@click.option("-k", "--kwargs", callback=_json_of(dict, """'{"x": 1}'"""), help="A JSON object.")
@click.option("--countdown", callback=_seconds, metavar="SPAN", help="Run it so much later.")
@click.option("--eta", metavar="TIME", help="Run it then (ISO 8601).")
@click.option("--expires", callback=_expiry, metavar="SPAN|TIME", help="Not later than that.")
@click.option("-Q", "--queue", help="On this queue.")
@click.option("--priority", type=int, help="0 (first) to 9.")
@click.option("--serializer", metavar="NAME", help="Encode the arguments so: json, msgpack.")
@click.option("--routing-key", hidden=True)
@click.option("--exchange", hidden=True)
@click.option("--task-id", help="With an ID of your own.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@click.option("--timeout", callback=_seconds, metavar="SPAN", help="With --wait: for so long.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    /,
    task: str,
    args: list[Any],
    kwargs: dict[str, Any],
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Enqueue a call of TASK and print its ID.

    With -A the task must be one of the app's, and its arguments are checked; without, the name is
    sent as it is. Spans are 30s, 15m, 2h; a number alone means seconds.
    """
    app = chosen.open_app()
    app.import_modules()
    options = {name: value for name, value in options.items() if value is not None}
    try:
        if chosen.names_app:
            result = app.tasks[task].apply_async(args, kwargs, **options)
        else:
            result = app.send_task(task, args, kwargs, **options)
    except TypeError as error:
        raise click.UsageError(str(error)) from error
    except AlreadyQueued as error:
        raise click.ClickException(str(error)) from error
    if not wait:
        if as_json:
            echo_json({"id": result.id, "duplicate": result.duplicate})
        else:
            say(result.id)
        return
    result.get(timeout=timeout, propagate=False)
    state, value = result.state, shown_value(result)
    if as_json:
        echo_json({"id": result.id, "state": state, "result": value})
    elif state == "SUCCESS":
        say(value if isinstance(value, str) else repr(value))
    else:
        say(f"{state}  {value}", err=True)
    if state != "SUCCESS":
        raise click.exceptions.Exit(1)
