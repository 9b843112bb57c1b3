"""Stamps: headers that a visitor, or the caller, puts on every call of a canvas.

A stamp is an option of a signature under its own name, and `stamped_headers` says which of the
options are stamps. They travel in the headers of the message, to `request.stamps`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.call_options import CALL_OPTIONS
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["StampingVisitor", "stamp", "stamp_links"]

_LISTED = "stamped_headers"
Stamps = dict[str, Any]
"""Stamps by their names, and under `stamped_headers` the list of these."""


class StampingVisitor(ABC):
    """Says how a canvas is stamped: `on_signature` at least; the others return `{}` by default.

    Each method gets the stamps from further out as keyword arguments, and returns stamps to add.
    With a key `stamped_headers` only those it lists are stamps; without it all are.
    """

    @abstractmethod
    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        """Stamps for one call."""

    def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any]:  # noqa: ARG002
        """Stamps for all members of a group."""
        return {}

    def on_group_end(self, group: Any, **headers: Any) -> None:  # noqa: B027 - may be left out
        """Called when all members of a group are stamped."""

    def on_chain_start(self, chain: Any, **headers: Any) -> dict[str, Any]:  # noqa: ARG002
        """Stamps for all parts of a chain."""
        return {}

    def on_chain_end(self, chain: Any, **headers: Any) -> None:  # noqa: B027 - may be left out
        """Called when all parts of a chain are stamped."""

    def on_chord_header_start(self, sig: Any, **header: Any) -> dict[str, Any]:
        """Stamps for the header of a chord, and its body; those of a group by default."""
        return self.on_group_start(sig.header, **header)

    def on_chord_header_end(self, sig: Any, **header: Any) -> None:
        """Called when the header of a chord is stamped."""
        self.on_group_end(sig.header, **header)

    def on_chord_body(self, sig: Any, **header: Any) -> dict[str, Any]:  # noqa: ARG002
        """Stamps for the body of a chord."""
        return {}

    def on_callback(self, callback: Any, **header: Any) -> dict[str, Any]:  # noqa: ARG002
        """Stamps for a callback."""
        return {}

    def on_errback(self, errback: Any, **header: Any) -> dict[str, Any]:  # noqa: ARG002
        """Stamps for an errback."""
        return {}


def stamp(sig: Any, visitor: Any, append: bool, headers: Mapping[str, Any]) -> None:
    """Stamp a signature or a canvas, with all its parts and callbacks.

    Args:
        sig: what to stamp.
        visitor: a `StampingVisitor`; None puts `headers` on each call.
        append: put a stamp that is there already into one list with the new one; otherwise the new
            one takes its place.
        headers: stamps from further out.
    """
    if visitor is not None and not isinstance(visitor, StampingVisitor):
        raise ConfigError(
            f"{visitor!r} is no StampingVisitor: subclass it and define on_signature, or give "
            "stamps by name: stamp(monitoring_id=…)"
        )
    _STAMPERS.get(sig.subtask_type, _stamp_call)(sig, visitor, append, _stamps(headers))


def stamp_links(sig: Any, visitor: Any, append: bool, headers: Mapping[str, Any]) -> None:
    """Stamp the callbacks and errbacks of a signature, as `stamp` does."""
    for option, hook in (("link", "on_callback"), ("link_error", "on_errback")):
        if not sig.options.get(option):
            continue
        sig.options.update(sig.cleaned({option: sig.options[option]}))  # they may be plain dicts
        for link in sig.options[option]:
            asked = _asked(visitor, hook, link, _stamps(headers))
            stamp(link, visitor, append, _merged(_stamps(headers), asked, append))


def _stamp_call(sig: Any, visitor: Any, append: bool, headers: Stamps) -> None:
    stamp_links(sig, visitor, append, headers)
    asked = _asked(visitor, "on_signature", sig, headers)
    own = {name: sig.options[name] for name in sig.options.get(_LISTED, ()) if name in sig.options}
    merged = _merged(_merged(_stamps(own), headers, append), asked, append)
    meant = {*merged[_LISTED], *CALL_OPTIONS}
    sig.set(**{name: value for name, value in merged.items() if name in meant})


def _stamp_parts(sig: Any, visitor: Any, append: bool, headers: Stamps, hook: str) -> Stamps:
    """Stamp what a chain, a group or a header consists of; returns the stamps for each part."""
    headers = _merged(headers, _asked(visitor, f"{hook}_start", sig, headers), append)
    stamp_links(sig, visitor, append, headers)
    for part in sig.tasks:
        stamp(part, visitor, append, headers)
    _asked(visitor, f"{hook}_end", sig, headers)
    return headers


def _stamp_chord(sig: Any, visitor: Any, append: bool, headers: Stamps) -> None:
    headers = _stamp_parts(sig, visitor, append, headers, "on_chord_header")
    if sig.body is not None:
        headers = _merged(headers, _asked(visitor, "on_chord_body", sig, headers), append)
        stamp(sig.body, visitor, append, headers)


_STAMPERS: dict[str | None, Callable[[Any, Any, bool, Stamps], object]] = {
    "chain": partial(_stamp_parts, hook="on_chain"),
    "group": partial(_stamp_parts, hook="on_group"),
    "chord": _stamp_chord,
}


def _stamps(headers: Mapping[str, Any]) -> Stamps:
    """A copy, with the list of those that are stamps: all, unless it says so itself."""
    listed = headers.get(_LISTED)
    names = [name for name in headers if name != _LISTED] if listed is None else list(listed)
    return {**headers, _LISTED: names}


def _asked(visitor: Any, hook: str, sig: Any, headers: Stamps) -> Stamps:
    """What a visitor adds, on being shown what there is."""
    if visitor is None:
        return _stamps({})
    added = getattr(visitor, hook)(sig, **headers)
    if added is not None and not isinstance(added, dict):
        raise ConfigError(f"{type(visitor).__name__}.{hook} must return a dict, not {added!r}")
    return _stamps(added or {})


def _merged(first: Stamps, then: Stamps, append: bool) -> Stamps:
    both = [name for name in then if name in first and name != _LISTED] if append else []
    joined = {name: [*_listed(first[name]), *_listed(then[name])] for name in both}
    listed = list(dict.fromkeys((*first[_LISTED], *then[_LISTED])))
    return {**first, **then, **joined, _LISTED: listed}


def _listed(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list | tuple | set | frozenset) else [value]
