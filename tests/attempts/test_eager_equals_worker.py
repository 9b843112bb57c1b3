"""The same bodies, once in a worker and once by `apply()`: nobody can tell which it was."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Ignore, Reject
from reliable_tasks.errors import ReliableTasksError
from reliable_tasks.testing import bound, run_until_idle
from tests.attempts.bodies import BODIES, CALL, bound_body, counting, raising, returning
from tests.attempts.observing import Observed, Told, listening, plain

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "the-message"


def run(name: str, way: Callable[[App, Any, Any, dict[str, Any]], Any]) -> dict[str, Any]:
    """What became of a body: its end, and what was told of it, in order."""
    function, options = BODIES[name]()
    args, call = CALL[name]
    told: Told = []
    app = App("both", broker="sqlite://", set_as_current=False)
    with bound(app), listening(told):
        declare: Any = app.task(name="body", **{"base": Observed, "told": told, **options})
        task = declare(function)
        try:
            result = way(app, task, args, {"task_id": ID, **call})
        except (ReliableTasksError, TypeError) as exc:
            return {"refused": plain(exc), "told": told}
        ended = {"state": result.state, "value": plain(result.result)}
        try:
            ended["got"] = plain(result.get(timeout=5))
        except BaseException as exc:  # noqa: BLE001 - whatever a body raised
            ended["raised"] = plain(exc)
        return {**ended, "told": told}


def by_worker(app: App, task: Any, args: Any, call: dict[str, Any]) -> Any:
    result = task.apply_async(args, **call)
    run_until_idle(app)
    return result


def by_apply(_: App, task: Any, args: Any, call: dict[str, Any]) -> Any:
    return task.apply(args, **call)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_comes_to_the_same_in_a_worker_and_eagerly(name: str) -> None:
    assert run(name, by_apply) == run(name, by_worker)


ENDINGS = {
    "success": returning(lambda: 1),
    "failure": raising(lambda: KeyError("k")),
    "retry": counting(KeyError("k"), 5, autoretry_for=(KeyError,)),
    "ignored": raising(Ignore),
    "rejected": raising(lambda: Reject("no")),
    "replaced": bound_body(lambda self: self.replace(self.app.tasks["other"].s())),
}


@pytest.mark.parametrize("way", [by_worker, by_apply], ids=["worker", "eager"])
@pytest.mark.parametrize("name", ENDINGS)
def test_each_start_that_is_told_is_told_to_be_over(name: str, way: Any) -> None:
    function, options = ENDINGS[name]()
    told: Told = []
    app = App("both", broker="sqlite://", set_as_current=False)
    with bound(app), listening(told):
        app.task(name="other")(lambda: "other")
        task: Any = app.task(name="body", **options)(function)
        way(app, task, (), {})
    sent = [each[0] for each in told if each[0] in {"task_prerun", "task_postrun"}]
    assert sent == ["task_prerun", "task_postrun"] * (2 if name in {"retry", "replaced"} else 1)


@pytest.mark.parametrize("way", [by_worker, by_apply], ids=["worker", "eager"])
def test_what_takes_a_messages_place_gives_its_result(way: Any) -> None:
    ran: list[str] = []
    app = App("both", broker="sqlite://", set_as_current=False)

    def replaced(self: Any, fails: bool) -> None:
        self.replace(self.app.tasks["other"].s(fails))
        ran.append("what comes after self.replace()")

    def other(fails: bool) -> str:
        if fails:
            raise KeyError("k")
        return "other"

    told: Told = []
    with bound(app), listening(told):
        app.task(name="other")(other)
        task: Any = app.task(name="body", bind=True)(replaced)
        result, failed = (way(app, task, (x,), {}) for x in (False, True))
        assert (result.state, result.get(timeout=5)) == ("SUCCESS", "other")
        assert (failed.state, plain(failed.result)) == ("FAILURE", plain(KeyError("k")))
    assert ran == []
    assert [each[0] for each in told if each[1] == "task body"] == [
        "task_prerun",
        "task_postrun",
    ] * 2


@pytest.mark.parametrize("takes", ["id", "three", "nothing"])
@pytest.mark.parametrize("from_call", [True, False], ids=["apply_async(link_error)", "signature"])
def test_errbacks_get_what_they_take(takes: str, from_call: bool) -> None:
    def run(way: str) -> list[Any]:
        got: list[Any] = []
        takers: dict[str, Callable[..., None]] = {
            "id": got.append,
            "three": lambda request, exc, traceback: got.append(
                (request.id, plain(exc), "KeyError: 'k'" in traceback)
            ),
            "nothing": lambda: got.append("called"),
        }
        app = App("both", broker="sqlite://", set_as_current=False)
        with bound(app):
            errback: Any = app.task(name="errback")(takers[takes])
            linked: Any = app.task(name="linked")(got.append)
            make, _ = raising(lambda: KeyError("k"))()
            task: Any = app.task(name="body")(make)
            call = {"task_id": ID, "link": linked.s(), "link_error": errback.s()}
            target = task if from_call else task.signature(**call)
            getattr(target, way)(**(call if from_call else {}))
            run_until_idle(app)
        return got

    assert run("apply") == run("apply_async") != []


def test_the_caller_gets_a_result_that_is_not_stored() -> None:
    app = App("both", broker="sqlite://", set_as_current=False)
    lock = threading.Lock()
    task: Any = app.task(name="body", ignore_result=True)(lambda: lock)
    assert task.apply().get() is lock


def test_what_ends_the_program_passes_through() -> None:
    app = App("both", broker="sqlite://", set_as_current=False)
    make, _ = raising(KeyboardInterrupt)()
    task: Any = app.task(name="body")(make)
    with pytest.raises(KeyboardInterrupt):
        task.apply()
    assert app.task(name="other")(lambda: 5).apply().get() == 5


def test_a_call_here_says_so() -> None:
    app = App("both", broker="sqlite://", set_as_current=False)

    @app.task(name="body", bind=True)
    def look(self: Any) -> tuple[Any, ...]:
        request = self.request
        return request.is_eager, request.called_directly, request.delivery_info["is_eager"]

    assert look.apply().get() == (True, False, True)
