import ctypes
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

import locks
from locks import Lease, LeaseLost, Lock, LockStoreError, _renewer
from locks._opening import Client
from tests.locks.test_processes import program, read_line
from tests.locks.waiting import eventually
from tests.patience import PATIENCE_S

Store = Client | Path


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("locks-")]


def test_pain_40_a_body_that_never_yields_keeps_its_lease(store: Store, name: str) -> None:
    with Lock(name, store, ttl=0.9) as lease:
        end = time.monotonic() + 1.3
        while time.monotonic() < end:
            pass
        lease.check()


def test_pain_40_a_body_that_holds_the_gil_hears_of_its_loss(store: Store, name: str) -> None:
    """A C function that never lets go of the interpreter starves every thread of it."""
    lease = Lock(name, store, ttl=0.2).acquire()
    ctypes.PyDLL(None).usleep(400_000)
    assert not lease.valid
    with pytest.raises(LeaseLost):
        lease.check()
    with pytest.raises(LeaseLost):
        lease.release()


def test_pain_40_a_hung_holder_is_not_renewed_for_ever(store: Store, name: str) -> None:
    told: list[Lease] = []
    lock = Lock(name, store, ttl=0.9, max_hold=1.2, on_lost=told.append)
    lease = lock.acquire()
    assert lease.lost.wait(PATIENCE_S)
    eventually(lambda: told, "the call of on_lost")
    assert told == [lease]
    held = time.monotonic() - lease._holding.started
    assert 1.19 < held < 4
    with pytest.raises(LeaseLost, match="max_hold, 1200 ms"):
        lease.check()
    other = Lock(name, store).acquire(timeout=PATIENCE_S)
    with pytest.raises(LeaseLost, match="max_hold"):
        lease.release()
    assert other.valid
    other.release()


def test_max_hold_bounds_the_first_ttl_and_explicit_renewals(store: Store, name: str) -> None:
    lease = Lock(name, store, ttl=30, max_hold=0.2, auto_renew=False).acquire()
    assert (lease.expires_at - lease.acquired_at).total_seconds() == 0.2
    lease.renew(ttl=60)
    assert (lease.expires_at - lease.acquired_at).total_seconds() <= 0.21
    eventually(lambda: not lease.valid, "max_hold")
    with pytest.raises(LeaseLost, match="max_hold"):
        lease.renew()


def test_the_body_hears_of_a_loss_while_it_runs(store: Store, name: str) -> None:
    lease = Lock(name, store, ttl=0.9).acquire()
    locks.free(store, name, lease.token)
    assert lease.lost.wait(PATIENCE_S), "nobody told the body"
    with pytest.raises(LeaseLost, match="no such lease"):
        lease.check()


