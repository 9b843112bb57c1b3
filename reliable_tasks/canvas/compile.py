"""Compile a plan to a graph: nodes, edges, and what the result's handles are made of.

Pure. Each call becomes a node; an edge leads from it to each node that waits for it. The time taken
grows with the number of edges, so a chord of 100,000 costs no more per call than one of ten.

Where every one of n members would point at every one of m (a group after a group), a `collect` node
between them keeps it at n + m edges.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from reliable_tasks.core import ids
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.message import Edge, On
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks.builtins import COLLECT

from .plan import Call, Par, Plan, Seq, plan_of

if TYPE_CHECKING:
    from .signatures import Signature

__all__ = ["Graph", "Node", "Spec", "compile_plan"]

Shape = int | list[Any]


class Node:
    """A call and its place in the graph.

    Attributes:
        edges, waits, any_parent: see `Message`.
        parent_id: what starts it: the call before it, and of a group before it the last member.
            None for those that nothing in the canvas starts, and for an errback of several calls,
            which learns from its failure which of them it was.
        takes, shape: see `Headers`.
        part_of: `group_id`, `chord` and `chain` as `self.request` shows them.
    """

    __slots__ = ("any_parent", "call", "edges", "parent_id", "part_of", "shape", "takes", "waits")

    def __init__(self, call: Call, part_of: dict[str, str]) -> None:
        self.call = call
        self.part_of = part_of
        self.edges = list[Edge]()
        self.waits = 0
        self.takes = ""
        self.shape: list[Any] | None = None
        self.any_parent = False
        self.parent_id: str | None = None

    @property
    def id(self) -> str:
        """Id of its message."""
        return self.call.id


class Spec:
    """What a handle is made of: of a message, or of a group where `members` is a list."""

    __slots__ = ("children", "id", "members", "parent", "task")

    def __init__(self, id: str, task: str | None, members: list[Spec] | None = None) -> None:  # noqa: A002
        self.id = id
        self.task = task
        self.members = members
        self.parent: Spec | None = None
        self.children = list[Spec]()


class Graph(NamedTuple):
    """A compiled canvas.

    Attributes:
        nodes: in an order in which parents come before their children.
        specs: in an order in which parents and members come first.
        result: the spec of the canvas's own result.
    """

    nodes: list[Node]
    specs: list[Spec]
    result: Spec


class _Flow:
    """What flows into the next node: the results of `leaves`, nested as `shape` says.

    A number as shape is the lone result of a call. Without leaves the next one waits for `after`.
    """

    __slots__ = ("after", "leaves", "shape")

    def __init__(self, leaves: list[Node], shape: Shape, after: list[Node]) -> None:
        self.leaves = leaves
        self.shape = shape
        self.after = after

    @property
    def parents(self) -> list[Node]:
        return self.leaves or self.after


_START = _Flow([], 0, [])
_FAILING = _Flow([], 0, [])  # what starts is an errback: its parents are not known yet


def compile_plan(plan: Plan, mirror: str | None = None, chord: str | None = None) -> Graph:
    """The graph of a plan.

    Args:
        plan: what to run.
        mirror: id of a message whose place it takes: its result becomes that one's.
        chord: id of the body whose header that message is part of.

    Raises:
        ConfigError: two of its calls have the same id.
    """
    compiler = _Compiler()
    flow, result = compiler.place(plan, _START, {})
    if mirror is not None:
        if not isinstance(flow.shape, int):
            flow = compiler.collect(flow, {})
        flow.leaves[0].edges.append(Edge(mirror, On.MIRROR))
        if chord is not None:
            _mark_chord(flow.leaves, chord)
    compiler.finish()
    nodes = compiler.nodes
    times = Counter(node.id for node in nodes)
    if len(times) != len(nodes):
        twice = times.most_common(1)[0][0]
        raise ConfigError(
            f"two calls of the canvas have the id {twice!r}; use sig.clone() without a task_id"
        )
    return Graph(nodes, compiler.specs, result)


class _Compiler:
    def __init__(self) -> None:
        self.nodes = list[Node]()
        self.specs = list[Spec]()
        self._errbacks: dict[bytes | int, list[Node]] = {}
        self._aside: deque[tuple[Signature, _Flow, Spec]] = deque()
        self._entries = list[Node]()

    # Placing: a plan behind a flow gives a flow and the spec of its result -----------------------

    def place(self, plan: Plan, flow: _Flow, part_of: dict[str, str]) -> tuple[_Flow, Spec]:
        if isinstance(plan, Call):
            return self._place_call(plan, flow, part_of)
        if isinstance(plan, Par):
            return self._place_par(plan, flow, part_of)
        return self._place_seq(plan, flow, part_of)

    def _place_call(self, call: Call, flow: _Flow, part_of: dict[str, str]) -> tuple[_Flow, Spec]:
        node = Node(call, part_of)
        self.nodes.append(node)
        self._connect(flow, node)
        spec = self._spec(call.id, call.task)
        out = _Flow([node], 1, [])
        self._aside += [(link, out, spec) for link in call.links]
        for errback in call.errbacks:
            self._watch(node, errback)
        return out, spec

    def _place_seq(self, seq: Seq, flow: _Flow, part_of: dict[str, str]) -> tuple[_Flow, Spec]:
        inner = {**part_of, "chain": seq.parts[-1].id} if len(seq.parts) > 1 else part_of
        before: Spec | None = None
        for at, part in enumerate(seq.parts):
            following = seq.parts[at + 1] if at + 1 < len(seq.parts) else None
            flow, spec = self.place(part, flow, inner)
            if isinstance(part, Par) and isinstance(following, Call):
                _mark_chord(flow.leaves, following.id)
            if before is not None:
                spec.parent = before
                before.children.append(spec)
            before = spec
        assert before is not None  # noqa: S101 - a Seq has parts
        return flow, before

    def _place_par(self, par: Par, flow: _Flow, part_of: dict[str, str]) -> tuple[_Flow, Spec]:
        if len(flow.parents) > 1 and _entries(par) > 1:
            flow = self.collect(flow, part_of)
        inner = {**part_of, "group_id": par.id}
        leaves, shape, members = list[Node](), list[Any](), list[Spec]()
        for part in par.parts:
            out, spec = self.place(part, flow, inner)
            leaves += out.leaves
            _append_shape(shape, out.shape)
            members.append(spec)
        after = flow.parents if not leaves else []
        out = _FAILING if flow is _FAILING and not leaves else _Flow(leaves, shape, after)
        spec = self._spec(par.id, None, members)
        self._aside += [(link, out, spec) for link in par.links]
        return out, spec

    def _spec(self, own_id: str, task: str | None, members: list[Spec] | None = None) -> Spec:
        spec = Spec(own_id, task, members)
        self.specs.append(spec)
        return spec

    # Connecting ----------------------------------------------------------------------------------

    def _connect(self, flow: _Flow, node: Node) -> None:
        if flow is _START:
            return
        if flow is _FAILING:
            node.any_parent = True
            node.takes = "" if node.call.immutable else "errback"
            self._entries.append(node)
            return
        by_slot = bool(flow.leaves) and not node.call.immutable
        for slot, parent in enumerate(flow.parents):
            parent.edges.append(Edge(node.id, On.SUCCESS, slot if by_slot else -1))
        node.waits += len(flow.parents)
        node.parent_id = _starter(flow.parents[-1]) if flow.parents else None
        if node.call.immutable:
            return
        if isinstance(flow.shape, int):
            node.takes = "one"
        else:
            node.takes = "list"
            node.shape = None if flow.shape == [len(flow.leaves)] else flow.shape

    def collect(self, flow: _Flow, part_of: dict[str, str]) -> _Flow:
        """Add a node that waits for a whole flow and passes it on as one value."""
        call = Call(ids.new_id(), False, COLLECT, (), {}, {})
        out, _ = self._place_call(call, flow, part_of)
        return out

    def finish(self) -> None:
        """Place the callbacks, and theirs, until none is left."""
        while self._aside:
            link, flow, spec = self._aside.popleft()
            _, child = self.place(plan_of(link), flow, {})
            spec.children.append(child)

    def _watch(self, node: Node, errback: Signature) -> None:
        """Let an errback start when `node` fails: one for all nodes that name an equal one."""
        entries = self._errbacks.get(id(errback)) or self._errback(errback)
        for entry in entries:
            slot = -1 if entry.call.immutable else 0
            entry.parent_id = None if entry.waits else node.id
            node.edges.append(Edge(entry.id, On.FAILURE, slot))
            entry.waits += 1

    def _errback(self, errback: Signature) -> list[Node]:
        key = dumps(errback)
        if key not in self._errbacks:
            outer, self._entries = self._entries, []
            self.place(plan_of(errback), _FAILING, {})
            self._errbacks[key], self._entries = self._entries, outer
        self._errbacks[id(errback)] = self._errbacks[key]
        return self._errbacks[key]


def _entries(plan: Plan) -> int:
    """How many nodes of a plan wait for what comes before it: 0, 1, or 2 for more."""
    if isinstance(plan, Call):
        return 1
    if isinstance(plan, Seq):
        return next((n for part in plan.parts if (n := _entries(part))), 0)
    count = 0
    for part in plan.parts:
        count += _entries(part)
        if count > 1:
            return 2
    return count


def _starter(node: Node) -> str | None:
    """What a node counts as started by: users do not see the nodes that collect results."""
    return node.parent_id if node.call.task == COLLECT else node.id


def _mark_chord(leaves: list[Node], body_id: str) -> None:
    """Only what feeds the body itself is part of the chord, so that it may add to it."""
    for leaf in leaves:
        leaf.part_of = {**leaf.part_of, "chord": body_id}


def _append_shape(shape: list[Any], part: Shape) -> None:
    if not isinstance(part, int):
        shape.append(part)
    elif shape and isinstance(shape[-1], int):
        shape[-1] += 1
    else:
        shape.append(1)
