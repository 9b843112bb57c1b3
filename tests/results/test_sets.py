"""`ResultSet`: several handles as one."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import AsyncResult, GroupResult
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.errors import (
    ConfigError,
    TimeoutError,  # noqa: A004 - Celery's name
)
from reliable_tasks.result import EagerResult, ResultBase, ResultSet, result_from_tuple
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.results.driver import Driver


def three(driver: Driver) -> list[AsyncResult[Any]]:
    """The handles of two that have succeeded and one that has failed."""
    handles = [driver.call(n) for n in range(3)]
    for n in range(2):
        driver.end(oc.Succeeded(result=dumps(n)))
    driver.end(oc.Failed(failure=encode_failure(KeyError("k"))))
    return handles


def test_it_gives_the_values_of_the_results_that_it_is_made_of(driver: Driver) -> None:
    one, two, bad = three(driver)
    made = ResultSet([one, two])
    assert isinstance(made, ResultBase)
    assert made.get() == made.join() == made.join_native() == [0, 1]
    assert (made.ready(), made.successful(), made.failed(), made.waiting()) == (
        True,
        True,
        False,
        False,
    )
    assert (made.completed_count(), len(made), made[1], list(made)) == (2, 2, two, [one, two])
    assert (made.app, made.supports_native_join) == (driver.app, True)
    with_bad = driver.app.ResultSet(iter([one, bad]))
    with pytest.raises(KeyError):
        with_bad.get()
    value, raised = with_bad.get(propagate=False)
    assert (value, type(raised)) == (0, KeyError)
    with pytest.raises(KeyError):
        with_bad.maybe_throw()
    told: list[Any] = []
    with_bad.maybe_throw(lambda *each: told.append(each), False)
    assert [own_id for own_id, _ in told] == [one.id, bad.id]
    assert [(own_id, meta["status"]) for own_id, meta in with_bad.iter_native()] == [
        (one.id, "SUCCESS"),
        (bad.id, "FAILURE"),
    ]


def test_members_come_and_go(driver: Driver) -> None:
    one, two, bad = three(driver)
    made = ResultSet([one])
    made.add(one)
    made.add(two)
    made.update([two, bad])
    assert made.results == [one, two, bad]
    made.remove(two.id)
    made.discard(bad)
    made.discard("unknown")
    with pytest.raises(KeyError):
        made.remove(two)
    assert made.results == [one]
    assert made
    made.clear()
    assert not made
    assert made.get() == []


@pytest.mark.parametrize("wrong", [["an id"], "an id", [5], [None]])
def test_what_is_no_handle_is_refused(driver: Driver, wrong: Any) -> None:
    for make in (ResultSet, ResultSet([]).update, lambda them: GroupResult("g", them)):
        with pytest.raises(ConfigError, match=r"give AsyncResult\(id\) of each"):
            make(wrong)
    del driver


def test_a_group_is_a_set_and_equals_its_id(driver: Driver) -> None:
    one, two, _ = three(driver)
    made, same = GroupResult("g", [one]), GroupResult("g", [one])
    assert isinstance(made, ResultSet)
    assert made == same == "g"
    assert (made != GroupResult("h", [one]), made != GroupResult("g", [two])) == (True, True)
    assert GroupResult("g", [])
    assert ResultSet([one]) == ResultSet([one])
    assert ResultSet([one]) != ResultSet([two])
    nested = ResultSet([made, two])
    assert nested.get() == [[0], 1]
    for again in (copy.copy(nested), pickle.loads(pickle.dumps(nested))):
        assert (type(again), again.get()) == (ResultSet, [[0], 1])
    assert result_from_tuple(made) is made
    assert repr(ResultSet([one])) == f"<ResultSet: [{one.id}]>"


def test_eager_results_can_be_members(driver: Driver) -> None:
    made = ResultSet([EagerResult("e", 5, "SUCCESS"), three(driver)[0]])
    assert made.get() == [5, 0]
    again = pickle.loads(pickle.dumps(made[0]))
    assert (type(again), again.get(), again.id) == (EagerResult, 5, "e")


def test_it_is_not_waited_for_longer_than_was_said(driver: Driver) -> None:
    with pytest.raises(TimeoutError, match="a set of results: message"):
        ResultSet([driver.call()]).get(timeout=0)
    with pytest.raises(ResultSet.TimeoutError):
        ResultSet([driver.call()]).get(timeout=0)


def test_then_is_called_once_when_all_have_ended(driver: Driver) -> None:
    handles = [driver.call(n) for n in range(2)]
    told: list[Any] = []
    done = threading.Event()

    def note(name: str) -> Any:
        def noted(handle: Any) -> None:
            told.append((name, handle))
            done.set()

        return noted

    made = ResultSet(handles)
    assert made.then(note("good"), note("bad"), weak=True) is made
    for n in range(2):
        driver.end(oc.Succeeded(result=dumps(n)))
    assert done.wait(PATIENCE_S)
    done.clear()
    failing = ResultSet([driver.call()])
    failing.then(note("good"), on_error=note("bad"))
    driver.end(oc.Failed(failure=encode_failure(KeyError("k"))))
    assert done.wait(PATIENCE_S)
    empty = ResultSet([])
    empty.then(note("empty"))
    names = [(name, len(handle)) for name, handle in told]
    assert names == [("good", 2), ("bad", 1), ("empty", 0)]


def test_celerys_other_names_of_a_result(driver: Driver) -> None:
    one = three(driver)[0]
    assert one.backend.get_result(one.id) == 0
    assert one.supports_native_join
    with pytest.raises(KeyError, match="thrown"):
        one.throw(KeyError("thrown"))
    with pytest.raises(AttributeError, match="keep the ids"):
        _ = one.revoke_by_stamped_headers  # type: ignore[attr-defined]
    one.ignored = True
    assert one.get() is None
    waiting = driver.call()
    with pytest.raises(waiting.TimeoutError):
        waiting.get(timeout=0)
