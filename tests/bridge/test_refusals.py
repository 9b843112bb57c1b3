"""What producers that are not Python's send, and what is refused; never a guess, never a crash."""

from __future__ import annotations

import bz2
import json
import lzma
import pickle
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks import App
from reliable_tasks.contrib.bridge.sources import Delivery
from reliable_tasks.contrib.bridge.translate import Translator
from reliable_tasks.errors import MessageRefused
from tests.bridge.translating import (
    app,
    call_of,
    delivered,
    minimal,
    refusal,
    translated,
)

__all__ = ["app"]

# What is not Python's ----------------------------------------------------------------------------


def test_the_least_that_a_producer_has_to_write(app: App) -> None:
    message = translated(app, minimal())
    assert (message.id, message.task, call_of(message)) == ("an-id", "old.add", ((1, 2), {}))
    assert translated(app, minimal([[1, 2], {}, None])) == message
    charset = minimal(content_type="application/json; charset=utf-8", content_encoding=None)
    assert translated(app, charset) == message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([[1, 2], {}], r"the body of protocol 2 is \[\[args\], {kwargs}, {embed}\].*2 parts"),
        ("text", "embed may be {}; this one is 'text'"),
        ([{"a": 1}, {}, {}], "its args must be a list"),
        ([[1], [2], {}], "its kwargs must be a dictionary"),
        ([[1], {}, []], "embed is .*, and not a dictionary"),
        ([[1], {}, {"callbacks": "x"}], "its callbacks must be a list"),
        ([[1], {}, {"callbacks": [{"args": []}]}], "what follows it must be signatures"),
        ([[1], {}, {"chain": [{"task": "t", "subtask_type": "loop"}]}], "'loop', a kind"),
        (b"{", "its body is not JSON"),
        (b"\xff", "its body is not utf-8"),
        (b"[" * 100_000, "its body is not JSON|nested too deeply"),
        (b"1" * 10_000, "its body is not JSON|this one is"),
        ([[{"__type__": "uuid", "__value__": {"hex": "x"}}], {}, {}], "its body is not JSON"),
        ([[{"__type__": "evil", "__value__": 1}], {}, {}], "its body is not JSON"),
    ],
    ids=repr,
)
def test_bodies_that_are_refused(app: App, body: Any, said: str) -> None:
    with pytest.raises(MessageRefused, match=said):
        Translator(app, {}, high_first=False).translate(minimal(body))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"id": None}, "its id is missing"),
        ({"id": 3}, "its id is 3, and not text"),
        ({"id": "x" * 300}, "at most 255 bytes"),
        ({"task": ""}, "its task is missing"),
        ({"eta": "soon"}, "eta='soon' is not a date"),
        ({"eta": 3}, "eta must be a datetime"),
        ({"expires": [1]}, "expires must be a datetime"),
        ({"retries": -1}, "its retries must be a whole number"),
        ({"timelimit": [1]}, "its timelimit must be"),
        ({"timelimit": ["a", None]}, "its timelimit must be"),
        ({"root_id": 4}, "root_id must be a string"),
        ({"compression": "rot13"}, "its compression 'rot13' is unknown"),
        ({"compression": "gzip"}, "its body is not gzip"),
        ({"stamps": [1]}, "its stamps must be"),
        ({"shadow": 1}, "shadow must be"),
    ],
    ids=repr,
)
def test_headers_that_are_refused(app: App, headers: dict[str, Any], said: str) -> None:
    assert said in refusal(app, minimal(headers=headers))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"content_type": None}, "it has no content type"),
        ({"content_type": "text/html"}, "content type 'text/html'"),
        ({"content_type": "application/x-python-serialize"}, "its body is pickle"),
        ({"content_type": "application/x-yaml"}, "its body is YAML"),
        ({"content_encoding": "klingon"}, "content encoding 'klingon' is unknown"),
        ({"content_encoding": "hex"}, "content encoding|its body is not"),
        ({"fault": "no envelope"}, "no envelope"),
    ],
    ids=repr,
)
def test_contents_that_are_refused(app: App, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(MessageRefused, match=said):
        Translator(app, {}, high_first=False).translate(minimal(**fields))


def test_a_message_without_a_task_is_refused(app: App) -> None:
    assert "names no task in its headers" in refusal(app, delivered([[], {}, {}]))
    assert "is of another shape" in refusal(app, delivered({"hello": 1}))


def test_pickle_is_never_read(app: App) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was unpickled",)

    body = pickle.dumps(([Bomb()], {}, {}))
    kind = "application/x-python-serialize"
    assert "may run code" in refusal(app, minimal(body, content_type=kind))
    assert "not JSON" in refusal(app, minimal(body, content_encoding="latin-1"))


@pytest.mark.parametrize(
    ("method", "compress"),
    [("gzip", zlib.compress), ("bzip2", bz2.compress), ("lzma", lzma.compress)],
)
def test_what_is_compressed_is_not_expanded_without_end(
    app: App, method: str, compress: Any
) -> None:
    bomb = compress(b" " * 50_000_000)
    delivery = minimal(bomb, headers={"compression": method})
    assert "more than max_message_bytes=1,048,576" in refusal(app, delivery)
    cut = compress(b"[[],{},{}]" + b" " * 1000)[:-9]
    assert f"its body is not {method}" in refusal(
        app, minimal(cut, headers={"compression": method})
    )


def test_what_is_too_large_is_refused(app: App) -> None:
    assert "its body has 2,000,0" in refusal(app, minimal([["x" * 2_000_000], {}, {}]))


def test_deep_links_are_refused(app: App) -> None:
    start = b'{"task": "t", "subtask_type": "chain", "kwargs": {"tasks": ['
    for depth in (2000, 15_000):
        text = b'[[1, 2], {}, {"callbacks": [%s%s%s]}]' % (
            start * depth,
            b'{"task": "t"}',
            b"]}}" * depth,
        )
        assert "nested" in refusal(app, minimal(text)) or "not JSON" in refusal(app, minimal(text))


def test_a_router_that_exits_costs_its_message_alone() -> None:
    def route(*_: Any, **__: Any) -> None:
        raise SystemExit

    with App("r", broker="sqlite://", task_routes=[route], set_as_current=False) as app:
        embed = {"callbacks": [{"task": "t", "args": [], "kwargs": {}, "options": {}}]}
        assert "SystemExit" in refusal(app, minimal([[1, 2], {}, embed]))
        assert translated(app, minimal()).id == "an-id"


# Properties --------------------------------------------------------------------------------------

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
).filter(lambda value: "__type__" not in json.dumps(value))


