"""Who may give a lock back, and who is told that it would wait for itself, against a model.

Threads take turns with some objects of one lock; blocks are left wherever, threads end and leave
behind what they had. Whatever they do: one holder at a time, nothing that is not the caller's or a
gone one's is released, no wait for itself, and what was left is free.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from locks import AlreadyHeld, Lease, Lock, LockError, LockTimeout, NotHeld
from locks._primitive import Primitive
from locks._taker import Taker

T = TypeVar("T")
THREADS = st.integers(0, 1)
OBJECTS = st.integers(0, 1)


@dataclass
class Held:
    """What the model knows of the one lease: its object, and its thread (None: that is gone)."""

    lease: Lease
    by: int
    thread: int | None
    block: "contextlib.AbstractContextManager[Lease] | None" = None


class HolderMachine(RuleBasedStateMachine):
    """Threads that are pools of one, so that they may end, and objects of one lock."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "locks.db"
        self.locks = [Lock("x", path, ttl=600) for _ in range(2)]
        self.threads = [ThreadPoolExecutor(1) for _ in range(2)]
        self.held: Held | None = None

    def run(self, thread: int, call: Callable[[], T]) -> T:
        return self.threads[thread].submit(call).result()

    @contextlib.contextmanager
    def block(self, by: int) -> Iterator[Lease]:
        with self.locks[by] as lease:
            yield lease

    def take(self, thread: int, call: Callable[[], Lease]) -> Lease | None:
        """Take it as the model says, or fail as it says."""
        if self.held is None:
            return self.run(thread, call)
        own = self.held.thread == thread
        with pytest.raises(AlreadyHeld if own else LockTimeout):
            self.run(thread, call)
        return None

    @rule(thread=THREADS, by=OBJECTS)
    def acquire(self, thread: int, by: int) -> None:
        lease = self.take(thread, lambda: self.locks[by].acquire(timeout=0))
        if lease is not None:
            self.held = Held(lease, by, thread)

    @precondition(lambda self: self.held is None)
    @rule(thread=THREADS, by=OBJECTS)
    def enter(self, thread: int, by: int) -> None:
        block = self.block(by)
        lease = self.take(thread, block.__enter__)
        assert lease is not None
        self.held = Held(lease, by, thread, block)

    @precondition(lambda self: self.held is not None and self.held.block is not None)
    @rule(thread=THREADS)
    def leave(self, thread: int) -> None:
        held, self.held = self.held, None
        assert held is not None
        assert held.block is not None
        self.run(thread, lambda: held.block and held.block.__exit__(None, None, None))
        assert held.lease.released

    @rule(thread=THREADS, by=OBJECTS)
    def release(self, thread: int, by: int) -> None:
        held = self.held
        if held is not None and held.block is None and held.by == by:
            if held.thread in {thread, None}:
                self.run(thread, self.locks[by].release)
                assert held.lease.released
                self.held = None
                return
        elif held is not None and held.block is not None:
            return  # in a block, it is for the block to end it
        with pytest.raises(NotHeld):
            self.run(thread, self.locks[by].release)

    @precondition(lambda self: self.held is not None and self.held.block is None)
    @rule(thread=THREADS)
    def go_on_with(self, thread: int) -> None:
        assert self.held is not None
        self.run(thread, self.held.lease.renew)
        self.held.thread = thread

    @rule(thread=THREADS)
    def end(self, thread: int) -> None:
        self.threads[thread].shutdown()
        self.threads[thread] = ThreadPoolExecutor(1)
        if self.held is not None and self.held.thread == thread:
            self.held.thread = None

    @invariant()
    def the_store_has_what_the_model_has(self) -> None:
        owner = self.locks[0].owner()
        assert owner == (None if self.held is None else self.held.lease.token)
        if self.held is not None:
            given_up = self.held.thread is None and self.held.block is None
            assert (self.held.lease._holding.abandoned() is not None) is given_up

    def teardown(self) -> None:
        if self.held is not None:
            self.held.lease.release()
        for thread in self.threads:
            thread.shutdown()
        self.folder.cleanup()


def run(
    examples: int, phases: tuple[Phase, ...] = tuple(Phase), *, derandomize: bool = False
) -> None:
    run_state_machine_as_test(
        HolderMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=derandomize,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_holders_agree_with_the_model() -> None:
    run(25)


def waits(self: Taker, waiter: Taker, token: str) -> bool:
    return False


def anybody(self: Taker, other: Taker) -> bool:
    return True


def never(self: Taker, *, in_block: bool) -> str | None:
    return None


def first(self: Primitive[Lease], frame: object) -> None:
    return None


@pytest.mark.parametrize(
    ("owner", "verb", "broken"),
    [
        (Taker, "keeps_waiting", waits),
        (Taker, "is_same", anybody),
        (Taker, "is_gone", lambda self: False),
        (Taker, "ending", never),
        (Primitive, "_block_of", first),
    ],
    ids=["no refusal", "anybody's", "nobody is gone", "nothing is abandoned", "no block is found"],
)
def test_the_model_notices_a_safeguard_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, owner: type, verb: str, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr(owner, verb, broken)
    with pytest.raises((AssertionError, LockError, pytest.fail.Exception)):
        run(300, (Phase.generate,), derandomize=True)
