"""Propagate an ending along the edges of a workflow, in bounded steps.

A transaction follows at most `FOLLOWED_AT_ONCE` edges and stores the rest in parts. The verb goes
on with those in further transactions; if its process dies, `reap` does.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from reliable_tasks.core.message import Edge
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite.rows import Row, edges_of
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.sqlite.unit_of_work import UnitOfWork

__all__ = ["Ended", "Endings", "ended"]

FOLLOWED_AT_ONCE: int = 500
BYTES_LIKE_ONE: Final = 10_000
"""So many bytes that an edge hands on count as one edge more."""

ENDING_PUT: Final = load("endings/put")
ENDING_READ: Final = load("endings/read")
ENDING_DELETE: Final = load("endings/delete")
ENDING_TAKE_BACK: Final = load("endings/take_back")
PART_PUT: Final = load("ending_parts/put")
PART_FIRST: Final = load("ending_parts/first")
PART_DELETE: Final = load("ending_parts/delete")
PARTS_LEFT: Final = load("ending_parts/left")

_encode = msgspec.json.Encoder().encode
_decode_edges = msgspec.json.Decoder(list[Edge]).decode


class Ended(msgspec.Struct, gc=False):
    """How a message ended, as its children need to know.

    Attributes:
        n: number of its record.
        value: its result.
        keep: whether its mirrors store the result.
    """

    n: int
    id: str
    state: int
    reason: str
    failure: bytes | None
    value: bytes = b""
    keep: bool = False

    @property
    def cost(self) -> int:
        """What one edge counts for."""
        return 1 + (len(self.value) + len(self.failure or b"")) // BYTES_LIKE_ONE


def ended(r: Row, value: bytes, *, keep: bool) -> Ended:
    """How a record that has just ended did so, for its children."""
    return Ended(r.n, r.id, r.state, r.reason, r.failure, value, keep)


class Endings(UnitOfWork):
    """One transaction, and the edges of what has ended in it.

    Attributes:
        leaves_some: whether edges were left for a further transaction.
    """

    def __init__(self, connection: apsw.Connection, now: int, options: v.StoreOptions) -> None:
        super().__init__(connection, now, options)
        self._endings: deque[tuple[Ended, deque[Edge]]] = deque()
        self._followed = 0
        self.leaves_some = False

    def _follow(self, parent: Ended, edge: Edge) -> None:
        """Apply an ending to the child at the head of an edge."""
        raise NotImplementedError

    def _push(self, r: Row, value: bytes, *, keep: bool) -> None:
        edges = deque(edges_of(r))
        if edges:
            few = max(0, FOLLOWED_AT_ONCE - self._followed)
            self.prefetch(edges[at].child for at in range(min(few, len(edges))))
            self._endings.append((ended(r, value, keep=keep), edges))

    def _drain(self) -> None:
        while self._endings and self._followed < FOLLOWED_AT_ONCE:
            parent, edges = self._endings[0]
            if edges:
                self._followed += parent.cost
                self._follow(parent, edges.popleft())
            else:
                self._endings.popleft()

    def finish(self) -> None:
        """Write everything that is left, before the transaction is committed."""
        for parent, edges in self._endings:
            if edges:
                self._leave(parent, list(edges))
        self._endings.clear()
        super().finish()

    def _leave(self, parent: Ended, edges: Sequence[Edge]) -> None:
        (number,) = self.one(ENDING_PUT, msgspec.structs.astuple(parent))
        for some in steps.in_steps(edges, -(-FOLLOWED_AT_ONCE // parent.cost)):
            part = _encode(some).decode()
            self.execute(PART_PUT, (number, part))
        self.leaves_some = True

    def take_back_ending(self, r: Row) -> None:
        """Drop the edges that are left: the message is to run again."""
        self.execute(ENDING_TAKE_BACK, (r.n,))

    def go_on(self) -> bool:
        """Follow edges that were left; return whether there are more."""
        while self._followed < FOLLOWED_AT_ONCE:
            part = self.first(PART_FIRST)
            if part is None:
                break
            place, number, packed = part
            self.execute(PART_DELETE, (place,))
            found = self.first(ENDING_READ, (number,))
            if found is not None:  # else its parent is to run again
                self._follow_part(Ended(*found), packed)
            if self.first(PARTS_LEFT, (number,)) is None:
                self.execute(ENDING_DELETE, (number,))
        self._drain()
        return bool(self._endings) or self.first(PART_FIRST) is not None

    def _follow_part(self, parent: Ended, packed: str) -> None:
        edges = _decode_edges(packed)
        self.prefetch(edge.child for edge in edges)
        self._followed += len(edges) * parent.cost
        for edge in edges:
            self._follow(parent, edge)
