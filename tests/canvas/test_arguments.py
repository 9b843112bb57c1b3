from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.canvas import arguments_of, errback_arguments
from reliable_tasks.canvas.arguments import nested
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import Headers
from reliable_tasks.core.request import Request
from reliable_tasks.results.groups import GroupResult
from reliable_tasks.results.lineage import lineage
from reliable_tasks.results.result import AsyncResult
from reliable_tasks.store.values import Claim, Input
from reliable_tasks.tasks.calls import complete_call


@pytest.fixture
def app() -> App:
    return App("pure", set_as_current=False)


def claim(*inputs: Input, task: str = "any") -> Claim:
    return Claim(
        id="me",
        task=task,
        queue="celery",
        priority=0,
        payload=b"",
        headers=b"",
        fence=1,
        attempt=1,
        delivery=1,
        bounces=0,
        max_deliveries=5,
        enqueued_ms=0,
        first_started_ms=0,
        started_ms=0,
        root_id="root",
        inputs=inputs,
    )


def left(*values: Any) -> list[Input]:
    return [
        Input(slot=slot, parent=f"p{slot}", ok=True, value=dumps(value))
        for slot, value in enumerate(values)
    ]


def test_one_and_list(app: App) -> None:
    assert arguments_of(app, claim(*left(7)), Headers(takes="one"), (1,), {"k": 2}) == (
        (7, 1),
        {"k": 2},
    )
    assert arguments_of(app, claim(*left(7, 8)), Headers(takes="list"), (1,), {}) == (
        ([7, 8], 1),
        {},
    )
    shaped = Headers(takes="list", shape=[1, [2, []], 1])
    assert arguments_of(app, claim(*left(1, 2, 3, 4)), shaped, (), {}) == (
        ([1, [2, 3, []], 4],),
        {},
    )
    assert arguments_of(app, claim(), Headers(takes="list", shape=[]), (), {}) == (([],), {})
    assert arguments_of(app, claim(*left(7)), Headers(), (1,), {}) == ((1,), {})


def test_an_empty_input_is_none(app: App) -> None:
    nothing = Input(slot=0, parent="p", ok=True, value=b"")
    assert arguments_of(app, claim(nothing), Headers(takes="one"), (), {}) == ((None,), {})


def test_a_call_made_complete_takes_no_inputs_again(app: App) -> None:
    headers = Headers(takes="one")
    args, kwargs = complete_call(headers, (99, 1), {"k": 2})
    assert arguments_of(app, claim(*left(7)), headers, args, kwargs) == ((99, 1), {"k": 2})
    assert complete_call(Headers(), (1,), {}) == ((1,), {})


def test_an_errback_gets_what_its_function_takes(app: App) -> None:
    @app.task(name="full")
    def full(request: Any, exc: Any, traceback: Any, *, note: str = "") -> None: ...

    @app.task(name="short")
    def short(failed_id: str, extra: int) -> None: ...

    @app.task(name="none")
    def none() -> None: ...

    failed = Request(id="failed")
    exc = ValueError("why")
    assert errback_arguments(full, failed, exc, "text", (), {"note": "x"}) == (failed, exc, "text")
    assert errback_arguments(short, failed, exc, "text", (5,), {}) == ("failed", 5)
    assert errback_arguments(none, failed, exc, "text", (), {}) == ()
    value = encode_failure(exc, "the traceback")
    inputs = Input(slot=0, parent="failed", ok=False, value=value)
    (request, raised, text), _ = arguments_of(
        app, claim(inputs, task="full"), Headers(takes="errback"), (), {}
    )
    assert (request.id, request.root_id, repr(raised)) == ("failed", "root", repr(exc))
    assert text == "the traceback"


def test_nesting() -> None:
    assert nested(None, iter([1, 2])) == [1, 2]
    assert nested([[1], [[2]]], iter([1, 2, 3])) == [[1], [[2, 3]]]


def test_the_lineage_of_a_handle_is_it_and_all_before_it(app: App) -> None:
    a = AsyncResult[Any]("a", app=app)
    header = GroupResult("g", [AsyncResult("b", app=app), AsyncResult("c", app=app)], a, app)
    last = AsyncResult[Any]("d", app=app, parent=header)
    assert lineage(last)[0] == "d"
    assert set(lineage(last)) == {"a", "b", "c", "d"}
    assert lineage(a) == ["a"]
