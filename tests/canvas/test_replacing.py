from typing import Any

import pytest

from reliable_tasks import chain, chord, group
from reliable_tasks.errors import ChordError, ConfigError
from tests.canvas.helpers import Harness, Open, add_tasks


@pytest.fixture
def grow(t: Any, harness: Harness) -> Any:
    """A task that lets a canvas of the given kind take its place."""

    @harness.app.task(name="grow", bind=True)
    def grow(self: Any, kind: str) -> Any:
        canvases = {
            "call": t.add.s(1, 2),
            "chain": chain(t.add.s(1, 2), t.add.s(3)),
            "group": group(t.echo.si(1), t.echo.si(2)),
            "chord": chord([t.echo.si(1), t.echo.si(2)], t.xsum.s()),
            "empty": group([]),
            "itself": self.s("call"),
            "failure": t.boom.si("inside"),
        }
        return self.replace(canvases[kind])

    return grow


KINDS = {"call": 3, "chain": 6, "group": [1, 2], "chord": 3, "empty": [], "itself": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_a_canvas_takes_the_place_of_a_running_message(
    t: Any, grow: Any, harness: Harness, kind: str
) -> None:
    lone = grow.delay(kind)
    assert lone.get() == KINDS[kind]
    assert chain(grow.si(kind), t.echo.s())().get() == KINDS[kind]
    assert chord([grow.si(kind), t.echo.si(0)], t.echo.s())().get() == [KINDS[kind], 0]
    harness.drain()
    assert harness.unended() == []


def test_eagerly_too(grow: Any) -> None:
    assert {kind: grow.apply((kind,)).get() for kind in KINDS} == KINDS


def test_a_replacement_that_fails_is_the_failure_of_the_replaced(
    t: Any, grow: Any, harness: Harness
) -> None:
    result = chord([grow.si("failure"), t.echo.si(0)], t.echo.s())()
    with pytest.raises(ChordError, match="boom inside"):
        result.get(follow_parents=False)
    with pytest.raises(ValueError, match="boom inside"):
        result.parent[0].get()
    harness.drain()
    assert harness.unended() == []


def test_a_replacement_is_of_the_same_workflow(t: Any, grow: Any, harness: Harness) -> None:
    result = chain(t.echo.si(1), grow.si("chain"))()
    result.get()
    added = [record for record in harness.records() if record.task == "add"]
    assert {record.root_id for record in added} == {result.parent.id}
    (first,) = [record for record in added if record.parent_id == result.id]
    assert [record.parent_id for record in added if record != first] == [first.id]


def test_replacing_outside_of_a_message_is_an_error(t: Any) -> None:
    with pytest.raises(ConfigError, match="inside the body"):
        t.add.replace(t.add.s(1, 2))


def test_a_replacement_must_fit_a_batch(open_bench: Open) -> None:
    harness = open_bench(max_batch=5)
    t = add_tasks(harness.app)

    @harness.app.task(name="burst", bind=True)
    def burst(self: Any) -> Any:
        return self.replace(group(t.echo.si(i) for i in range(10)))

    with pytest.raises(ConfigError, match="at most 5"):
        burst.delay().get()


def test_members_can_add_to_their_chord(t: Any, harness: Harness) -> None:
    @harness.app.task(name="spread", bind=True)
    def spread(self: Any, value: int) -> int:
        if value:
            self.add_to_chord(t.add.si(value, 100))
            self.add_to_chord(self.si(0))
        return value

    result = chord([spread.si(1), t.echo.si(5), spread.si(2)], t.echo.s())()
    assert result.get() == [1, 101, 0, 5, 2, 102, 0]
    harness.drain()
    assert harness.unended() == []


def test_only_members_of_a_header_can_add_to_it(t: Any, harness: Harness) -> None:
    @harness.app.task(name="spread", bind=True)
    def spread(self: Any, value: int) -> int:
        self.add_to_chord(t.echo.si(1))
        return value

    with pytest.raises(ConfigError, match="not a member"):
        spread.delay(1).get()
    with pytest.raises(ConfigError, match="not a member"):
        chord([spread.si(1) | t.echo.s(), t.echo.si(1)], t.echo.s())().get()
    with pytest.raises(ConfigError, match="inside a body"):
        t.add.add_to_chord(t.echo.si(1))
