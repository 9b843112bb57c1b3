"""Turn a canvas into a plan: calls in sequence or in parallel, with their options resolved.

Pure. Canvases have many spellings; a plan has three, `Call`, `Seq` and `Par`, and both the compiler
and the eager evaluation start from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import ids
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks.builtins import MAP, STARMAP

from .fields import over

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .signatures import Signature

__all__ = ["MAX_DEPTH", "MAX_NODES", "Call", "Par", "Plan", "Seq", "plan_of"]

MAX_NODES = 1_000_000
"""How many calls a canvas may have."""
MAX_DEPTH = 100
"""How deep canvases may be nested in one another; how long a chain is does not matter."""
_TIMING = ("countdown", "eta")


@dataclass(slots=True)
class Call:
    """One call of a task, of which one message is made.

    Attributes:
        given_id: whether the user chose the id.
        links: signatures to run with the result.
        errbacks: signatures to run on failure.
    """

    id: str
    given_id: bool
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    immutable: bool = False
    links: tuple[Signature, ...] = ()
    errbacks: tuple[Signature, ...] = ()


@dataclass(slots=True)
class Par:
    """Plans side by side; `links` run when all have succeeded."""

    id: str
    parts: list[Plan]
    links: tuple[Signature, ...] = ()


@dataclass(slots=True)
class Seq:
    """Plans one after another: at least one, none of them a `Seq`."""

    parts: list[Call | Par]


Plan = Call | Par | Seq


@dataclass(frozen=True, slots=True)
class _Given:
    """What a canvas passes down to its parts."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    links: tuple[Signature, ...] = ()
    errbacks: tuple[Signature, ...] = ()
    task_id: str | None = None
    depth: int = 0


_NOTHING = _Given()


