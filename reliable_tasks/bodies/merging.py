"""The call of a retry: what the body gives anew, by name, over what the message had."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["merged_call"]

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_EITHER = inspect.Parameter.POSITIONAL_OR_KEYWORD


def merged_call(
    signature: inspect.Signature,
    had: tuple[tuple[Any, ...], dict[str, Any]],
    args: tuple[Any, ...] | None,
    kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of the next attempt.

    Where only one of `args` and `kwargs` is given, the other stays, but for the parameters that
    the new ones give another value.

    Args:
        signature: of the body.
        had: the arguments of this attempt.
        args: the new positional ones; None for the same.
        kwargs: the new keyword ones; None for the same.
    """
    if args is not None:
        return args, dict(kwargs) if kwargs is not None else _left(signature, args, had[1])
    if kwargs is None:
        return had
    return _given_by_name(signature, had[0], kwargs)


def _left(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The keyword arguments of parameters that the positional ones do not reach."""
    by_place = [p for p in signature.parameters.values() if p.kind in _BY_PLACE]
    reached = {p.name for p in by_place[: len(args)] if p.kind is _EITHER}
    return {name: value for name, value in kwargs.items() if name not in reached}


def _given_by_name(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional arguments, those of them replaced that are given by their names."""
    try:
        bound = signature.bind_partial(*args)
    except TypeError:
        return args, dict(kwargs)  # they do not fit: said where the arguments are checked
    rest = dict(kwargs)
    for name in kwargs:
        if name in bound.arguments and signature.parameters[name].kind is _EITHER:
            bound.arguments[name] = rest.pop(name)
    return bound.args, {**bound.kwargs, **rest}
