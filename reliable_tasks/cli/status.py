"""`status`: queues, messages and workers at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reliable_tasks.core.message import State

from ._accepted import not_needed
from ._context import Chosen, app_options
from ._output import echo_json, instant, span, table
from ._queues import names_of
from ._say import say

if TYPE_CHECKING:
    from reliable_tasks.store.values import Counts, SessionInfo

__all__ = ["command"]

_LIVE = (State.QUEUED, State.SCHEDULED, State.WAITING, State.RUNNING)
_SHORT_ID = 8


@click.command("status")
@click.option(
    *("-d", "--destination"), multiple=True, metavar="NAMES", help="Only these workers, if alive."
)
@click.option("-j", "--json", "as_json", is_flag=True, help="Print one JSON object for each row.")
@not_needed({("-t", "--timeout"): "the store is asked, not the workers"})
@app_options
@click.pass_obj
def command(chosen: Chosen, destination: tuple[str, ...], as_json: bool) -> None:
    """Show queues, messages by state, and workers with the age of their leases.

    With -d it exits with 1 when one of these workers is not alive, as a health check wants it.
    """
    app = chosen.open_app()
    store = app.store
    counts, sessions, now_ms = store.counts(), store.sessions(), store.now_ms()
    for text in store.health().warnings:
        say(f"WARNING: {text}", err=True)
    wanted = names_of(destination)
    if wanted:
        sessions = tuple(s for s in sessions if s.worker in wanted and s.lease_until_ms > now_ms)
    if as_json:
        _print_json(counts, sessions, now_ms)
    else:
        _print(store.location, counts, sessions, now_ms)
    missing = [name for name in wanted if name not in {s.worker for s in sessions}]
    if missing:
        raise click.ClickException(f"no worker of this name is alive: {', '.join(missing)}")


def _print(location: str, counts: Counts, sessions: tuple[SessionInfo, ...], now_ms: int) -> None:
    say(f"store: {location}\n")
    rows = [(name, *(at.get(s, 0) for s in _LIVE)) for name, at in sorted(counts.queues.items())]
    if rows:
        table(("queue", *_LIVE), rows)
    else:
        say("Nothing waits or runs.")
    final = ", ".join(
        f"{counts.states.get(state, 0)} {state}"
        for state in (State.SUCCEEDED, State.FAILED, State.REVOKED)
    )
    say(f"\nended and kept: {final}; dead letters: {counts.dead}\n")
    if sessions:
        head = ("worker", "session", "pid", "holds", "queues", "up", "lease")
        table(head, [_session_row(session, now_ms) for session in sessions])
    else:
        say("No worker is running.")


def _session_row(session: SessionInfo, now_ms: int) -> tuple[object, ...]:
    left = session.lease_until_ms - now_ms
    lease = f"{span(left)} left" if left > 0 else f"lapsed {span(-left)} ago"
    up = span(max(0, now_ms - session.started_ms))
    # The children of a worker share its name: the start of its session's id tells one from another.
    name = (session.worker, session.id[:_SHORT_ID])
    return (*name, session.pid, session.claims, ",".join(session.queues), up, lease)


def _print_json(counts: Counts, sessions: tuple[SessionInfo, ...], now_ms: int) -> None:
    for name, states in sorted(counts.queues.items()):
        echo_json({"kind": "queue", "name": name, **{s: states.get(s, 0) for s in _LIVE}})
    echo_json({"kind": "messages", "dead": counts.dead, **counts.states})
    for session in sessions:
        echo_json(
            {
                "kind": "session",
                "id": session.id,
                "worker": session.worker,
                "pid": session.pid,
                "queues": session.queues,
                "holds": session.claims,
                "started": instant(session.started_ms),
                "lease_until": instant(session.lease_until_ms),
                "alive": session.lease_until_ms > now_ms,
            }
        )
