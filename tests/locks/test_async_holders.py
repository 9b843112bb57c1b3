"""As test_holders, for tasks and event loops."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from locks import AlreadyHeld, AsyncLease, AsyncLock, AsyncSemaphore, LeaseLost, Lock, NotHeld
from locks._opening import Client
from tests.locks.conftest import AsyncStores
from tests.locks.waiting import eventually, eventually_async


@contextlib.asynccontextmanager
async def held(lock: AsyncLock | AsyncSemaphore) -> AsyncIterator[AsyncLease]:
    async with lock as lease:
        yield lease


def test_a_wait_that_is_bounded_from_outside_can_be_released(
    open_async: AsyncStores, name: str
) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            lease = await asyncio.wait_for(lock.acquire(), 5)
            await lock.release()
            assert lease.released
            assert not await lock.locked()
            with pytest.raises(NotHeld):
                await lock.release()

    asyncio.run(main())


def test_a_block_may_end_in_another_task(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store:
            semaphore = AsyncSemaphore(name, store, 2)
            blocks = [held(semaphore), held(semaphore)]
            leases = [await asyncio.create_task(block.__aenter__()) for block in blocks]
            await asyncio.create_task(blocks[0].__aexit__(None, None, None))
            assert [lease.released for lease in leases] == [True, False]
            await blocks[1].__aexit__(None, None, None)
            assert leases[1].released
            with pytest.raises(NotHeld, match="never begun"):
                await semaphore.__aexit__(None, None, None)

    asyncio.run(main())


def test_a_loss_is_told_by_a_block_that_ends_in_another_task(
    open_async: AsyncStores, name: str
) -> None:
    async def main() -> None:
        async with open_async() as store:
            began, go_on = asyncio.Event(), asyncio.Event()
            block = held(AsyncLock(name, store, ttl=0.1, max_hold=0.1))
            leases: list[AsyncLease] = []

            async def enter() -> None:
                leases.append(await block.__aenter__())
                began.set()
                await go_on.wait()

            entering = asyncio.create_task(enter())
            await began.wait()
            with pytest.raises(asyncio.CancelledError):
                await entering
            with pytest.raises(LeaseLost, match="max_hold"):
                await block.__aexit__(None, None, None)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

    asyncio.run(main())


def test_a_second_object_of_one_name_is_known_for_the_same_lock(
    open_async: AsyncStores, store: Client | Path, name: str
) -> None:
    async def main() -> None:
        async with open_async() as own, AsyncLock(name, own):
            with pytest.raises(AlreadyHeld, match="this task"):
                await AsyncLock(name, own).acquire()
            with pytest.raises(AlreadyHeld, match="this thread"):
                Lock(name, store).acquire()  # it would block the loop that is to release it

    asyncio.run(main())

    async def beneath() -> None:
        async with open_async() as own:
            await AsyncLock(name, own).acquire()

    with Lock(name, store), pytest.raises(AlreadyHeld):
        asyncio.run(beneath())


def test_a_closed_loop_is_not_renewed(
    open_async: AsyncStores, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[AsyncLease] = []

    async def main() -> AsyncLease:
        async with open_async() as store:
            return await AsyncLock(name, store, ttl=0.3, on_lost=told.append).acquire()

    with caplog.at_level(logging.WARNING, "locks"):
        lease = asyncio.run(main())
        eventually(lambda: told == [lease], "the loss")
    assert "is not renewed any more: the event loop that it was taken in is closed" in caplog.text
    assert not lease.valid


def test_a_task_that_failed_is_not_renewed(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store:
            leases: list[AsyncLease] = []

            async def fails() -> None:
                leases.append(await AsyncLock(name, store, ttl=0.3).acquire())
                raise ZeroDivisionError

            async def returns() -> None:
                leases.append(await AsyncLock(f"{name}-2", store, ttl=0.3).acquire())

            await asyncio.gather(fails(), returns(), return_exceptions=True)
            failed, kept = sorted(leases, key=lambda lease: len(lease.name))
            await asyncio.wait_for(failed.lost.wait(), 10)
            with pytest.raises(LeaseLost, match="the task that took it has failed"):
                failed.check()
            first = kept.expires_at
            await eventually_async(lambda: kept.expires_at > first, "a renewal")
            await kept.release()

    asyncio.run(main())


def test_an_acquire_that_is_cancelled_again_and_again_leaves_nothing_taken(
    open_async: AsyncStores, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            asked, answer = asyncio.Event(), asyncio.Event()
            take = lock._backend.take

            async def slow(*args: object, **options: object) -> object:
                async def applied() -> object:
                    asked.set()
                    await answer.wait()
                    return await take(*args, **options)  # type: ignore[arg-type]

                # What was sent is applied, whatever becomes of who sent it.
                return await asyncio.shield(asyncio.ensure_future(applied()))

            monkeypatch.setattr(lock._backend, "take", slow)
            task = asyncio.create_task(lock.acquire())
            await asked.wait()
            for _ in range(3):
                task.cancel()
                for _ in range(3):
                    await asyncio.sleep(0)
            answer.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others)
            assert not await lock.locked()

    asyncio.run(main())


def test_one_thread_renews_for_all_tasks(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store:
            leases = [
                await AsyncLock(f"{name}-{number}", store, ttl=3).acquire() for number in range(20)
            ]
            ours = [one for one in threading.enumerate() if one.name.startswith("locks-")]
            assert len(ours) <= 2, ours
            for lease in leases:
                await lease.release()

    asyncio.run(main())
