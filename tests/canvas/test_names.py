"""Celery's other names of signatures, and tasks where a signature is meant."""

from typing import Any

import pytest

from reliable_tasks import App, chain, chord, group, shared_task
from reliable_tasks.canvas import Signature, chunks
from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from tests.canvas.helpers import Harness


def test_a_task_is_a_signature_without_arguments(t: Any) -> None:
    assert chain(t.echo.s(3), t.echo)().get() == 3
    assert chain(t.echo)("x").get() == "x"
    assert (t.echo.s(4) | t.echo).apply_async().get() == 4
    assert (t.echo | t.pair.s("a"))(5).get() == ["a", 5]
    assert group(t.echo)(7).get() == [7]
    assert group([t.echo, t.echo])(7).get() == [7, 7]
    assert chord([t.echo.s(1), t.echo.s(2)], t.xsum)().get() == 3
    assert chord([t.echo, t.echo])(t.xsum, 2).get() == 4
    assert t.echo.apply_async((8,), link=t.echo, link_error=[t.echo]).get() == 8
    assert t.echo.s(9).link(t.echo) is t.echo


def test_so_is_a_shared_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "_on_app", [])
    monkeypatch.setattr(context, "_current_app", None)
    app = App("shared", broker="sqlite://", task_always_eager=True)

    @shared_task(name="shared.double")
    def declared(value: int) -> int:
        return 2 * value

    double: Any = declared
    assert chain(double.s(1), double).apply_async().get() == 4
    assert (double.s(1) | double).apply_async().get() == 4
    assert (double | double.s()).apply_async((1,)).get() == 4
    assert group(double)(3).get() == [6]
    assert chord([double.s(1)], group(double)).app is app


@pytest.mark.parametrize("wrong", [3, "add", len, object()])
def test_what_is_no_task_is_refused(t: Any, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="is not a signature"):
        chain(t.echo.s(1), wrong)


def test_lists_of_options(t: Any) -> None:
    sig = t.add.s(1, 2)
    first, second = t.echo.s(), t.pair.s("a")
    assert sig.append_to_list_option("link", first) is first
    sig.append_to_list_option("link", first)
    sig.extend_list_option("link", [second])
    sig.link_error(t.echo)
    assert sig.options["link"] == [first, second]
    second.link(t.boom.s())
    assert sig.flatten_links() == [sig, first, second, t.boom.s()]


def test_looking_at_a_signature(t: Any, harness: Harness) -> None:
    sig = t.add.s(2)
    assert sig.reprcall(1, z=3) == "add(1, 2, z=3)"
    assert repr(sig) == "add(2)"
    assert sig.AsyncResult("some-id").id == "some-id"
    assert sig.AsyncResult("some-id").app is harness.app
    assert set(Signature.TYPES) == {"chain", "group", "chord", "xmap", "xstarmap", "chunks"}
    with pytest.raises(ConfigError, match="once-task"):
        sig.election()


def test_the_names_of_canvases(t: Any) -> None:
    assert chain(t.add.s(1), t.add.s(2)).run((3,)).get() == 6
    with pytest.raises(ConfigError, match="freeze"):
        chain(t.add.s(1)).prepare_steps((), {}, [])
    assert chord([], None).run([t.echo.s(1), t.echo.s(2)], t.xsum).get() == 3
    assert chunks.apply_chunks(t.add, [(1, 2), (3, 4), (5, 6)], 2).get() == [[3, 7], [11]]
    delays = [
        m.options["countdown"] for m in group([t.echo.s(i) for i in range(4)]).skew(1, 3).tasks
    ]
    assert delays == [1, 2, 3, 3]
