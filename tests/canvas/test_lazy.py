"""Groups and chords of generators: read once, when they are needed, and never short."""

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from reliable_tasks import App, chain, chord, group, signature
from reliable_tasks.canvas import lazy
from reliable_tasks.errors import ConfigError
from tests.canvas.helpers import Harness, add_tasks


class Source:
    """A generator of calls that counts what is taken from it."""

    def __init__(self, t: Any, fails_at: int = -1) -> None:
        self.taken = 0
        self._t, self._fails_at = t, fails_at

    def calls(self, size: int = 3) -> Iterator[Any]:
        for each in range(size):
            if each == self._fails_at:
                raise LookupError("no more rows")
            self.taken += 1
            yield self._t.echo.s(each)


def test_a_group_of_a_generator(t: Any, harness: Harness) -> None:
    source = Source(t)
    members = group(source.calls())
    assert "generator" in repr(members)
    assert source.taken == 0
    assert members().get() == [0, 1, 2]
    assert members().get() == [0, 1, 2]
    assert source.taken == 3
    assert harness.ran["echo"] == 6


def test_a_chord_of_a_generator(t: Any) -> None:
    source = Source(t)
    canvases = [chord(source.calls(), t.xsum.s()), chord(source.calls())]
    assert source.taken == 0
    assert canvases[0]().get() == 3
    assert canvases[1](t.xsum.s()).get() == 3
    assert (t.echo.s("first") | chord(map(t.pair.s, "ab"), t.echo.s()))().get() == [
        ["a", "first"],
        ["b", "first"],
    ]
    assert source.taken == 6


def test_it_belongs_to_the_app_of_its_members(t: Any, harness: Harness) -> None:
    for make in (
        lambda: group(Source(t).calls()),
        lambda: chord(Source(t).calls()),
        lambda: chain(group(Source(t).calls())),
    ):
        assert make().app is harness.app


LOOKS: dict[str, Callable[[Any], Any]] = {
    "len": len,
    "tasks": lambda g: g.tasks,
    "kwargs": lambda g: g.kwargs,
    "item": lambda g: g["kwargs"],
    "dict": dict,
    "spread": lambda g: {**g},
    "union": lambda g: dict[str, Any]() | dict(g),
    "items": lambda g: list(g.items()),
    "values": lambda g: list(g.values()),
    "json": json.dumps,
    "indented json": lambda g: json.dumps(g, indent=1),
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "clone": lambda g: g.clone(),
    "freeze": lambda g: g.freeze(),
    "stamp": lambda g: g.stamp(x=1),
    "group": group,
    "pipe": lambda g: (g | g.tasks[0]).tasks,
}


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_sees_all_members(look: str) -> None:
    app = App("lazy", set_as_current=False)
    source = Source(add_tasks(app))
    members = group(source.calls())
    LOOKS[look](members)
    assert source.taken == 3
    assert [member.args for member in members.tasks] == [(0,), (1,), (2,)]
    again = signature(json.loads(json.dumps(members)), app=app)
    assert again == members
    assert members == again
    assert source.taken == 3


def test_two_that_are_pending_can_be_compared(t: Any) -> None:
    assert group(Source(t).calls()) == group(Source(t).calls())
    assert group(Source(t).calls()) != group(Source(t).calls(2))
    assert chord(Source(t).calls(), t.xsum.s()) == chord(Source(t).calls(), t.xsum.s())


@pytest.mark.parametrize("make", [group, chord])
def test_a_generator_that_raises_leaves_nothing_half_done(
    t: Any, harness: Harness, make: Any
) -> None:
    canvas = make(Source(t, fails_at=2).calls())
    ended = canvas if make is group else canvas._with
    with pytest.raises(LookupError, match="no more rows"):
        ended() if make is group else ended(t.xsum.s()).apply_async()
    for _ in range(2):  # it would give two members now, if it were asked again
        with pytest.raises(ConfigError, match="no more rows"):
            ended() if make is group else ended(t.xsum.s()).apply_async()
    assert harness.records() == []


def test_a_generator_without_end_is_refused(t: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "MAX_NODES", 50)
    endless = (t.echo.s(each) for each in count())
    with pytest.raises(ConfigError, match="does the generator ever end"):
        group(endless).apply_async()
    with pytest.raises(ConfigError, match="does the generator ever end"):
        chain(t.echo.s(each) for each in count())


def test_wrong_members_are_refused_when_they_come(t: Any) -> None:
    members = group(each for each in (t.echo.s(1), 3))
    with pytest.raises(ConfigError, match="3 is not a signature"):
        members.apply_async()
