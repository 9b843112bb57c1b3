"""`adelay` and its kin: the event loop goes on, and what is called together is stored together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reliable_tasks import chain, group
from reliable_tasks.errors import (
    AlreadyQueued,
    ConfigError,
    MessageTooLarge,
    StoreError,
    StoreUnavailable,
)
from tests.patience import PATIENCE_S
from tests.redis_server import redis_server
from tests.tasks.adelaying import Harness, harness, run

__all__ = ["harness", "redis_server"]


def test_many_at_once_are_one_call_of_the_store(harness: Harness) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*[harness.add.adelay(i, y=1) for i in range(64)])

    handles = run(main())
    assert [len(batch) for batch in harness.watched.batches] == [64]
    assert len({handle.id for handle in handles}) == 64
    assert [handle.args for handle in handles] == [(i,) for i in range(64)]
    assert harness.stored() == 64


def test_what_gathers_while_a_batch_is_stored_is_the_next(harness: Harness) -> None:
    async def main() -> None:
        harness.watched.free.clear()
        first = asyncio.ensure_future(harness.add.adelay(1, 1))
        await asyncio.to_thread(harness.watched.entered.wait, PATIENCE_S)
        more = [asyncio.ensure_future(harness.add.adelay(i, 1)) for i in range(20)]
        more += [asyncio.ensure_future(harness.other.s(i).adelay()) for i in range(20)]
        more += [asyncio.ensure_future(harness.app.asend_task("far", (i,))) for i in range(20)]
        await asyncio.sleep(0)
        harness.watched.free.set()
        await asyncio.gather(first, *more)

    run(main())
    assert [len(batch) for batch in harness.watched.batches] == [1, 60]


def test_the_loop_goes_on_while_the_store_does_not_answer(harness: Harness) -> None:
    """It takes a thousand turns before the store is let go."""

    async def main() -> int:
        harness.watched.free.clear()
        calls = [
            harness.add.adelay(1, 1),
            chain(harness.add.s(1, 1), harness.other.s()).aapply_async(),
            group(harness.other.s(1), harness.other.s(2)).adelay(),
            harness.app.aenqueue_many(harness.other.s(i) for i in range(3)),
        ]
        waiting = asyncio.gather(*calls)
        turns = 0
        while turns < 1000 or not harness.watched.entered.is_set():
            await asyncio.sleep(0)
            turns += 1
        assert not waiting.done()
        harness.watched.free.set()
        await waiting
        return turns

    assert run(main()) >= 1000
    assert harness.stored() == 1 + 2 + 2 + 3


def test_each_gets_its_own_receipt_or_its_own_error(harness: Harness) -> None:
    too_large = "x" * harness.app.settings.max_message_bytes

    async def main() -> list[Any]:
        calls: list[Any] = [
            harness.once.adelay(1, who=1),
            harness.once.adelay(1, who=2),
            harness.once.adelay(2, who=3),
            harness.once.aapply_async((1, 4), once={"graceful": True}),
            harness.app.asend_task("far", (too_large,)),
            harness.add.adelay(1),  # type: ignore[call-arg]
            harness.add.aapply_async((1, 2), queue=7),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third, fourth, *wrong = run(main())
    assert isinstance(second, AlreadyQueued)
    assert second.task_id == first.id
    assert third.id != first.id
    assert fourth.id == first.id
    assert fourth.duplicate
    assert [type(each) for each in wrong] == [MessageTooLarge, TypeError, ConfigError]
    assert harness.stored() == 2


def test_one_that_the_store_refuses_costs_the_others_nothing(harness: Harness) -> None:
    harness.watched.refused = {"other"}

    async def main() -> list[Any]:
        calls = [harness.add.adelay(1, 1), harness.other.adelay(1), harness.add.adelay(2, 2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, refused, last = run(main())
    assert isinstance(refused, StoreError)
    assert first.exists()
    assert last.exists()
    assert harness.stored() == 2


def test_those_that_are_refused_together_are_tried_each_on_its_own(harness: Harness) -> None:
    harness.watched.refused = {"add"}

    async def main() -> list[Any]:
        calls = [harness.add.adelay(1, 1), harness.add.adelay(2, 2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(each) for each in run(main())] == [StoreError] * 2
    assert [len(batch) for batch in harness.watched.batches] == [2, 1, 1]


def test_a_store_that_is_away_is_tried_again(harness: Harness) -> None:
    harness.watched.away = 2

    async def main() -> list[Any]:
        return await asyncio.gather(*[harness.add.adelay(i, 1) for i in range(8)])

    assert len(run(main())) == 8
    assert [len(batch) for batch in harness.watched.batches] == [8, 8, 8]
    assert harness.stored() == 8


def test_how_often_it_is_tried_is_for_each_call_to_say(harness: Harness) -> None:
    harness.watched.away = 1000

    async def main() -> list[Any]:
        calls = [
            harness.add.aapply_async((1, 1), retry=False),
            harness.add.aapply_async((1, 1), retry_policy={"max_retries": 1, "interval_start": 0}),
            harness.add.adelay(1, 1),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = run(main())
    assert [type(each) for each in errors] == [StoreUnavailable] * 3
    assert len(set(map(id, errors))) == 3
    assert len(harness.watched.batches) == 1 + 2 + 4


def note_of(cancelled: asyncio.Task[Any]) -> str:
    with pytest.raises(asyncio.CancelledError) as raised:
        cancelled.result()
    return "\n".join(raised.value.__notes__)


def test_a_cancelled_one_says_what_holds(harness: Harness) -> None:
    async def main() -> tuple[Any, Any]:
        harness.watched.free.clear()
        sent = asyncio.ensure_future(harness.add.aapply_async((1, 1), task_id="sent"))
        await asyncio.to_thread(harness.watched.entered.wait, PATIENCE_S)
        waits = asyncio.ensure_future(harness.add.aapply_async((1, 1), task_id="waits"))
        await asyncio.sleep(0)
        for each in (sent, waits):
            each.cancel()
        await asyncio.wait([sent, waits])
        harness.watched.free.set()
        await harness.other.adelay(1)
        return sent, waits

    sent, waits = run(main())
    assert "message sent was on its way to the store" in note_of(sent)
    assert note_of(waits) == "message waits was not enqueued"
    assert harness.app.AsyncResult("sent").exists()
    assert not harness.app.AsyncResult("waits").exists()
    assert harness.stored() == 2


def test_a_cancelled_canvas_is_stored_whole_or_not_at_all(harness: Harness) -> None:
    async def main() -> Any:
        harness.watched.free.clear()
        canvas = chain(harness.add.s(1, 1), harness.other.s(), harness.other.s())
        sent = asyncio.ensure_future(canvas.aapply_async())
        await asyncio.to_thread(harness.watched.entered.wait, PATIENCE_S)
        sent.cancel()
        await asyncio.wait([sent])
        harness.watched.free.set()
        return sent

    sent = run(main())
    assert "goes on to its end all the same" in note_of(sent)
    harness.app.gathering.close()  # waits for what has begun
    assert harness.stored() == 3
