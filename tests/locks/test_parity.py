"""The sync and asyncio classes offer the same, but for `await`."""

import inspect
import subprocess
import sys

import pytest

import locks
from locks import AsyncLease, AsyncLock, AsyncSemaphore, Lease, Lock, Semaphore

GUARDING = {"guard", "take_cancellation"}  # asyncio's way to tell the body, called by `async with`


def signatures(kind: type) -> dict[str, str]:
    names = {name for name in dir(kind) if not name.startswith("_")} | {"__init__"}
    found = {}
    for name in names - GUARDING:
        member = inspect.getattr_static(kind, name)
        text = "property" if isinstance(member, property) else str(inspect.signature(member))
        found[name] = text.replace("Async", "").replace("locks.lease.", "")
    return found


@pytest.mark.parametrize(
    ("sync", "asynchronous"),
    [(Lock, AsyncLock), (Semaphore, AsyncSemaphore)],
)
def test_public_signatures_agree(sync: type, asynchronous: type) -> None:
    assert signatures(sync) == signatures(asynchronous)


def test_leases_offer_the_same() -> None:
    ours, theirs = signatures(Lease), signatures(AsyncLease)
    del ours["__init__"], theirs["__init__"]
    assert ours == theirs


def test_the_public_names_are_sorted_and_documented() -> None:
    assert sorted(locks.__all__) == locks.__all__
    assert all(getattr(locks, name).__doc__ for name in locks.__all__)


def test_importing_locks_loads_no_driver_and_nothing_of_reliable_tasks() -> None:
    code = (
        "import sys, locks; heavy = {'redis', 'apsw', 'reliable_tasks'} & set(sys.modules); "
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
