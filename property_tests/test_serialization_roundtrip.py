"""Whatever is encoded comes back equal and of the same types, by every codec."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.core.codec import dumps, dumps_call, loads, loads_call
from reliable_tasks.core.codec.tags import TAG

texts = st.text() | st.text(st.characters()) | st.just(TAG)
hashables: st.SearchStrategy[Any] = st.deferred(
    lambda: st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        texts,
        st.binary(),
        st.dates(),
        st.times(),
        st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.timezones()),
        st.timedeltas(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.complex_numbers(allow_nan=False),
        st.tuples(hashables, hashables),
        st.frozensets(hashables, max_size=3),
    )
)
values = st.recursive(
    hashables | st.sets(hashables, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.tuples(inner)
    ),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """A form that is equal exactly where values and types are, all the way down."""
    if isinstance(value, dict):
        return dict, frozenset((typed(key), typed(item)) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return type(value), frozenset(map(typed, value))
    if isinstance(value, list | tuple):
        return type(value), tuple(map(typed, value))
    return type(value), repr(value)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@given(value=values)
def test_round_trip(serializer: str, value: Any) -> None:
    back = loads(dumps(value, serializer), serializer, {serializer})
    assert typed(back) == typed(value)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@given(args=st.lists(values, max_size=3).map(tuple), kwargs=st.dictionaries(texts, values))
def test_round_trip_of_a_call(
    serializer: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    back = loads_call(dumps_call(args, kwargs, serializer), serializer)
    assert typed(back) == typed((args, kwargs))
