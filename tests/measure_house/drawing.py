"""The rooms and their arrows as a drawing in Mermaid, made from the layer contracts.

    python -m tests.measure_house --draw

writes the drawings anew where they stand, in docs/explanation/internals.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.measure_house import arrows as a

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/explanation/internals.md"
_DRAWING = re.compile(r"<!-- drawing of (\S+) -->\n```mermaid\n.*?```\n", re.DOTALL)


def draw(root: Path, contract: a.Contract) -> str:
    """A contract's layers from top to bottom, with the imports at run time between their rooms.

    An arrow that follows from others is left out. One that runs upward is dotted.
    """
    pairs = a.arrows(a.graph_of(root), contract)
    down = {pair for pair in pairs if not contract.forbids(*pair)}
    there = {room for pair in pairs for room in pair}
    lines = ["flowchart TB"]
    for floor, (names, _) in enumerate(contract.layers):
        rooms = [name for name in names if contract.room(name) in there]
        if rooms:
            lines += [f'  subgraph layer{floor}[" "]', "    direction LR"]
            lines += [f"    {_node(name)}[{name}]" for name in rooms]
            lines += ["  end"]
    for above, below in pairs:
        if (above, below) not in down:
            lines.append(f"  {_node(above)} -.-> {_node(below)}")
        elif not _follows(above, below, down):
            lines.append(f"  {_node(above)} --> {_node(below)}")
    return "\n".join(lines) + "\n"


def _follows(above: str, below: str, down: set[tuple[str, str]]) -> bool:
    """Whether one room imports another by way of a third."""
    reached, new = set[str](), {b for a, b in down if a == above and b != below}
    while new:
        reached |= new
        new = {b for a, b in down if a in new} - reached
    return below in reached


def _node(room: str) -> str:
    return f"n_{room.rpartition('.')[2]}"  # words such as `end` mean something to Mermaid


def redrawn(root: Path, page: str) -> str:
    """A page with its drawings made anew; each is below a comment that names its container."""
    known = {contract.container: contract for contract in a.contracts(root)}

    def anew(found: re.Match[str]) -> str:
        container = found[1]
        return f"<!-- drawing of {container} -->\n```mermaid\n{draw(root, known[container])}```\n"

    return _DRAWING.sub(anew, page)
