"""Stamps: what `stamp()` puts on each call of a canvas, and that it gets there."""

from typing import Any

import pytest

from reliable_tasks import chain, chord, group, signals
from reliable_tasks.canvas import Signature, StampingVisitor, chunks, xmap
from reliable_tasks.errors import ConfigError
from tests.canvas.helpers import Harness

Seen = dict[str, dict[str, Any] | None]


@pytest.fixture
def seen() -> Seen:
    """The stamps that each call has seen, by its label."""
    return {}


@pytest.fixture
def mark(harness: Harness, seen: Seen) -> Any:
    @harness.app.task(bind=True, name="mark", max_retries=1)
    def mark(self: Any, *args: Any) -> Any:
        label = args[-1]
        seen[label] = self.request.stamps
        assert self.request.stamped_headers == (list(self.request.stamps or ()) or None)
        if label == "fails":
            raise ValueError(label)
        if label == "retries" and not self.request.retries:
            raise self.retry(countdown=0)
        if label == "replaced":
            self.replace(group(mark.si("in").stamp(own=1), mark.si("other").stamp(by="itself")))
        return label

    return mark


class Named(StampingVisitor):
    """Stamps each call with its own label, and counts what it is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
        return {"label": sig.args[-1]}

    def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any]:
        self.shown.append("group")
        return {"in_group": True}

    def on_group_end(self, group: Any, **headers: Any) -> None:
        self.shown.append(f"group ends with {sorted(headers['stamped_headers'])}")

    def on_chain_start(self, chain: Any, **headers: Any) -> dict[str, Any]:
        self.shown.append("chain")
        return {"in_chain": True, "note": 1, "stamped_headers": ["in_chain"]}

    def on_chord_body(self, sig: Any, **header: Any) -> dict[str, Any]:
        return {"body": True}

    def on_callback(self, callback: Any, **header: Any) -> dict[str, Any]:
        return {"callback": True}

    def on_errback(self, errback: Any, **header: Any) -> dict[str, Any]:
        return {"errback": True}


def test_a_visitor_stamps_every_part(mark: Any, seen: Seen, harness: Harness) -> None:
    first = mark.si("a").set(link=mark.si("linked"), link_error=mark.si("unused"))
    canvas = chain(first, group(mark.si("b"), mark.si("c")), mark.si("d"))
    visitor = Named()
    assert canvas.stamp(visitor) is canvas
    canvas.apply_async()
    harness.drain()
    assert seen == {
        "a": {"in_chain": True, "label": "a"},
        "linked": {"in_chain": True, "callback": True, "label": "linked"},
        "b": {"in_chain": True, "in_group": True, "label": "b"},
        "c": {"in_chain": True, "in_group": True, "label": "c"},
        "d": {"in_chain": True, "label": "d"},
    }
    assert visitor.shown == ["chain", "group", "group ends with ['in_chain', 'in_group']"]


def test_the_body_and_the_errbacks_of_a_chord(mark: Any, seen: Seen, harness: Harness) -> None:
    canvas = chord([mark.si("fails")], mark.s("body").on_error(mark.si("told")))
    canvas.stamp(Named())
    canvas.apply_async()
    harness.drain()
    common = {"in_group": True}
    assert seen == {
        "fails": {**common, "label": "fails"},
        "told": {**common, "body": True, "errback": True, "label": "told"},
    }


def test_stamps_by_name_and_again(mark: Any, seen: Seen, harness: Harness) -> None:
    sig = mark.si("a").stamp(one=1, who=("x", {1: 2}))
    assert sig.options["stamped_headers"] == ["one", "who"]
    sig.stamp(one=2).stamp(None, True, one=3)
    again = Signature.from_dict(dict(sig), app=harness.app)
    assert again == sig == sig.clone()
    again.apply_async(stamped_headers=["late", "one"], late=True, one=9)
    mark.apply_async(("b",), stamped_headers=["x", "absent"], x=None)
    mark.delay("c")
    harness.drain()
    assert seen["a"] == {"one": [2, 3], "who": ("x", {1: 2}), "late": True}
    assert (seen["b"], seen["c"]) == ({"x": None}, None)
    assert sig.options["one"] == [2, 3]


def test_callbacks_that_are_plain_dictionaries(mark: Any, seen: Seen, harness: Harness) -> None:
    sig = mark.si("a")
    sig.options["link"] = dict(mark.si("linked"))
    sig.stamp(by="me").apply_async()
    harness.drain()
    assert seen == {"a": {"by": "me"}, "linked": {"by": "me"}}


def test_stamps_stay_over_retries_and_replacements(mark: Any, seen: Seen, harness: Harness) -> None:
    for label in ("retries", "replaced"):
        mark.si(label).stamp(by="me").apply_async()
    harness.drain()
    assert seen["retries"] == {"by": "me"}
    assert seen["in"] == {"own": 1, "by": "me"}
    assert seen["other"] == {"by": "itself"}


def test_maps_chunks_and_eager_calls(mark: Any, seen: Seen, harness: Harness) -> None:
    mark.si("eager").stamp(by="me").apply()
    assert seen.pop("eager") == {"by": "me"}
    for canvas in (xmap(mark.s(), ["a"]), chunks(mark.s(), [("b",)], 1)):
        canvas.stamp(by="me")
        canvas.apply_async()
    harness.drain()
    assert [r.headers.count(b"me") for r in harness.records()] == [1, 1]


def test_receivers_see_and_change_stamps(mark: Any, seen: Seen, harness: Harness) -> None:
    told = []

    def receiver(headers: Any, **_: Any) -> None:
        told.append((headers["stamped_headers"], dict(headers["stamps"])))
        headers["stamps"]["added"] = 1

    signals.before_task_publish.connect(receiver)
    try:
        mark.si("a").stamp(one=1).apply_async()
    finally:
        signals.before_task_publish.disconnect(receiver)
    harness.drain()
    assert told == [(["one"], {"one": 1})]
    assert seen["a"] == {"one": 1, "added": 1}


def test_wrong_stamps_are_refused(mark: Any) -> None:
    class Silly(StampingVisitor):
        def on_signature(self, sig: Any, **headers: Any) -> Any:
            return 3

    with pytest.raises(ConfigError, match="is no StampingVisitor"):
        mark.si("a").stamp(3)
    with pytest.raises(ConfigError, match=r"Silly.on_signature must return a dict, not 3"):
        mark.si("a").stamp(Silly())
    with pytest.raises(ConfigError, match="stamped_headers"):
        mark.si("a").set(stamped_headers=3)
    with pytest.raises(ConfigError, match="the stamps"):
        mark.si("a").stamp(x=object()).apply_async()
    with pytest.raises(ConfigError, match="unknown option 'x'"):
        mark.apply_async(("a",), x=1)


def test_an_empty_chain_cannot_replace(harness: Harness) -> None:
    @harness.app.task(bind=True, name="empties")
    def empties(self: Any) -> None:
        self.replace(chain())

    with pytest.raises(ConfigError, match="Cannot replace with an empty chain"):
        empties.delay().get()
