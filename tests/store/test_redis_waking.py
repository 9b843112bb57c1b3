"""Who is woken for work that another one takes, or leaves some of it, wakes the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S
from tests.store.driver import message
from tests.store.idlers import (
    Idler,
    blocked,
    claims,
    goes_unnoticed,
    nobody_looks_anyway,
    redis_store,
)
from tests.store.redis_factories import REDIS_FACTORIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.store.redis import RedisStore

__all__ = ["nobody_looks_anyway"]


@pytest.fixture(params=sorted(REDIS_FACTORIES))
def store(request: pytest.FixtureRequest) -> Iterator[RedisStore]:
    with redis_store(request.param) as opened:
        yield opened


def _put(store: RedisStore, *queues: str) -> list[str]:
    ids = [f"m{number}" for number in range(len(queues))]
    named = zip(ids, queues, strict=True)
    store.enqueue(v.Batch(messages=tuple(message(i, queue=queue) for i, queue in named)))
    return ids


def _all_claimed(waiting: list[Idler], ids: list[str], patience_s: float) -> bool:
    return all(claims(waiting, name, patience_s) for name in ids)


def _two_queues(store: RedisStore, patience_s: float) -> bool:
    """The first is woken by the queue that both listen to; it takes from the other one."""
    with (
        blocked(store, 1, queues=("b", "a")) as one,
        blocked(store, 1, queues=("a",), first=1) as two,
    ):
        return _all_claimed([*one, *two], _put(store, "a", "b"), patience_s)


def _more_than_are_woken(store: RedisStore, patience_s: float) -> bool:
    with blocked(store, 3) as waiting:
        return _all_claimed(waiting, _put(store, *["celery"] * 3), patience_s)


def _a_lapsed_session(store: RedisStore, patience_s: float) -> bool:
    """The one that was woken may claim nothing any more."""
    with blocked(store, 2) as waiting:
        store.close_session(waiting[0].session)
        return _all_claimed(waiting[1:], _put(store, "celery"), patience_s)


CASES = {
    "two queues": (_two_queues, "      ring(queue)\n"),
    "more idle ones than are woken": (_more_than_are_woken, "      ring(queue)\n"),
    "a lapsed session": (_a_lapsed_session, "  if waited then wake_others() end\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_who_leaves_work_wakes_another(store: RedisStore, name: str) -> None:
    scenario, _ = CASES[name]
    assert scenario(store, PATIENCE_S)


@pytest.mark.parametrize("name", CASES)
def test_without_passing_it_on_somebody_sleeps_beside_work(name: str) -> None:
    scenario, line = CASES[name]
    without = "  return reply\n" if "return" in line else ""
    assert goes_unnoticed(scenario, "redis-6.2", "lua:exchange", line, without)
