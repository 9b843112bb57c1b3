"""`schedules`: look at the schedule's entries and change them while beats run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from reliable_tasks.errors import AlreadyQueued

from ._context import Chosen, app_options
from ._output import echo_json, instant, table
from ._say import say

if TYPE_CHECKING:
    from datetime import datetime

    from reliable_tasks.app import App
    from reliable_tasks.beat.entries import ScheduleEntry

__all__ = ["command"]


@click.group("schedules")
@app_options
def command() -> None:
    """Look at schedule entries; run, pause, resume or remove them."""


def _open(chosen: Chosen) -> App:
    app = chosen.open_app()
    app.import_modules()
    return app


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _local(moment: datetime | None, zone: str) -> str | None:
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).isoformat(" ", "seconds")


def _call(entry: ScheduleEntry) -> str:
    if entry.args is None or entry.kwargs is None:
        return f"{entry.task}(…)"
    shown = [*map(repr, entry.args), *(f"{k}={v!r}" for k, v in entry.kwargs.items())]
    return f"{entry.task}({', '.join(shown)})"


def _as_dict(entry: ScheduleEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "state": entry.state,
        "origin": entry.origin,
        "schedule": entry.words,
        "timezone": entry.tz,
        "task": entry.task,
        "args": entry.args,
        "kwargs": entry.kwargs,
        "next": instant(_ms(entry.next_run)),
        "last": instant(_ms(entry.last_run)),
        "last_id": entry.last_id,
        "runs": entry.runs,
        "missed": entry.missed,
        "catch_up": entry.catch_up,
        "jitter": entry.jitter.total_seconds(),
        "start_at": instant(_ms(entry.start_at)),
        "end_at": instant(_ms(entry.end_at)),
    }


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each.")
@app_options
@click.pass_obj
def list_(chosen: Chosen, as_json: bool) -> None:
    """List the entries with their next and last slots, in each entry's time zone."""
    entries = _open(chosen).schedules.list()
    if as_json:
        for entry in entries:
            echo_json(_as_dict(entry))
        return
    if not entries:
        say("There is no entry; those of the code come when a beat starts.")
        return
    rows = [
        (
            entry.name,
            entry.words,
            _local(entry.next_run, entry.tz) if entry.state == "active" else None,
            _local(entry.last_run, entry.tz),
            entry.runs,
            entry.missed,
            entry.state,
        )
        for entry in entries
    ]
    table(("name", "schedule", "next", "last", "runs", "missed", "state"), rows)


@command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@app_options
@click.pass_obj
def show(chosen: Chosen, name: str, as_json: bool) -> None:
    """Show everything about the entry NAME, and what became of its last message."""
    app = _open(chosen)
    entry: ScheduleEntry = app.schedules.get(name)
    record = app.store.read([entry.last_id])[0] if entry.last_id else None
    if as_json:
        echo_json({**_as_dict(entry), "last_state": record.state if record else None})
        return
    became = record.state if record else "no record: a duplicate, or expired since"
    lines = {
        "schedule": f"{entry.words}, times in {entry.tz}",
        "call": _call(entry),
        "state": f"{entry.state}, made by {entry.origin}",
        "next": _local(entry.next_run, entry.tz),
        "last": _local(entry.last_run, entry.tz),
        "message": entry.last_id and f"{entry.last_id} ({became})",
        "fired": f"{entry.runs} slots; {entry.missed} passed over (catch_up {entry.catch_up})",
        "jitter": f"{entry.jitter.total_seconds():g} s" if entry.jitter else None,
        "from": _local(entry.start_at, entry.tz),
        "until": _local(entry.end_at, entry.tz),
    }
    say(entry.name)
    for label, text in lines.items():
        if text:
            say(f"  {label:<9} {text}")


@command.command("next")
@click.argument("name")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(1, 1000))
@app_options
@click.pass_obj
def next_(chosen: Chosen, name: str, count: int) -> None:
    """Print the next slots of the entry NAME, in its time zone."""
    schedules = _open(chosen).schedules
    zone = schedules.get(name).tz
    for slot in schedules.upcoming(name, count):
        say(str(_local(slot, zone)))


@command.command("run")
@click.argument("name")
@app_options
@click.pass_obj
def run(chosen: Chosen, name: str) -> None:
    """Enqueue the call of the entry NAME now, beside its slots, and print the message's ID."""
    try:
        result = _open(chosen).schedules.run_now(name)
    except AlreadyQueued as error:
        raise click.ClickException(str(error)) from error
    say(result.id)


@command.command("pause")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@app_options
@click.pass_obj
def pause(chosen: Chosen, names: tuple[str, ...]) -> None:
    """Let entries fire no more until they are resumed."""
    schedules = _open(chosen).schedules
    for name in names:
        schedules.pause(name)
        say(f"{name}: paused")


@command.command("resume")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@app_options
@click.pass_obj
def resume(chosen: Chosen, names: tuple[str, ...]) -> None:
    """Let paused entries fire again, from their next slot on."""
    schedules = _open(chosen).schedules
    for name in names:
        entry = schedules.resume(name)
        say(f"{name}: next {_local(entry.next_run, entry.tz) or 'never'}")


@command.command("remove")
@click.argument("name")
@app_options
@click.pass_obj
def remove(chosen: Chosen, name: str) -> None:
    """Delete the entry NAME, if it was added at run time."""
    _open(chosen).schedules.remove(name)
    say(f"{name}: removed")
