"""`locks`: who holds a once-lock, why, and how to free it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reliable_tasks.core.message import decode_headers
from reliable_tasks.errors import UnknownResult, suggest
from reliable_tasks.store.values import every

from ._context import Chosen, app_options
from ._output import call_of, echo_json, instant, span, table
from ._progress import told
from ._say import ask, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.app import App
    from reliable_tasks.store.protocol import ReadStore
    from reliable_tasks.store.values import LockInfo, Record

__all__ = ["command"]

_PAGE = 1000
_COMPARED = 5000  # names, for one that is like a name that was not found


@click.group("locks")
@app_options
def command() -> None:
    """Say who holds a once-lock and why; free one by hand."""


def _as_dict(lock: LockInfo) -> dict[str, object]:
    return {
        "name": lock.name,
        "owner": lock.owner,
        "fence": lock.fence,
        "since": instant(lock.since_ms),
        "until": instant(lock.until_ms or None),
        "parked": lock.parked,
    }


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each.")
@app_options
@click.pass_obj
def list_(chosen: Chosen, as_json: bool) -> None:
    """List the locks that are held: once-locks, and those of the package `locks`."""
    store = chosen.open_app().store
    locks, now_ms = told(_all(store), "locks", printed=True), store.now_ms()
    if as_json:
        for lock in locks:
            echo_json(_as_dict(lock))
        return
    rows = (
        (
            lock.name,
            lock.owner,
            span(now_ms - lock.since_ms),
            instant(lock.until_ms) if lock.until_ms else "it ends",
            len(lock.parked),
        )
        for lock in locks
    )
    table(("name", "held by", "for", "until", "parked"), rows, "No lock is held.")


def _all(store: ReadStore) -> Iterator[LockInfo]:
    return every(lambda after: store.locks(users=True, after=after, limit=_PAGE))


def _held_by(store: ReadStore, record: Record | None) -> LockInfo | None:
    """The lock that a message holds, by its key; while it runs it may hold another one as well."""
    key = record.once_key if record else None
    locks = (*store.locks(key), *store.locks(f"{key}:run")) if key else ()
    return next((lock for lock in locks if record and lock.owner == record.id), None)


def _found(store: ReadStore, name: str) -> LockInfo | None:
    """The lock of this name, or the one that this owner holds."""
    locks = store.locks(name)
    return locks[0] if locks else _held_by(store, store.read([name])[0])


def _searched(store: ReadStore, name: str) -> tuple[LockInfo | None, str]:
    """The same, among all locks; or else the end of a sentence with a name that is like it."""
    near: list[str] = []
    for lock in told(_all(store), "locks"):
        if name in {lock.owner, lock.name}:
            return lock, ""
        if len(near) < _COMPARED:
            near.append(lock.name)
    return None, suggest(name, near)


@command.command("explain")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@app_options
@click.pass_obj
def explain(chosen: Chosen, name: str, as_json: bool) -> None:
    """Say why a key is blocked: by which message, in which state, since when, until when.

    NAME is the once-key, or the ID of the message that holds one.
    """
    app = chosen.open_app()
    store = app.store
    lock, near = _found(store, name), ""
    if lock is None:
        lock, near = _searched(store, name)
    if lock is None:
        say(_free(store, name, near))
        return
    record = store.read([lock.owner], full=True)[0]
    if as_json:
        state = record.state if record else None
        echo_json({**_as_dict(lock), "state": state, "task": record.task if record else None})
        return
    for line in _explanation(app, lock, record, store.now_ms()):
        say(line)


def _free(store: ReadStore, name: str, near: str) -> str:
    """That no lock was found, by whichever name it was asked for."""
    record = store.read([name])[0]
    if record is None:
        return f"{name} is free: nobody holds it{near}"
    held = store.locks(record.once_key) if record.once_key else ()
    by = f": its key {record.once_key} is held by {held[0].owner}" if held else ""
    return f"message {name} holds no lock{by}"


def _explanation(app: App, lock: LockInfo, record: Record | None, now_ms: int) -> list[str]:
    label = decode_headers(record.headers).once_label if record else None
    lines = [f"{lock.name}" + (f" ({label})" if label else "") + " is held"]
    lines.append(f"  by     {lock.owner}" + (f"  {call_of(app, record)}" if record else ""))
    lines.append(f"  since  {instant(lock.since_ms)} ({span(now_ms - lock.since_ms)} ago)")
    if lock.until_ms:
        left = span(max(0, lock.until_ms - now_ms))
        lines.append(f"  until  {instant(lock.until_ms)} at the latest (its timeout, in {left})")
    else:
        ends = "that message ends: in success, failure, or revoked"
        lines.append(f"  until  {ends if record else 'its holder releases it'}")
    lines.append(f"  state  {_state(record)}")
    if lock.parked:
        lines.append(f"  behind it wait {len(lock.parked)}: {', '.join(lock.parked[:10])}")
    lines.append(
        f"  to free it: reliable-tasks revoke {lock.owner}, or without ending the message "
        f"reliable-tasks locks release {lock.name}"
    )
    return lines


def _state(record: Record | None) -> str:
    if record is None:
        return "no message holds it: a lock of the package locks, or one whose message is gone"
    more = {
        "running": f" on {record.worker} since {instant(record.started_ms)}",
        "scheduled": f" for {instant(record.due_ms)}",
        "queued": f" on {record.queue!r}: is a worker consuming it?",
        "waiting": " for other messages",
    }
    return f"{record.state}{more.get(record.state, '')}, attempt {record.attempt}"


@command.command("release")
@click.argument("name")
@click.option("--owner", metavar="ID", help="Free it only if this message holds it.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def release(chosen: Chosen, name: str, owner: str | None, force: bool) -> None:
    """Free a once-lock by hand. Its message goes on, so two with the same key may run at once."""
    store = chosen.open_app().store
    lock = _found(store, name) or _searched(store, name)[0]
    if lock is None:
        raise UnknownResult(f"nobody holds {name} in {store.location}")
    if owner is not None and owner != lock.owner:
        raise click.ClickException(f"{lock.name} is held by {lock.owner}, not by {owner}")
    if not force:
        question = f"Free {lock.name}, held by message {lock.owner}, while that lives?"
        ask(question)
    # The owner is compared again where it is freed: it may have changed since it was shown.
    if not store.release_lock(lock.name, lock.owner):
        raise click.ClickException(f"{lock.name} is no longer held by {lock.owner}")
    say(f"{lock.name} is free")
