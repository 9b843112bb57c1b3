import asyncio
import threading
import time
from pathlib import Path

import pytest
import redis

import locks
from locks import (
    AlreadyHeld,
    AsyncLease,
    AsyncLock,
    AsyncSemaphore,
    LeaseLost,
    Lock,
    LockError,
    LockTimeout,
    NotHeld,
    keys,
)
from locks._opening import Client, open_async_backend, open_backend
from locks._ops import Subject
from tests.locks.conftest import AsyncStores
from tests.locks.waiting import eventually, eventually_async


def test_a_lock_is_held_and_released(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            async with lock as lease:
                assert lease.valid
                assert await lock.owner() == lease.token
                with pytest.raises(AlreadyHeld, match="this task"):
                    await lock.acquire()
            assert not await lock.locked()
            with pytest.raises(NotHeld, match="this task"):
                await lock.release()
            again = await lock.try_acquire()
            assert again is not None
            assert again.fence > lease.fence
            await lock.renew(ttl=60)
            await lock.release()
            await again.release()

    asyncio.run(main())


def test_tasks_take_turns(open_async: AsyncStores, name: str) -> None:
    fences: list[int] = []
    inside: list[str] = []

    async def work(lock: AsyncLock) -> None:
        for _ in range(4):
            async with lock as lease:
                assert not inside
                inside.append(lease.token)
                fences.append(lease.fence)
                await asyncio.sleep(0)
                inside.clear()

    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            await asyncio.gather(*(work(lock) for _ in range(4)))

    asyncio.run(main())
    assert len(fences) == 16
    assert fences == sorted(set(fences))


def test_a_timeout_is_told(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store, AsyncLock(name, store):
            with pytest.raises(LockTimeout):
                await asyncio.create_task(AsyncLock(name, store).acquire(timeout=0.05))
            assert await AsyncLock(name, store).try_acquire() is None

    asyncio.run(main())


def test_pain_42_a_blocked_event_loop_keeps_its_lease(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store, AsyncLock(name, store, ttl=0.9) as lease:
            threading.Event().wait(1.3)  # the event loop stands still
            lease.check()
            await asyncio.sleep(0)
            lease.check()

    asyncio.run(main())


def test_a_lost_lease_cancels_the_body_and_is_told(
    open_async: AsyncStores, store: Client | Path, name: str
) -> None:
    async def main() -> None:
        async with open_async() as own:
            lock = AsyncLock(name, own, ttl=0.3)
            leases: list[AsyncLease] = []

            async def body() -> None:
                async with lock as lease:
                    leases.append(lease)
                    await asyncio.to_thread(locks.free, store, name, lease.token)
                    await asyncio.sleep(30)

            with pytest.raises(LeaseLost, match=name):
                await body()
            assert leases[0].lost.is_set()
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            async with lock:
                await asyncio.sleep(0)

    asyncio.run(main())


def test_an_outer_cancellation_stays_one_even_if_the_lease_is_lost_too(
    open_async: AsyncStores, store: Client | Path, name: str
) -> None:
    async def main() -> None:
        async with open_async() as own:
            holding = asyncio.Event()

            async def body() -> None:
                async with AsyncLock(name, own) as lease:
                    await asyncio.to_thread(locks.free, store, name, lease.token)
                    holding.set()
                    await asyncio.sleep(30)

            task = asyncio.create_task(body())
            await holding.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert any("is lost" in note for note in caught.value.__notes__)

    asyncio.run(main())


def test_a_lease_taken_without_a_with_tells_by_its_event(
    open_async: AsyncStores, name: str
) -> None:
    told: list[AsyncLease] = []

    async def main() -> None:
        async with open_async() as store:
            lease = await AsyncLock(
                name, store, ttl=0.1, max_hold=0.1, on_lost=told.append
            ).acquire()
            await asyncio.wait_for(lease.lost.wait(), 5)
            assert not lease.valid
            await eventually_async(lambda: told == [lease], "the callback")

    asyncio.run(main())


def test_pain_39_a_release_that_is_cancelled_still_frees_the_lock(
    open_async: AsyncStores, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            lease = await lock.acquire()
            asked, answer = asyncio.Event(), asyncio.Event()
            free = lock._backend.free

            async def slow(*args: object, **options: object) -> bool:
                asked.set()
                await answer.wait()
                return await free(*args, **options)  # type: ignore[arg-type]

            monkeypatch.setattr(lock._backend, "free", slow)
            task = asyncio.create_task(lease.release())
            await asked.wait()
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done(), "the cancellation did not wait for the store"
            answer.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert lease.released
            assert not await lock.locked()

    asyncio.run(main())


def test_pain_39_an_acquire_that_is_cancelled_leaves_nothing_taken(
    open_async: AsyncStores, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store, ttl=0.3)
            taken, answer = asyncio.Event(), asyncio.Event()
            take = lock._backend.take

            async def slow(*args: object, **options: object) -> object:
                reply = await take(*args, **options)  # type: ignore[arg-type]
                taken.set()
                await answer.wait()
                return reply

            monkeypatch.setattr(lock._backend, "take", slow)
            task = asyncio.create_task(lock.acquire())
            await taken.wait()
            task.cancel()
            answer.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not await lock.locked()
            assert lock._held == []

    asyncio.run(main())


def test_a_waiter_that_is_cancelled_does_not_hold_up_the_others(
    open_async: AsyncStores, name: str
) -> None:
    async def main() -> None:
        async with open_async() as store:
            lock = AsyncLock(name, store)
            lease = await lock.acquire()
            first = asyncio.create_task(lock.acquire())
            second = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            released = time.monotonic()
            await lease.release()
            await (await second).release()
            assert time.monotonic() - released < 1.0

    asyncio.run(main())


def test_a_semaphore_counts(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store:
            semaphore = AsyncSemaphore(name, store, 2)
            async with semaphore as one, semaphore as two:
                assert one.fence < two.fence
                assert await semaphore.locked()
                assert await semaphore.owners() == (one.token, two.token)
                assert await semaphore.try_acquire() is None
            assert not await semaphore.locked()

    asyncio.run(main())


def test_sync_and_asyncio_locks_are_one(
    open_async: AsyncStores, store: Client | Path, name: str
) -> None:
    async def main() -> None:
        async with open_async() as own, AsyncLock(name, own) as lease:
            assert Lock(name, store).owner() == lease.token

    asyncio.run(main())


def test_all_names_are_told_however_many(
    open_async: AsyncStores, store: Client | Path, name: str
) -> None:
    """Redis tells them a page at a time, with the keys of others among them."""
    count = 1200 if not isinstance(store, Path) else 60
    if isinstance(store, redis.Redis):
        pipeline = store.pipeline(transaction=False)
        for number in range(count):
            pipeline.hset(keys.lock("locks", f"{name}-{number}"), "owner", "me")
            pipeline.set(f"{{locks}}:other:{number}", "1")
        pipeline.execute()
    else:
        backend = open_backend(store, "locks")
        for number in range(count):
            backend.take(Subject("lock", f"{name}-{number}"), "me", 60_000)

    async def main() -> None:
        async with open_async() as own:
            found = [one async for one in open_async_backend(own, "locks").names()]
            assert sorted(found) == sorted(open_backend(store, "locks").names())
            assert len(found) == count
            assert set(found) == {("lock", f"{name}-{number}") for number in range(count)}

    asyncio.run(main())


def test_every_task_may_wait_at_once(tmp_path: Path, name: str) -> None:
    """More waiters than there are threads to run them in."""

    async def main() -> None:
        lock = AsyncLock(name, tmp_path / "locks.db", auto_renew=False)

        async def work() -> int:
            async with lock as lease:
                return lease.fence

        fences = await asyncio.wait_for(asyncio.gather(*(work() for _ in range(40))), 30)
        assert len(set(fences)) == 40

    asyncio.run(main())


def test_clients_of_the_wrong_colour_are_named(client: Client) -> None:
    with pytest.raises(LockError, match="would block the event loop"):
        AsyncLock("x", client)

    async def main() -> None:
        import redis.asyncio  # noqa: PLC0415 - used only here

        async with redis.asyncio.Redis() as own:
            with pytest.raises(LockError, match="is an asyncio client"):
                Lock("x", own)

    asyncio.run(main())


def test_threads_that_renew_end_with_the_lease(open_async: AsyncStores, name: str) -> None:
    async def main() -> None:
        async with open_async() as store, AsyncLock(name, store, ttl=0.6) as lease:
            first = lease.expires_at
            await eventually_async(lambda: lease.expires_at > first, "a renewal")

    asyncio.run(main())
    eventually(
        lambda: not any(one.name.startswith("locks-") for one in threading.enumerate()),
        "the end of the renewing threads",
    )
