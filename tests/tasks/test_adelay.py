"""`adelay` and its kin: the event loop goes on, and what is called together is stored together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

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
from tests.store.empty import empty_store
from tests.tasks.adelaying import Bench, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["redis_server"]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(empty_store(request, tmp_path))
    yield bench
    bench.watched.free.set()
    bench.app.close()


def test_many_at_once_are_one_call_of_the_store(bench: Bench) -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(*[bench.add.adelay(i, y=1) for i in range(64)])

    handles = run(main())
    assert [len(batch) for batch in bench.watched.batches] == [64]
    assert len({handle.id for handle in handles}) == 64
    assert [handle.args for handle in handles] == [(i,) for i in range(64)]
    assert bench.stored() == 64


def test_what_gathers_while_a_batch_is_stored_is_the_next(bench: Bench) -> None:
    async def main() -> None:
        bench.watched.free.clear()
        first = asyncio.ensure_future(bench.add.adelay(1, 1))
        await asyncio.to_thread(bench.watched.entered.wait, PATIENCE_S)
        more = [asyncio.ensure_future(bench.add.adelay(i, 1)) for i in range(20)]
        more += [asyncio.ensure_future(bench.other.s(i).adelay()) for i in range(20)]
        more += [asyncio.ensure_future(bench.app.asend_task("far", (i,))) for i in range(20)]
        await asyncio.sleep(0)
        bench.watched.free.set()
        await asyncio.gather(first, *more)

    run(main())
    assert [len(batch) for batch in bench.watched.batches] == [1, 60]


def test_the_loop_goes_on_while_the_store_does_not_answer(bench: Bench) -> None:
    """It takes a thousand turns before the store is let go."""

    async def main() -> int:
        bench.watched.free.clear()
        calls = [
            bench.add.adelay(1, 1),
            chain(bench.add.s(1, 1), bench.other.s()).aapply_async(),
            group(bench.other.s(1), bench.other.s(2)).adelay(),
            bench.app.aenqueue_many(bench.other.s(i) for i in range(3)),
        ]
        waiting = asyncio.gather(*calls)
        turns = 0
        while turns < 1000 or not bench.watched.entered.is_set():
            await asyncio.sleep(0)
            turns += 1
        assert not waiting.done()
        bench.watched.free.set()
        await waiting
        return turns

    assert run(main()) >= 1000
    assert bench.stored() == 1 + 2 + 2 + 3


def test_each_gets_its_own_receipt_or_its_own_error(bench: Bench) -> None:
    too_large = "x" * bench.app.settings.max_message_bytes

    async def main() -> list[Any]:
        calls: list[Any] = [
            bench.once.adelay(1, who=1),
            bench.once.adelay(1, who=2),
            bench.once.adelay(2, who=3),
            bench.once.aapply_async((1, 4), once={"graceful": True}),
            bench.app.asend_task("far", (too_large,)),
            bench.add.adelay(1),  # type: ignore[call-arg]
            bench.add.aapply_async((1, 2), queue=7),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third, fourth, *wrong = run(main())
    assert isinstance(second, AlreadyQueued)
    assert second.task_id == first.id
    assert third.id != first.id
    assert fourth.id == first.id
    assert fourth.duplicate
    assert [type(each) for each in wrong] == [MessageTooLarge, TypeError, ConfigError]
    assert bench.stored() == 2


def test_one_that_the_store_refuses_costs_the_others_nothing(bench: Bench) -> None:
    bench.watched.refused = {"other"}

    async def main() -> list[Any]:
        calls = [bench.add.adelay(1, 1), bench.other.adelay(1), bench.add.adelay(2, 2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, refused, last = run(main())
    assert isinstance(refused, StoreError)
    assert first.exists()
    assert last.exists()
    assert bench.stored() == 2


def test_a_store_that_is_away_is_tried_again(bench: Bench) -> None:
    bench.watched.away = 2

    async def main() -> list[Any]:
        return await asyncio.gather(*[bench.add.adelay(i, 1) for i in range(8)])

    assert len(run(main())) == 8
    assert [len(batch) for batch in bench.watched.batches] == [8, 8, 8]
    assert bench.stored() == 8


def test_how_often_it_is_tried_is_for_each_call_to_say(bench: Bench) -> None:
    bench.watched.away = 1000

    async def main() -> list[Any]:
        calls = [
            bench.add.aapply_async((1, 1), retry=False),
            bench.add.aapply_async((1, 1), retry_policy={"max_retries": 1, "interval_start": 0}),
            bench.add.adelay(1, 1),
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = run(main())
    assert [type(each) for each in errors] == [StoreUnavailable] * 3
    assert len(set(map(id, errors))) == 3
    assert len(bench.watched.batches) == 1 + 2 + 4


def note_of(cancelled: asyncio.Task[Any]) -> str:
    with pytest.raises(asyncio.CancelledError) as raised:
        cancelled.result()
    return "\n".join(raised.value.__notes__)


def test_a_cancelled_one_says_what_holds(bench: Bench) -> None:
    async def main() -> tuple[Any, Any]:
        bench.watched.free.clear()
        sent = asyncio.ensure_future(bench.add.aapply_async((1, 1), task_id="sent"))
        await asyncio.to_thread(bench.watched.entered.wait, PATIENCE_S)
        waits = asyncio.ensure_future(bench.add.aapply_async((1, 1), task_id="waits"))
        await asyncio.sleep(0)
        for each in (sent, waits):
            each.cancel()
        await asyncio.wait([sent, waits])
        bench.watched.free.set()
        await bench.other.adelay(1)
        return sent, waits

    sent, waits = run(main())
    assert "message sent was on its way to the store" in note_of(sent)
    assert note_of(waits) == "message waits was not enqueued"
    assert bench.app.AsyncResult("sent").exists()
    assert not bench.app.AsyncResult("waits").exists()
    assert bench.stored() == 2


def test_a_cancelled_canvas_is_stored_whole_or_not_at_all(bench: Bench) -> None:
    async def main() -> Any:
        bench.watched.free.clear()
        canvas = chain(bench.add.s(1, 1), bench.other.s(), bench.other.s())
        sent = asyncio.ensure_future(canvas.aapply_async())
        await asyncio.to_thread(bench.watched.entered.wait, PATIENCE_S)
        sent.cancel()
        await asyncio.wait([sent])
        bench.watched.free.set()
        return sent

    sent = run(main())
    assert "goes on to its end all the same" in note_of(sent)
    bench.app.gathering.close()  # waits for what has begun
    assert bench.stored() == 3
