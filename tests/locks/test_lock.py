import datetime as dt
import os
import threading
import time
from pathlib import Path

import pytest

import locks
from locks import (
    AlreadyHeld,
    LeaseLost,
    Lock,
    LockError,
    LockStoreError,
    LockTimeout,
    NotHeld,
)
from locks._opening import Client
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S

Store = Client | Path


def test_a_lock_is_held_and_released(store: Store, name: str) -> None:
    lock = Lock(name, store)
    assert not lock.locked()
    assert lock.owner() is None
    with lock as lease:
        assert lease.valid
        assert lock.locked()
        assert lock.owner() == lease.token
        lease.check()
    assert lease.released
    assert not lock.locked()
    with pytest.raises(LeaseLost, match="released"):
        lease.check()


def test_the_lease_tells_its_times(store: Store, name: str) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    with Lock(name, store, ttl=dt.timedelta(seconds=20)) as lease:
        assert before < lease.acquired_at < before + dt.timedelta(seconds=5)
        assert lease.expires_at - lease.acquired_at == dt.timedelta(seconds=20)
        assert lease.name == name


def test_fences_grow_across_releases_expiry_and_objects(store: Store, name: str) -> None:
    fences = []
    for _ in range(3):
        with Lock(name, store) as lease:
            fences.append(lease.fence)
    lost = Lock(name, store, ttl=0.02, auto_renew=False).acquire()
    fences.append(lost.fence)
    fences.append(Lock(name, store).acquire(timeout=PATIENCE_S).fence)
    assert fences == sorted(set(fences))


def test_only_one_holder_at_a_time(store: Store, name: str) -> None:
    with Lock(name, store):
        other = Lock(name, store)
        taken: list[object] = []
        thread = threading.Thread(target=lambda: taken.append(other.try_acquire()))
        thread.start()
        thread.join()
        assert taken == [None]


def test_a_timeout_says_what_was_waited_for(store: Store, name: str) -> None:
    holder = Lock(name, store).acquire()
    errors: list[LockTimeout] = []

    def wait() -> None:
        try:
            Lock(name, store).acquire(timeout=dt.timedelta(milliseconds=30))
        except LockTimeout as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert [str(error) for error in errors] == [f"lock {name!r} was not free within 0.03 s"]
    assert isinstance(errors[0], TimeoutError)
    holder.release()


def test_waiters_get_the_lock_soon_after_its_release(store: Store, name: str) -> None:
    lock = Lock(name, store)
    lease = lock.acquire()
    times: list[float] = []

    def wait() -> None:
        with lock:
            times.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    if not isinstance(store, Path):
        eventually(lambda: locks.inspect(store, name)[0].waiters == 5, "five waiters")
    released = time.monotonic()
    lease.release()
    for thread in threads:
        thread.join()
    assert len(times) == 5
    assert max(times) - released < 1.0, "waiters woke by their timeout, not by the release"


def test_pain_5_a_dead_holders_lock_is_free_after_its_time(store: Store, name: str) -> None:
    dead = Lock(name, store, ttl=0.1, auto_renew=False).acquire()
    lease = Lock(name, store).acquire(timeout=PATIENCE_S)
    assert lease.fence > dead.fence
    assert not dead.valid
    lease.release()


def test_pain_6_a_lock_outlives_its_time_to_live_while_it_is_held(store: Store, name: str) -> None:
    with Lock(name, store, ttl=0.6) as lease:
        first = lease.expires_at
        eventually(lambda: lease.expires_at > first + dt.timedelta(seconds=0.6), "renewals")
        lease.check()


def test_pain_8_nobody_frees_or_renews_anothers_lock(store: Store, name: str) -> None:
    late = Lock(name, store, ttl=0.05, auto_renew=False).acquire()
    owner = Lock(name, store).acquire(timeout=PATIENCE_S)
    with pytest.raises(LeaseLost, match=f"fence {late.fence}"):
        late.renew()
    with pytest.raises(LeaseLost):
        late.release()
    assert Lock(name, store).owner() == owner.token
    assert not locks.free(store, name, "somebody")
    owner.release()


def test_renew_extends_and_can_shorten(store: Store, name: str) -> None:
    lock = Lock(name, store, ttl=10, auto_renew=False)
    lease = lock.acquire()
    lock.renew(ttl=60)
    assert lease.expires_at - lease.acquired_at >= dt.timedelta(seconds=60)
    lease.renew(ttl=0.02)
    eventually(lambda: not lease.valid, "the end of a shortened lease")
    with pytest.raises(LeaseLost, match="ended before it was renewed"):
        lease.check()


def test_a_lock_is_not_reentrant_and_says_so(store: Store, name: str) -> None:
    lock = Lock(name, store)
    with lock:
        with pytest.raises(AlreadyHeld, match="would wait for itself"):
            lock.acquire()
        with pytest.raises(AlreadyHeld):
            lock.try_acquire()
    with lock:
        assert lock.locked()


def test_release_without_a_lease_is_refused(store: Store, name: str) -> None:
    with pytest.raises(NotHeld, match="this thread holds no lease"):
        Lock(name, store).release()


def test_another_thread_may_release_with_the_lease(store: Store, name: str) -> None:
    lock = Lock(name, store)
    lease = lock.acquire()
    thread = threading.Thread(target=lock.release, args=(lease,))
    thread.start()
    thread.join()
    assert lease.released
    assert not lock.locked()


def test_releasing_twice_does_nothing_more(store: Store, name: str) -> None:
    lock = Lock(name, store)
    lease = lock.acquire()
    lease.release()
    with lock:
        lease.release()
        assert lock.locked()


