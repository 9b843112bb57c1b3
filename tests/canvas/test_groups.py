import asyncio
import pickle
from typing import Any

import pytest

from reliable_tasks import GroupResult, allow_join_result, group
from reliable_tasks.core.context import forbid_waiting
from reliable_tasks.errors import ReliableTasksError, TimeoutError  # noqa: A004 - Celery's name
from reliable_tasks.results.groups import result_from_tuple
from tests.canvas.helpers import Harness, Stuck


def test_how_a_group_stands(t: Any, harness: Harness) -> None:
    result = group(t.echo.si(1), t.echo.si(2), t.echo.si(3))()
    assert (result.ready(), result.waiting(), result.completed_count()) == (False, True, 0)
    harness.limit = 1
    harness.work()
    assert (result.ready(), result.waiting(), result.completed_count()) == (False, True, 1)
    assert not result.successful()
    harness.drain()
    assert (result.ready(), result.waiting(), result.completed_count()) == (True, False, 3)
    assert result.successful()
    assert not result.failed()


def test_members(t: Any) -> None:
    result = group(t.echo.si(1), group(t.echo.si(2), t.echo.si(3)))()
    assert len(result) == 2
    assert list(result) == result.results == result.children
    assert isinstance(result[1], GroupResult)
    assert [leaf.get() for leaf in result.leaves()] == [1, 2, 3]
    assert result.get() == result.join() == result.join_native() == [1, [2, 3]]
    assert str(result) == result.id
    assert result.id in repr(result)
    assert bool(GroupResult("empty", app=result.app))


def test_a_failure_is_raised_at_once_or_takes_its_place(t: Any, harness: Harness) -> None:
    late = t.echo.si(2).set(countdown=1000)
    result = group(late, t.boom.si(1))()
    harness.work()
    with pytest.raises(ValueError, match="boom 1"):
        result.get()
    assert not harness.ran["echo"]
    values = result.get(propagate=False)
    assert values[0] == 2
    assert isinstance(values[1], ValueError)
    with pytest.raises(ValueError, match="boom 1"):
        result.maybe_throw()
    assert result.failed()
    assert not result.successful()


def test_waiting_is_bounded(t: Any, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    result = group(t.echo.si(1), t.echo.si(2))()
    ticks = iter(range(100))
    monkeypatch.setattr("reliable_tasks.core.clock.monotonic", lambda: float(next(ticks)))
    monkeypatch.setattr(
        harness.store, "wait", lambda seen, timeout, ended: bool(seen and timeout and ended)
    )
    with pytest.raises(TimeoutError, match="2 s"):
        result.get(timeout=2)


def test_more_than_a_window(t: Any, harness: Harness) -> None:
    harness.limit = 7
    result = group(t.echo.si(i) for i in range(250))()
    assert result.get() == list(range(250))


def test_inside_a_body_it_refuses(t: Any) -> None:
    result = group(t.echo.si(1))()
    token = forbid_waiting.set(True)
    try:
        with pytest.raises(RuntimeError, match="within a task"):
            result.get()
        with allow_join_result():
            assert result.get() == [1]
    finally:
        forbid_waiting.reset(token)


def test_values_as_they_come(t: Any) -> None:
    result = group(t.echo.si(1), t.boom.si(2))()
    seen = dict[str, Any]()
    told = list[str]()
    assert result.get(propagate=False, callback=seen.__setitem__, on_message=None)
    assert list(seen) == [leaf.id for leaf in result]
    for message_id, told_of in result.iter_native():
        told.append(told_of["status"])
        assert message_id == told_of["task_id"]
    assert told == ["SUCCESS", "FAILURE"]
    assert asyncio.run(_awaited(group(t.echo.si(1))())) == [1]


async def _awaited(result: GroupResult) -> list[Any]:
    return await result


def test_saving_and_restoring(t: Any, harness: Harness) -> None:
    result = group(t.echo.si(1), group(t.echo.si(2)), t.echo.si(3))()
    result.save()
    restored = GroupResult.restore(result.id, app=harness.app)
    assert restored == result
    assert restored is not None
    assert restored.get() == [1, [2], 3]
    restored.delete()
    assert GroupResult.restore(result.id, app=harness.app) is None


def test_tuples(t: Any, harness: Harness) -> None:
    result = (t.echo.si(0) | group(t.echo.s(), group(t.echo.s())))()
    back = result_from_tuple(result.as_tuple(), app=harness.app)
    assert back == result
    assert back.parent == result.parent
    assert back.get() == [0, [0]]
    with pytest.raises(ReliableTasksError, match="not the tuple"):
        result_from_tuple("nonsense", app=harness.app)


def test_equality_and_sets(t: Any) -> None:
    result = group(t.echo.si(1), t.echo.si(2))()
    same = GroupResult(result.id, result.results, app=result.app)
    assert result == same
    assert len({result, same}) == 1
    assert result != GroupResult(result.id, result.results[:1], app=result.app)
    assert result != "text"
    same.discard(same[0])
    same.add(same[0])
    assert len(same) == 1


def test_forgetting(t: Any, harness: Harness) -> None:
    result = group(t.echo.si(1), t.echo.si(2))()
    result.get()
    result.forget()
    assert harness.records() == []


def test_collecting_what_came_of_it(t: Any) -> None:
    result = (t.echo.si(1) | group(t.echo.s(), t.add.s(1)))()
    first = result.parent
    assert [value for _, value in first.collect()] == [1, [1, 2], 1, 2]
    assert [value for _, value in result.collect()] == [[1, 2], 1, 2]


def test_a_group_that_never_ends_is_seen_to_be_stuck(t: Any, harness: Harness) -> None:
    result = group(t.echo.si(1).set(queue="nobody"))()
    with pytest.raises(Stuck):
        result.get()


def test_revoking_and_waiting(t: Any, harness: Harness) -> None:
    result = group(t.echo.si(1), t.echo.si(2))()
    result.revoke(wait=True, timeout=1, terminate=True)
    assert [leaf.state for leaf in result] == ["REVOKED", "REVOKED"]
    assert harness.ran == {}


def test_pickling_keeps_the_ids(t: Any, harness: Harness) -> None:
    harness.app.set_current()
    result = group(t.echo.si(1), t.echo.si(2))()
    assert pickle.loads(pickle.dumps(result)) == result
