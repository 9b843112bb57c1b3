"""Once-keys: equal exactly where the typed arguments are, however they came to be there."""

import datetime as dt
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.core.codec import dumps_call, loads_call
from reliable_tasks.core.once import once_key

numbers = st.integers(-2, 2) | st.sampled_from([2**64, 2**70, -(2**70)])
floats = st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e300, float("inf"), float("nan")])
texts = st.sampled_from(["", "1", "a", "b", "null", "__rt__", "tuple", "\udcff"])
atoms = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    floats,
    texts,
    st.binary(max_size=1),
    st.decimals(-1, 1, places=1),
    st.uuids(),
    st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 3)),
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, 0, 0, 1)),  # noqa: DTZ001
)
hashables = st.recursive(
    atoms, lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=2), max_leaves=3
)
values = st.recursive(
    hashables | st.sets(hashables, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
    ),
    max_leaves=6,
)


def slow_add(a: Any, b: Any = 2, *, c: Any = None) -> Any:
    return a, b, c


def flexible(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def key(*args: Any, **kwargs: Any) -> str:
    return once_key("slow_add", inspect.signature(slow_add), args, kwargs, None)


def canonical(value: Any) -> Any:
    """The reference: tuples are lists, everything else keeps its type; orders do not matter."""
    if isinstance(value, dict):
        return "dict", frozenset((canonical(k), canonical(v)) for k, v in value.items())
    if isinstance(value, set | frozenset):
        return type(value).__name__, frozenset(map(canonical, value))
    if isinstance(value, list | tuple):
        return "sequence", tuple(map(canonical, value))
    return type(value).__name__, repr(value)


@given(left=values, right=values)
def test_injective_on_typed_arguments(left: Any, right: Any) -> None:
    assert (key(left) == key(right)) == (canonical(left) == canonical(right))


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: reordered(v) for k, v in reversed(value.items())}
    if isinstance(value, set | frozenset):
        return type(value)(reversed(list(value)))
    if isinstance(value, list | tuple):
        return [reordered(item) for item in value]
    return value


@given(value=values)
def test_orders_and_kinds_of_sequence_do_not_matter(value: Any) -> None:
    assert key(reordered(value)) == key(value)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@given(args=st.lists(values, max_size=2).map(tuple), kwargs=st.dictionaries(texts, values))
def test_stable_over_serialization(
    serializer: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    signature = inspect.signature(flexible)
    before = once_key("flexible", signature, args, kwargs, None)
    args, kwargs = loads_call(dumps_call(args, kwargs, serializer), serializer)
    assert once_key("flexible", signature, args, kwargs, None) == before


@given(a=values, b=values | st.just(2), c=values | st.none(), by_name=st.integers(0, 2))
def test_independent_of_the_spelling(a: Any, b: Any, c: Any, by_name: int) -> None:
    named = {"a": a, "b": b, "c": c}
    positional = [named.pop(name) for name in ("a", "b")[:by_name]]
    if canonical(c) == canonical(None):
        del named["c"]
    if "b" in named and canonical(b) == canonical(2):
        del named["b"]
    assert key(*positional, **named) == key(a, b, c=c)