def test_a_lost_lease_is_told_at_the_end_of_the_body(store: Store, name: str) -> None:
    with pytest.raises(LeaseLost, match=name), Lock(name, store) as lease:
        assert locks.free(store, name, lease.token)


def test_the_bodys_own_error_is_not_masked_by_a_lost_lease(store: Store, name: str) -> None:
    def body() -> None:
        with Lock(name, store) as lease:
            assert locks.free(store, name, lease.token)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        body()
    assert any("is lost" in note for note in caught.value.__notes__)


def test_namespaces_do_not_meet(store: Store, name: str) -> None:
    with Lock(name, store, namespace="one"), Lock(name, store, namespace="two"):
        assert [info.name for info in locks.inspect(store, namespace="one")] == [name]


@pytest.mark.parametrize("odd", ["a b", "é", "{x}", "a:b:*?[", "'; DROP TABLE locks; --"])
def test_names_may_have_any_letters(store: Store, odd: str) -> None:
    with Lock(odd, store) as lease:
        assert [(info.name, info.fence) for info in locks.inspect(store)] == [(odd, lease.fence)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 0}, "ttl is 0"),
        ({"ttl": dt.timedelta(seconds=-1)}, "ttl"),
        ({"ttl": float("inf")}, "finite"),
        ({"ttl": 1e12}, "at most 36500 days"),
        ({"ttl": None}, "ttl is None; it must be a timedelta or a number"),
        ({"ttl": "30"}, "ttl is '30'"),
        ({"ttl": True}, "ttl is True"),
        ({"ttl": float("nan")}, "ttl is nan"),
        ({"max_hold": dt.timedelta.max}, "max_hold is .* at most 36500 days"),
        ({"on_lost": 3}, "on_lost is 3; it must be a function"),
        ({"max_hold": -1}, "max_hold"),
        ({"namespace": "a{b"}, "braces"),
        ({"namespace": ""}, "non-empty"),
        ({"namespace": 5}, "namespace 5"),
        ({"namespace": "a\ud800"}, "half of a character"),
        ({"name": ""}, "1 to 1024"),
        ({"name": "a\ud800"}, "half of a character"),
    ],
)
def test_wrong_arguments_are_named(store: Store, options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"name": "x", "store": store, **options}
    with pytest.raises(LockError, match=message):
        Lock(**arguments)  # type: ignore[arg-type]


def test_the_longest_ttl_is_kept(store: Store, name: str) -> None:
    lock = Lock(name, store, ttl=dt.timedelta(days=36_500))
    with lock as lease:
        assert lease.expires_at - lease.acquired_at == dt.timedelta(days=36_500)
        lease.renew()
        assert lock.owner() == lease.token
        assert not lease.lost.wait(0.1)


def test_wrong_arguments_of_calls_are_named(store: Store, name: str) -> None:
    with pytest.raises(LockError, match="timeout is '5'; it must be"):
        Lock(name, store).acquire(timeout="5")  # type: ignore[arg-type]
    with pytest.raises(LockError, match="timeout is nan"):
        Lock(name, store).acquire(timeout=float("nan"))
    for length in (10**400, 10**5000):
        with pytest.raises(LockError, match="timeout is too large a number; it must be at most"):
            Lock(name, store).acquire(timeout=length)
        with pytest.raises(LockError, match="ttl is too large a number"):
            Lock(name, store, ttl=length)
    with (
        Lock(name, store) as lease,
        pytest.raises(LockError, match="ttl is 1000000000000"),
    ):
        lease.renew(ttl=1e12)
    with pytest.raises(LockError, match="1 to 1024"):
        locks.inspect(store, "")
    with pytest.raises(LockError, match="kind is 'lok'; it must be one of lock, semaphore"):
        locks.free(store, name, "me", kind="lok")  # type: ignore[arg-type]
    with pytest.raises(LockError, match="owner is 5"):
        locks.free(store, name, 5)  # type: ignore[arg-type]


def test_a_store_that_is_none_is_named() -> None:
    with pytest.raises(LockError, match="neither a redis-py client nor the path"):
        Lock("x", 42)  # type: ignore[arg-type]


def test_a_release_that_failed_can_be_repeated(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(name, store)
    lease = lock.acquire()
    with monkeypatch.context() as patch:

        def fails(*args: object, **options: object) -> bool:
            raise LockStoreError("no answer")

        patch.setattr(lock._backend, "free", fails)
        with pytest.raises(LockStoreError):
            lock.release()
    assert lock.owner() == lease.token
    lock.release()
    assert lease.released
    assert not lock.locked()


def test_what_a_failed_acquire_may_have_taken_is_freed(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(name, store)
    take = lock._backend.take

    def reply_lost(*args: object, **options: object) -> object:
        take(*args, **options)  # type: ignore[arg-type]
        raise LockStoreError("no answer")

    monkeypatch.setattr(lock._backend, "take", reply_lost)
    with pytest.raises(LockStoreError):
        lock.acquire(timeout=1)
    with pytest.raises(LockStoreError):
        lock.try_acquire()
    assert not lock.locked()


def test_a_fork_neither_holds_nor_frees_its_parents_lock(store: Store, name: str) -> None:
    lock = Lock(name, store, auto_renew=False)
    with lock as lease:
        child = os.fork()
        if child == 0:
            os._exit(_in_the_child(lock, lease))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert lock.owner() == lease.token
        lease.renew()


def _in_the_child(lock: Lock, lease: locks.Lease) -> int:
    """0 where a fork sees what it should, else the number of what is wrong."""
    try:
        lease.release()
    except LockError as error:
        if "fork" not in str(error):
            return 1
    else:
        return 2
    if lease.valid:
        return 3
    lock.__exit__(None, None, None)
    if lock.try_acquire() is not None:
        return 4
    return 0 if lock.owner() == lease.token else 5
