"""`graph`: a workflow with the states of its messages."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from reliable_tasks.errors import UnknownResult
from reliable_tasks.store.values import MessageQuery, every_of

from ._context import Chosen, app_options
from ._say import say

if TYPE_CHECKING:
    from reliable_tasks.store.protocol import ReadStore
    from reliable_tasks.store.values import Record

__all__ = ["command", "workflow_of"]


def workflow_of(store: ReadStore, message_id: str, limit: int) -> list[Record]:
    """The records, in full, of at most `limit` messages of the workflow that a message is of.

    Raises:
        UnknownResult: nothing is stored under the id.
    """
    own = store.read([message_id], full=True)[0]
    if own is None:
        kinds = {"bootsteps": "workers have none", "workers": "`status` shows the workers"}
        other = f" ({kinds[message_id]})" if message_id in kinds else ""
        raise UnknownResult(f"nothing is stored under {message_id} in {store.location}{other}")
    root_id = own.root_id or message_id
    found = islice(every_of(store.find, MessageQuery(root_id=root_id, limit=limit)), limit)
    ids = list(dict.fromkeys([root_id, *(record.id for record in found)]))[:limit]
    records = {r.id: r for r in store.read(ids, full=True) if r is not None}
    return list((records or {message_id: own}).values())


@click.command("graph")
@click.argument("message_id", metavar="ID")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a Mermaid flowchart.")
@click.option("--dot", "form", flag_value="dot", help="Print a graph for Graphviz.")
@click.option(
    "--limit", default=200, show_default=True, type=click.IntRange(1, 10_000), help="How many."
)
@app_options
@click.pass_obj
def command(chosen: Chosen, message_id: str, form: str | None, limit: int) -> None:
    """Show the workflow of a message: what waits for what, and how each part stands.

    ID is that of any message of the workflow.
    """
    from reliable_tasks.canvas import (  # noqa: PLC0415 - only this command pays for it
        render_dot,
        render_mermaid,
        render_tree,
    )

    render = {"mermaid": render_mermaid, "dot": render_dot}.get(form or "", render_tree)
    records = workflow_of(chosen.open_app().store, message_id, limit)
    say(render(records))
    if len(records) == limit:
        say(f"Only {limit} messages are shown; --limit shows more.", err=True)