@given(st.lists(values), st.dictionaries(st.text(), values), st.sampled_from(["json", "msgpack"]))
def test_arguments_arrive_as_they_were_sent(args: Any, kwargs: Any, kind: str) -> None:
    with App("p", broker="sqlite://", set_as_current=False) as app:
        packed: Any = [args, kwargs, {}]
        if kind == "msgpack":
            packed = msgspec.msgpack.encode(packed)
        delivery = minimal(packed, content_type=f"application/{kind}")
        message = translated(app, delivery)
        assert call_of(message) == (tuple(args), kwargs)
        assert message.token == translated(app, delivery).token


anything = values | st.binary(max_size=50)
some_headers = st.dictionaries(
    st.sampled_from(
        [
            *("task", "id", "eta", "expires", "timelimit", "retries", "stamps", "stamped_headers"),
            *("root_id", "group", "shadow", "compression", "x-death", "own"),
        ]
    ),
    anything,
)


@given(
    st.binary(max_size=200) | values.map(lambda v: json.dumps(v).encode()),
    st.sampled_from([None, "", "application/json", "application/x-msgpack", "text/plain"]),
    st.sampled_from([None, "utf-8", "binary", "utf-16", "zlib", "rot13", "idna"]),
    some_headers,
    st.dictionaries(st.sampled_from(["priority", "reply_to", "correlation_id"]), anything),
)
def test_whatever_comes_is_a_message_or_refused(
    body: bytes, kind: Any, encoding: Any, headers: Any, properties: Any
) -> None:
    delivery = Delivery("q", body, kind, encoding, {"task": "t", "id": "i", **headers}, properties)
    with App("p", broker="sqlite://", set_as_current=False) as app:
        translator = Translator(app, {}, high_first=True)
        try:
            made = translator.translate(delivery)
        except MessageRefused:
            return
        assert made == translator.translate(delivery)
