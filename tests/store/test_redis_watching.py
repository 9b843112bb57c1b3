"""Who blocks for work on Redis hears in time of what is due, and each line of that is needed.

One of those who block watches for what is due next; the others sleep on. With what they do anyway
put off beyond our patience, a watcher that is not told, or not replaced, is seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.store import values as v
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S
from tests.store.driver import message
from tests.store.idlers import blocked, claims, goes_unnoticed, nobody_looks_anyway, redis_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliable_tasks.store.redis import RedisStore

__all__ = ["nobody_looks_anyway"]


@pytest.fixture
def store() -> Iterator[RedisStore]:
    with redis_store("redis") as opened:
        yield opened


def put(store: RedisStore, message_id: str, **fields: Any) -> None:
    store.enqueue(v.Batch(messages=(message(message_id, **fields),)))


def _watched(store: RedisStore) -> bool:
    return bool(store._command("EXISTS", f"{store._key}watcher"))


def _what_is_due_wakes(store: RedisStore, patience_s: float) -> bool:
    """Something becomes due after all have blocked: until then nobody watched."""
    with blocked(store, 1) as idlers:
        put(store, "late", delay_ms=50)
        return claims(idlers, "late", patience_s)


def _what_is_due_earlier_wakes(store: RedisStore, patience_s: float) -> bool:
    """The watcher knows of something that is due much later, and has another queue."""
    with blocked(store, 1), blocked(store, 1, first=1, queues=("other",)) as idlers:
        put(store, "later", delay_ms=3_600_000)
        eventually(lambda: _watched(store), "it watches")
        put(store, "sooner", delay_ms=50, queue="other")
        return claims(idlers, "sooner", patience_s)


def _another_watches(store: RedisStore, patience_s: float) -> bool:
    """The watcher has work to do; what becomes due meanwhile is for another."""
    put(store, "late", delay_ms=2_500, queue="other")
    with blocked(store, 1, queues=("celery", "other")) as (watcher,):
        eventually(lambda: _watched(store), "it watches")
        with blocked(store, 1, queues=("other",), first=1) as idlers:
            put(store, "now")
            eventually(lambda: watcher.claimed == ["now"], "the watcher has work")
            return claims(idlers, "late", patience_s)


CASES: dict[str, Any] = {
    "nobody watches": (
        _what_is_due_wakes,
        "for queue in pairs(moves.scheduled) do wake(queue) end",
    ),
    "something is due earlier": (
        _what_is_due_earlier_wakes,
        "redis.call('DEL', prefix .. 'watcher')\n  for queue",
        "for queue",
    ),
    "the watcher has work": (
        _another_watches,
        "for index = 7, #ARGV do ring(ARGV[index]) end",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_due_is_heard_of(store: RedisStore, name: str) -> None:
    assert CASES[name][0](store, PATIENCE_S)


@pytest.mark.parametrize("name", CASES)
def test_without_that_it_is_not(name: str) -> None:
    scenario, line, *instead = CASES[name]
    assert goes_unnoticed(scenario, "redis", "lua:*", line, *instead)
