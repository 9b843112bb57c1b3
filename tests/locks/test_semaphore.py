import threading
from pathlib import Path

import pytest
import redis

import locks
from locks import LeaseLost, LockError, LockTimeout, Semaphore, keys
from locks._opening import Client, open_backend
from locks._ops import Subject, Taken
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S

Store = Client | Path


def test_as_many_as_the_limit_hold_it(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 2)
    with semaphore as one, semaphore as two:
        assert one.fence < two.fence
        assert semaphore.locked()
        assert semaphore.owners() == (one.token, two.token)
        assert semaphore.try_acquire() is None
        with pytest.raises(LockTimeout, match="semaphore"):
            semaphore.acquire(timeout=0.02)
    assert not semaphore.locked()
    assert semaphore.owners() == ()


def test_each_lease_ends_by_itself(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 2, ttl=0.1, auto_renew=False)
    dead = semaphore.acquire()
    alive = Semaphore(name, store, 2, ttl=600, auto_renew=False).acquire()
    later = Semaphore(name, store, 2).acquire(timeout=PATIENCE_S)
    assert later.fence > alive.fence
    with pytest.raises(LeaseLost):
        dead.release()
    assert semaphore.owners() == (alive.token, later.token)
    with pytest.raises(LeaseLost):
        dead.renew()
    later.release()
    alive.release()


def test_at_most_limit_threads_are_inside(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 3)
    inside: list[int] = []
    seen: list[int] = []
    fences: list[int] = []

    def work() -> None:
        for _ in range(5):
            with semaphore as lease:
                inside.append(1)
                seen.append(len(inside))
                fences.append(lease.fence)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fences) == len(set(fences)) == 30
    assert max(seen) <= 3


def test_every_free_place_wakes_a_waiter(store: Store, name: str) -> None:
    semaphore = Semaphore(name, store, 2)
    held = [semaphore.acquire(), semaphore.acquire()]
    both_in = threading.Barrier(3)

    def wait() -> None:
        with semaphore:
            both_in.wait(PATIENCE_S)

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    if not isinstance(store, Path):
        eventually(lambda: locks.inspect(store, name)[0].waiters == 2, "two waiters")
    for lease in held:
        lease.release()
    both_in.wait(1.5)
    for thread in threads:
        thread.join()


def test_a_lock_and_a_semaphore_of_one_name_do_not_meet(store: Store, name: str) -> None:
    with locks.Lock(name, store), Semaphore(name, store, 1):
        assert [info.kind for info in locks.inspect(store, name)] == ["lock", "semaphore"]


@pytest.mark.parametrize("limit", [0, True, "3", 1.5, None])
def test_a_limit_that_is_none_is_refused(store: Store, name: str, limit: object) -> None:
    with pytest.raises(LockError, match=f"limit is {limit!r}"):
        Semaphore(name, store, limit)  # type: ignore[arg-type]


def test_a_place_without_end_outlasts_the_others(store: Store, name: str) -> None:
    """The records live as long as the longest lease: one that a timed one came before, or after."""
    backend, subject = open_backend(store, "locks"), Subject("semaphore", name, 3)
    for owner, ttl_ms in (("first", 50), ("endless", 0), ("last", 50)):
        assert isinstance(backend.take(subject, owner, ttl_ms), Taken)
    assert backend.renew(subject, "last", 60) is not None
    if isinstance(store, redis.Redis):
        for key in (keys.semaphore("locks", name), keys.semaphore_data("locks", name)):
            assert store.ttl(key) == -1, "it would take the endless lease along"
    eventually(lambda: len(backend.read(subject)[1]) == 1, "the end of the others")
    (holder,) = backend.read(subject)[1]
    assert (holder.owner, holder.until_ms) == ("endless", 0)
    assert backend.free(subject, "endless")
    if isinstance(store, redis.Redis):
        assert store.ttl(keys.semaphore("locks", name)) != -1


def test_inspect_tells_who_holds_what_until_when(store: Store, name: str) -> None:
    assert locks.inspect(store) == []
    lock = locks.Lock(name, store, ttl=20).acquire()
    place = Semaphore(f"{name}-s", store, 3, ttl=40).acquire()
    found = locks.inspect(store)
    assert [(info.kind, info.name, info.owner, info.fence) for info in found] == [
        ("lock", name, lock.token, lock.fence),
        ("semaphore", f"{name}-s", place.token, place.fence),
    ]
    assert [(info.since, info.until) for info in found] == [
        (lock.acquired_at, lock.expires_at),
        (place.acquired_at, place.expires_at),
    ]
    lock.release()
    assert locks.free(store, f"{name}-s", place.token, kind="semaphore")
    assert locks.inspect(store) == []
    with pytest.raises(LeaseLost):
        place.release()
