"""`audit`: the story of a message, or what happened lately."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from reliable_tasks.audit.history import message_history
from reliable_tasks.errors import UnknownResult
from reliable_tasks.store.values import AuditEvent, AuditQuery, every_of

from ._context import Chosen, app_options
from ._output import echo_json, echo_some, instant, since_ms, table
from ._progress import told
from ._say import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reliable_tasks.store.protocol import ReadStore
    from reliable_tasks.store.values import AuditCut, AuditRow, Record

__all__ = ["command", "print_story"]

_ROWS = 1000
_MORE = "--limit shows more, --since what is younger"
_EVENTS = {event.value.replace(" ", "-"): event.value for event in AuditEvent}


@click.command("audit")
@click.argument("message_id", metavar="[ID]", required=False)
@click.option("--event", metavar="NAME", help="Only rows of this event.")
@click.option("--since", metavar="WHEN", help="Only rows since: 1h, 2d, or a date and time.")
@click.option("--limit", type=click.IntRange(1), default=_ROWS, show_default=True, help="Rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each row.")
@app_options
@click.pass_obj
def command(
    chosen: Chosen,
    message_id: str | None,
    event: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Tell the whole story of the message ID; without one, list what happened, oldest first.

    The trail keeps by default retries, failures, deaths of workers, duplicates, revocations and
    dead letters; with the setting audit="all" it keeps everything.
    """
    app = chosen.open_app()
    store = app.store
    query = AuditQuery(
        id=message_id,
        event=_event(event),
        since_ms=since_ms(since, store.now_ms()),
    )
    if message_id and not (as_json or event or since):
        print_story(store, message_id, limit)
        return
    if message_id and not _known(store, message_id):
        raise _unknown(store, message_id)
    rows = told(_rows(store, query), "rows", printed=True)
    echo_some(rows, limit, _echo_json if as_json else _echo_table, _MORE)


def _echo_json(rows: Iterable[AuditRow]) -> None:
    for row in rows:
        echo_json(_as_dict(row))


def _echo_table(rows: Iterable[AuditRow]) -> None:
    table(
        ("time", "event", "id", "task", "attempt", "worker", "detail"),
        (
            (
                instant(row.at_ms),
                row.event,
                row.id,
                row.task,
                row.attempt or None,
                row.worker,
                ", ".join(f"{k}={v}" for k, v in _detail(row).items() if v is not None),
            )
            for row in rows
        ),
    )


def print_story(store: ReadStore, message_id: str, limit: int = _ROWS) -> None:
    """Print what happened to a message.

    Raises:
        UnknownResult: nothing is known of it.
    """
    record = store.read([message_id], full=True)[0]
    rows = list(islice(_rows(store, AuditQuery(id=message_id)), limit + 1))
    more, rows = len(rows) > limit, rows[:limit]
    if record is None and not rows:
        raise _unknown(store, message_id)
    lines = message_history(record, rows)
    began = lines[0].at_ms
    task = record.task if record else rows[0].task
    say(f"{task}[{message_id}] in {store.location}")
    if missing := _dropped(store.audit_cut(message_id), record, rows):
        say(missing)
    table(
        ("time", "after", "event", "what happened"),
        (
            (instant(line.at_ms), f"{(line.at_ms - began) / 1000:+.3f} s", line.event, line.text)
            for line in lines
        ),
    )
    if more:
        say(f"{limit} rows are told of, and there are more: {_MORE}", err=True)


def _dropped(cut: AuditCut, record: Record | None, rows: list[AuditRow]) -> str:
    """What the bounds of the trail have taken of a message's story, in words."""
    bounds = "audit_expires, max_audit_rows, max_audit_bytes"
    if cut.rows:
        were = "row was" if cut.rows == 1 else "rows were"
        return f"its story is not whole: {cut.rows} older {were} dropped from the trail ({bounds})"
    if record is not None and not rows and record.enqueued_ms <= cut.until_ms:
        return (
            f"older rows were dropped from the trail, up to {instant(cut.until_ms)}; "
            f"if it had any, they are gone ({bounds})"
        )
    return ""


def _known(store: ReadStore, message_id: str) -> bool:
    there = store.read([message_id])[0] is not None
    return there or bool(store.audit(AuditQuery(id=message_id, limit=1)))


def _unknown(store: ReadStore, message_id: str) -> UnknownResult:
    return UnknownResult(
        f"nothing is stored under {message_id}: it was never enqueued here, or is expired "
        f"(in {store.location})"
    )


def _event(name: str | None) -> str | None:
    if name is None:
        return None
    found = _EVENTS.get(name.lower().replace(" ", "-"))
    if found is None:
        from reliable_tasks.errors import suggest  # noqa: PLC0415 - only for a mistake

        raise click.BadParameter(
            f"there is no event {name!r}{suggest(name, _EVENTS)} (events: {', '.join(_EVENTS)})"
        )
    return found


def _rows(store: ReadStore, query: AuditQuery) -> Iterator[AuditRow]:
    return every_of(store.audit, query)


def _as_dict(row: AuditRow) -> dict[str, object]:
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    at_ms, last_ms = fields.pop("at_ms"), fields.pop("last_ms")
    last = None if last_ms is None else instant(last_ms)
    return {"time": instant(at_ms), **fields, "last": last, "detail": row.fields}


def _detail(row: AuditRow) -> dict[str, Any]:
    """What a row says, and how often it happened, if more than once."""
    if row.last_ms is None:
        return row.fields
    return {**row.fields, "count": row.count, "last": instant(row.last_ms)}