def test_a_store_that_cannot_be_asked_costs_the_lease_at_its_end_and_not_before(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(name, store, ttl=0.3)
    lease = lock.acquire()

    def fails(*args: object, **options: object) -> int | None:
        raise LockStoreError("no answer")

    monkeypatch.setattr(lock._backend, "renew", fails)
    assert lease.lost.wait(PATIENCE_S)
    assert time.monotonic() >= lease._holding.deadline
    with pytest.raises(LeaseLost, match="could not be renewed in time: no answer"):
        lease.check()


def test_a_renewal_that_hangs_does_not_keep_the_loss_from_the_body(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(name, store, ttl=0.2)
    lease = lock.acquire()
    go_on = threading.Event()

    def hangs(*args: object, **options: object) -> int | None:
        go_on.wait(PATIENCE_S)
        return None

    monkeypatch.setattr(lock._backend, "renew", hangs)
    try:
        assert lease.lost.wait(PATIENCE_S)
        with pytest.raises(LeaseLost, match="no answer"):
            lease.check()
    finally:
        go_on.set()


def test_one_failed_renewal_is_made_good(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock(name, store, ttl=0.9)
    renew = lock._backend.renew
    calls: list[float] = []

    def fails_once(*args: object, **options: object) -> int | None:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise LockStoreError("no answer")
        return renew(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(lock._backend, "renew", fails_once)
    with lock as lease:
        eventually(lambda: len(calls) > 2, "renewals after the failed one")
        assert lease.valid


def test_a_callback_that_fails_leaves_the_loss_told(store: Store, name: str) -> None:
    def fails(lease: Lease) -> None:
        raise ZeroDivisionError

    lease = Lock(name, store, ttl=0.1, max_hold=0.1, on_lost=fails).acquire()
    assert lease.lost.wait(PATIENCE_S)


def test_no_thread_is_left_after_a_release(store: Store, name: str) -> None:
    with Lock(name, store, ttl=0.6) as lease:
        first = lease.expires_at
        eventually(lambda: lease.expires_at > first, "a renewal")

    eventually(lambda: not threads(), "the end of the renewing threads")


def test_without_auto_renew_there_is_no_thread(store: Store, name: str) -> None:
    eventually(lambda: not threads(), "the end of the threads of earlier leases")
    with Lock(name, store, auto_renew=False):
        assert not threads()


def test_one_thread_renews_all(store: Store, name: str) -> None:
    leases = [Lock(f"{name}-{number}", store, ttl=6).acquire() for number in range(300)]
    first = [lease.expires_at for lease in leases]
    seen = []

    def all_renewed() -> bool:
        seen.append(len(threads()))
        return all(lease.expires_at > at for lease, at in zip(leases, first, strict=True))

    eventually(all_renewed, "a renewal of each", 30)
    assert max(seen) <= 3, "one that plans, and what asks the store, of which a slow call makes two"
    for lease in leases:
        lease.release()


def test_calls_that_hang_hold_up_no_other_lease(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of the same store nor of another."""
    stuck = Lock(f"{name}-stuck", store, ttl=0.3)
    go_on = threading.Event()

    def hangs(*args: object, **options: object) -> int | None:
        go_on.wait(PATIENCE_S)
        return None

    monkeypatch.setattr(stuck._backend, "renew", hangs)
    told: list[Lease] = []
    try:
        lost = stuck.acquire()
        kept = Lock(name, store, ttl=6, on_lost=told.append).acquire()
        assert lost.lost.wait(PATIENCE_S)
        first = kept.expires_at
        eventually(lambda: kept.expires_at > first, "a renewal past the call that hangs")
        assert kept.valid
        kept.release()
    finally:
        go_on.set()
    assert not told


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_client_or_callback_that_raises_anything_ends_no_thread_of_ours(
    store: Store, name: str, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*args: object, **options: object) -> NoReturn:
        raise raised

    bad = Lock(f"{name}-bad", store, ttl=0.3, on_lost=raises)
    monkeypatch.setattr(bad._backend, "renew", raises)
    with Lock(name, store, ttl=0.9) as kept:
        lost = bad.acquire()
        assert lost.lost.wait(PATIENCE_S)
        with pytest.raises(LeaseLost, match="its renewal failed"):
            lost.check()
        first = kept.expires_at
        eventually(lambda: kept.expires_at > first, "a renewal of the other")


def test_a_callback_that_hangs_holds_up_no_other_lease(store: Store, name: str) -> None:
    go_on = threading.Event()

    def hangs(lease: Lease) -> None:
        go_on.wait(PATIENCE_S)

    try:
        with Lock(name, store, ttl=0.9) as kept:
            for number in range(3):
                lock = Lock(
                    f"{name}-{number}", store, ttl=0.1, max_hold=0.1,
                    on_lost=hangs,
                )  # fmt: skip
                assert lock.acquire().lost.wait(PATIENCE_S)
            first = kept.expires_at
            eventually(lambda: kept.expires_at > first, "a renewal of the other")
    finally:
        go_on.set()


def test_many_leases_that_were_released_are_not_kept(store: Store, name: str) -> None:
    lock = Lock(name, store, ttl=3600)
    for _ in range(80):
        lock.acquire().release()
    assert not _renewer._renewer._renewals
    eventually(lambda: not threads(), "the end of the thread")
    assert not _renewer._renewer._heap


def test_a_fork_made_in_c_renews_by_itself(address: str, name: str) -> None:
    with program("fork_in_c", address, name, "0.6") as forking:
        assert read_line(forking) == "the child's lease is renewed"
        assert forking.wait(PATIENCE_S) == 0
