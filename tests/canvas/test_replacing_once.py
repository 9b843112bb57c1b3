"""Pages: a task of which one may be there at once, and which goes on with itself."""

from collections.abc import Callable
from typing import Any

import pytest

from reliable_tasks import OnceTask, chain, chord, group
from tests.canvas.helpers import Harness

PAGES = 3
POLICIES = ("raise", "return", "replace", "rerun", "reschedule")
SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "call": lambda following, _: following,
    "chain": lambda following, t: chain(t.echo.si(1), following),
    "first of a chain": lambda following, t: chain(following, t.echo.s()),
    "group": lambda following, t: group(t.echo.si(1), following),
    "header": lambda following, t: chord([t.echo.si(1), following], t.echo.s()),
    "body": lambda following, t: chord([t.echo.si(1), t.echo.si(2)], following),
    "two at once": lambda following, t: chord([following, following.clone()], t.echo.s()),
    "one after the other": lambda following, t: chain(following, following.clone(), t.echo.s()),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_once_task_goes_on_with_itself(t: Any, harness: Harness, policy: str, shape: str) -> None:
    options = {"keys": [], "on_conflict": policy}
    seen = set[tuple[str, bool]]()

    @harness.app.task(name="page", bind=True, base=OnceTask, once=options)
    def page(self: Any, n: int) -> Any:
        duplicate = self.apply_async((n,), once={"on_conflict": "return"})
        seen.add((duplicate.id, duplicate.duplicate))
        return n if n == PAGES else self.replace(SHAPES[shape](self.si(n + 1), t))

    result = page.delay(0)
    result.get()
    assert seen == {(result.id, True)}  # as long as the whole lives, and by whatever part of it
    harness.drain()
    assert harness.unended() == []
    assert not page.delay(PAGES).duplicate


def test_a_member_of_a_chord_adds_itself(t: Any, harness: Harness) -> None:
    @harness.app.task(name="page", bind=True, base=OnceTask, once={"keys": []})
    def page(self: Any, n: int) -> int:
        if n < PAGES:
            self.add_to_chord(self.si(n + 1))
        return n

    assert chord([page.si(0), t.echo.si(9)], t.echo.s())().get() == [0, 1, 2, 3, 9]
    harness.drain()
    assert harness.unended() == []
