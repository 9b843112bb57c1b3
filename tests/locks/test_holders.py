"""Who holds a lease, who may give it back, and what becomes of it when its holder has ended."""

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from locks import AlreadyHeld, Lease, LeaseLost, Lock, LockTimeout, NotHeld, Semaphore, contexts
from locks._opening import Client
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S

Store = Client | Path
T = TypeVar("T")


def in_a_thread(call: Callable[[], T]) -> T:
    """Call in a thread of its own, which has ended afterwards."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


@contextlib.contextmanager
def held(lock: Lock | Semaphore) -> Iterator[Lease]:
    with lock as lease:
        yield lease


def test_a_block_may_end_in_another_thread(store: Store, name: str) -> None:
    for lock in (Lock(name, store), Semaphore(name, store, 1)):
        block = held(lock)
        lease = in_a_thread(block.__enter__)
        assert lock.locked()
        in_a_thread(lambda: block.__exit__(None, None, None))  # noqa: B023 - called at once
        assert lease.released
        assert not lock.locked()


def test_each_block_ends_its_own_lease_wherever_it_ends(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 3)
    blocks = [held(semaphore) for _ in range(3)]
    with ThreadPoolExecutor(1) as pool:  # one thread serves them all, as a pool's does
        leases = [pool.submit(block.__enter__).result() for block in blocks]
        for place in (0, 2):
            pool.submit(blocks[place].__exit__, None, None, None).result()
    assert [lease.released for lease in leases] == [True, False, True]
    blocks[1].__exit__(None, None, None)
    assert leases[1].released


def test_a_block_of_an_exit_stack_may_end_in_another_thread(store: Store, name: str) -> None:
    lock = Lock(name, store)
    stack = contextlib.ExitStack()
    in_a_thread(lambda: stack.enter_context(lock))
    stack.close()
    assert not lock.locked()


def test_a_lost_lease_is_taken_for_the_one_to_leave_first(store: Store, name: str) -> None:
    """Where it cannot be known which block ends, none that is held may be given away."""
    lock = Lock(name, store, ttl=0.05, auto_renew=False)
    lost, late = contextlib.ExitStack(), contextlib.ExitStack()
    gone = in_a_thread(lambda: lost.enter_context(lock))
    eventually(lambda: not lock.locked(), "the end of the first lease")
    lock._options = Lock(name, store)._options
    kept = in_a_thread(lambda: late.enter_context(lock))
    with pytest.raises(LeaseLost, match=f"fence {gone.fence}"):
        lost.close()
    assert kept.valid
    late.close()
    assert kept.released


def test_a_block_that_never_began_is_told(store: Store, name: str) -> None:
    with pytest.raises(NotHeld, match="never begun"):
        Lock(name, store).__exit__(None, None, None)


def test_a_pools_thread_does_not_hold_what_it_took_for_another_caller(
    store: Store, name: str
) -> None:
    lock = Lock(name, store)
    block = held(lock)
    first, second = contextvars.copy_context(), contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(first.run, block.__enter__).result()
        with pytest.raises(LockTimeout):
            pool.submit(second.run, lock.acquire, 0.01).result()
        with pytest.raises(AlreadyHeld):
            pool.submit(first.run, lock.acquire, 0.01).result()
        with pytest.raises(AlreadyHeld):  # a context that came of the first one
            pool.submit(first.run, lambda: contextvars.copy_context().run(lock.acquire)).result()
    block.__exit__(None, None, None)


def test_a_second_object_of_one_name_is_known_for_the_same_lock(store: Store, name: str) -> None:
    with Lock(name, store) as lease:
        with pytest.raises(AlreadyHeld, match="would wait for itself"):
            Lock(name, store).acquire()
        assert Lock(name, store).try_acquire() is None
        with Lock(name, store, namespace="another"):
            assert lease.valid
    with Lock(name, store):
        pass


def test_what_ends_by_itself_may_be_waited_for(store: Store, name: str) -> None:
    Lock(name, store, ttl=0.1, auto_renew=False).acquire()
    Lock(name, store).acquire(timeout=PATIENCE_S).release()


def test_a_thread_that_ended_is_not_renewed(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Lease] = []
    lock = Lock(name, store, ttl=0.3, on_lost=told.append)
    with caplog.at_level(logging.WARNING, "locks"):
        lease = in_a_thread(lock.acquire)
        assert lease.lost.wait(PATIENCE_S), "renewed for a thread that is gone"
        eventually(lambda: told == [lease], "the call of on_lost")
    assert "is not renewed any more: the thread that took it has ended" in caplog.text
    with pytest.raises(LeaseLost, match="the thread that took it has ended without giving it back"):
        lease.check()
    Lock(name, store).acquire(timeout=PATIENCE_S).release()


def test_what_a_thread_that_ended_has_taken_anybody_may_release(store: Store, name: str) -> None:
    lock = Lock(name, store)
    lease = in_a_thread(lock.acquire)
    lock.release()
    assert lease.released
    with pytest.raises(NotHeld):
        lock.release()


def test_what_a_living_thread_has_taken_another_may_not(store: Store, name: str) -> None:
    lock = Lock(name, store)
    lease = lock.acquire()
    with pytest.raises(NotHeld, match="pass the lease"):
        in_a_thread(lock.release)
    assert lease.valid
    lock.release()


def test_an_open_block_is_renewed_though_its_thread_has_ended(store: Store, name: str) -> None:
    block = held(Lock(name, store, ttl=0.3))
    lease = in_a_thread(block.__enter__)
    first = lease.expires_at
    eventually(lambda: (lease.expires_at - first).total_seconds() > 0.3, "renewals")
    block.__exit__(None, None, None)
    assert lease.released


def test_a_block_that_nobody_can_leave_is_not_renewed(store: Store, name: str) -> None:
    lease = in_a_thread(lambda: contextlib.ExitStack().enter_context(Lock(name, store, ttl=0.3)))
    assert lease.lost.wait(PATIENCE_S)


def test_who_renews_a_lease_goes_on_with_it(store: Store, name: str) -> None:
    lock = Lock(name, store, ttl=0.6)
    lease = in_a_thread(lock.acquire)
    lease.renew()
    first = lease.expires_at
    eventually(lambda: (lease.expires_at - first).total_seconds() > 0.6, "renewals")
    with pytest.raises(NotHeld):
        in_a_thread(lock.release)
    with pytest.raises(AlreadyHeld):
        lock.acquire()
    lock.release()


def test_a_generator_that_was_dropped_leaves_its_block(store: Store, name: str) -> None:
    lock = Lock(name, store)

    def work() -> Iterator[int]:
        with lock:
            yield 1

    def begin() -> None:
        next(work())

    in_a_thread(begin)
    assert not lock.locked()


def test_threads_that_share_a_lock_leave_their_own_blocks(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 2)
    first_in, second_out = threading.Event(), threading.Event()
    valid: list[bool] = []

    def long() -> None:
        with semaphore as lease:
            first_in.set()
            second_out.wait(PATIENCE_S)
            valid.append(lease.valid)

    thread = threading.Thread(target=long)
    thread.start()
    first_in.wait(PATIENCE_S)
    with semaphore:
        pass
    second_out.set()
    thread.join()
    assert valid == [True]


def test_the_end_of_what_ran_in_a_context_ends_its_leases(
    store: Store, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker's thread lives on when a body has ended that forgot its lock."""
    kept = Lock(f"{name}-kept", store, ttl=0.3).acquire()
    gone, handed = Lock(name, store, ttl=0.3), Lock(f"{name}-handed", store, ttl=0.3)
    block = held(Lock(f"{name}-block", store, ttl=0.3))
    context = contextvars.copy_context()
    lease, passed = context.run(gone.acquire), context.run(handed.acquire)
    in_block = context.run(block.__enter__)
    contexts.has_ended(context, "the body")
    passed.renew()
    Lock(name, store).acquire(timeout=PATIENCE_S).release()
    assert not lease.valid
    assert "the body has ended without giving it back" in caplog.text
    eventually(lambda: passed.valid and kept.valid and in_block.valid, "those that go on")
    block.__exit__(None, None, None)
    kept.release()
    passed.release()