def plan_of(
    sig: Signature,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a signature or a canvas, called with these arguments and options.

    Raises:
        ConfigError: a chain is empty, a chord has no body, or it is too large or nested too deep.
    """
    if args or kwargs or options:
        return _Planner().plan(sig, _given(args, kwargs or {}, options or {}))
    if not sig["subtask_type"] and not sig["options"]:  # just a call, as most are
        call = sig["task"], sig["args"], sig["kwargs"]
        return Call(ids.new_id(), False, *call, {}, sig["immutable"])
    return _Planner().plan(sig, _NOTHING)


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> _Given:
    own = {name: value for name, value in options.items() if value is not None}
    return _Given(
        args=args,
        kwargs=kwargs,
        timing={name: own.pop(name) for name in _TIMING if name in own},
        links=tuple(own.pop("link", ())),
        errbacks=tuple(own.pop("link_error", ())),
        task_id=own.pop("task_id", None),
        common=own,
    )


def _over(sig: Signature, given: _Given) -> _Given:
    """What the signature itself says, under what it is given."""
    if not sig.options:
        return given
    own = _given(sig.args, {}, sig.options)
    timing = given.timing or own.timing  # a countdown replaces an eta, and the other way round
    stamped = own.common.get("stamped_headers", ())  # stamps stay, whatever the call says
    common = {name: value for name, value in given.common.items() if name not in stamped}
    return replace(
        given,
        timing=timing,
        common=over(own.common, common),
        links=own.links + given.links,
        errbacks=own.errbacks + given.errbacks,
        task_id=given.task_id or own.task_id,
    )


class _Planner:
    def __init__(self) -> None:
        self._count = 0

    def plan(self, sig: Signature, given: _Given) -> Plan:
        if given.depth > MAX_DEPTH:
            raise ConfigError(
                f"canvases are nested more than {MAX_DEPTH} deep; a long chain should be one "
                "chain, not chains in chains"
            )
        own = _over(sig, given)
        return getattr(self, f"_{sig.subtask_type or 'lone'}")(sig, own)  # type: ignore[no-any-return]

    def _lone(self, sig: Signature, given: _Given) -> Call:
        if sig.immutable:
            return self._call(sig.task, sig.args, sig.kwargs, given, immutable=True)
        args, kwargs = given.args + sig.args, {**sig.kwargs, **given.kwargs}
        return self._call(sig.task, args, kwargs, given)

    def _call(
        self,
        task: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        over: _Given,
        *,
        immutable: bool = False,
    ) -> Call:
        self._count += 1
        if self._count > MAX_NODES:
            raise ConfigError(
                f"the canvas has more than {MAX_NODES} calls; split it, or let each call do more "
                "(task.chunks(it, n) makes one message of n calls)"
            )
        return Call(
            id=over.task_id or ids.new_id(),
            given_id=over.task_id is not None,
            task=task,
            args=args,
            kwargs=kwargs,
            options={**over.common, **over.timing},
            immutable=immutable,
            links=over.links,
            errbacks=over.errbacks,
        )

    def _xmap(self, sig: Signature, over: _Given) -> Call:
        return self._call(MAP, (), dict(sig.kwargs), over, immutable=True)

    def _xstarmap(self, sig: Signature, over: _Given) -> Call:
        return self._call(STARMAP, (), dict(sig.kwargs), over, immutable=True)

    def _chunks(self, sig: Any, over: _Given) -> Par:
        return self._group(sig.group(), over)

    def _group(self, sig: Signature, over: _Given) -> Par:
        args, depth = over.args + sig.args, over.depth + 1
        inner = replace(over, args=args, links=(), task_id=None, depth=depth)
        parts = [self.plan(member, inner) for member in sig.kwargs["tasks"]]
        return Par(over.task_id or ids.new_id(), parts, over.links)

    def _chord(self, sig: Signature, over: _Given) -> Seq:
        header, body = sig.kwargs["header"], sig.kwargs["body"]
        if body is None:
            raise ConfigError(f"the chord of {header!r} has no body: chord(header, body)")
        timing, depth = {} if header.tasks else over.timing, over.depth + 1
        last = replace(over, args=(), kwargs={}, timing=timing, depth=depth)
        end = self.plan(body, last)
        watched = () if _has_calls(end) else over.errbacks
        args = over.args + sig.args
        first = replace(over, args=args, links=(), errbacks=watched, task_id=None, depth=depth)
        return _seq([self.plan(header, first), end])

    def _chain(self, sig: Signature, over: _Given) -> Plan:
        members = [member for member in _flat(sig) if not _is_empty(member)]
        while len(members) > 1 and _is_empty_group(members[-1]):
            members.pop()
        if not members:
            raise ConfigError("an empty chain has nothing to run and no result")
        parts = list[Plan]()
        for at, member in enumerate(members):
            first, last = at == 0, at == len(members) - 1
            inner = replace(
                over,
                args=over.args + sig.args if first else (),
                kwargs=over.kwargs if first else {},
                timing=over.timing if first else {},
                links=over.links if last else (),
                task_id=over.task_id if last else None,
                depth=over.depth + 1,
            )
            parts.append(self.plan(member, inner))
        return _seq(parts)


def _flat(sig: Signature) -> list[Signature]:
    """The parts of a chain, with those of inner chains that have no options of their own."""
    flat, todo = list[Any](), list(reversed(sig.kwargs["tasks"]))
    while todo:
        part = todo.pop()
        if part.subtask_type == "chain" and not part.options and not part.args:
            todo.extend(reversed(part.kwargs["tasks"]))
        else:
            flat.append(part)
    return flat


def _is_empty(sig: Signature) -> bool:
    return sig.subtask_type == "chain" and all(map(_is_empty, sig.kwargs["tasks"]))


def _is_empty_group(sig: Signature) -> bool:
    """Whether it is a group that nothing came of: at a chain's end it hides no result."""
    return sig.subtask_type == "group" and not sig.kwargs["tasks"] and not sig.options


def _has_calls(plan: Plan) -> bool:
    return isinstance(plan, Call) or any(map(_has_calls, plan.parts))


def _seq(parts: list[Plan]) -> Seq:
    """Plans one after another, those of inner sequences in their place."""
    flat = list[Any]()
    for part in parts:
        flat += part.parts if isinstance(part, Seq) else [part]
    return Seq(flat)
