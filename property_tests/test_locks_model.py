"""Locks and semaphores on both stores against one model.

Callers have clocks of their own, some behind and some ahead. Holders crash (nobody frees what they
have), renew late, repeat calls whose reply was lost. Whatever they do, the stores answer as the
model does, a place has one holder, and fencing numbers only grow.

Clock times are multiples of 5 s, far from the milliseconds that a trace takes: Redis deletes ended
records by its own clock, which the trace's clock must not notice.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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

from locks._opening import Client, open_backend
from locks._ops import Busy, Holder, Kind, Subject, Taken
from locks.statements import load_sql
from tests.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from locks._backend import Backend

__all__ = ["redis_server"]

SUBJECTS = [Subject("lock", "a"), Subject("lock", "b"), Subject("semaphore", "a", limit=2)]
SKEWS = st.sampled_from([-20_000, -5_000, 0, 5_000, 20_000])
TTLS = st.sampled_from([0, 60_000, 120_000, 180_000])
STEPS = st.sampled_from([5_000, 60_000, 120_000, 300_000])
START = 2_000_000_000_000


class Model:
    """What the verbs mean: leases by subject and owner, without fencing numbers."""

    def __init__(self) -> None:
        self.leases: dict[tuple[Kind, str], dict[str, tuple[int, int]]] = {}

    def live(self, subject: Subject, now: int) -> dict[str, tuple[int, int]]:
        leases = self.leases.setdefault((subject.kind, subject.name), {})
        return {owner: at for owner, at in leases.items() if at[1] == 0 or at[1] > now}

    def take(self, subject: Subject, owner: str, ttl_ms: int, now: int) -> tuple[int, int] | Busy:
        live = self.live(subject, now)
        if owner not in live:
            if len(live) >= subject.limit:
                ends = [until for _, until in live.values() if until]
                holder = next(iter(live)) if subject.kind == "lock" else None
                return Busy(min(ends) - now if ends else None, holder)
            live[owner] = (now, now + ttl_ms if ttl_ms else 0)
            self.leases[subject.kind, subject.name] = live
        return live[owner]

    def renew(self, subject: Subject, owner: str, ttl_ms: int, now: int) -> int | None:
        live = self.live(subject, now)
        if owner not in live:
            return None
        until = now + ttl_ms if ttl_ms else 0
        self.leases[subject.kind, subject.name][owner] = (live[owner][0], until)
        return until

    def free(self, subject: Subject, owner: str, now: int) -> bool:
        if owner not in self.live(subject, now):
            return False
        del self.leases[subject.kind, subject.name][owner]
        return True


@dataclass
class Held:
    """A lease that some caller got, whether or not it still has it."""

    subject: Subject
    owner: str
    fences: list[int]


class LockMachine(RuleBasedStateMachine):
    """Both stores and the model, step by step."""

    def __init__(self, client: Client, path: Path) -> None:
        super().__init__()
        namespace = uuid.uuid4().hex
        self.stores: list[Backend] = [
            open_backend(client, namespace),
            open_backend(path, namespace),
        ]
        self.model = Model()
        self.now = START
        self.held: list[Held] = []
        self.highest = [0, 0]
        self.owners = 0

    def _pick(self, number: int) -> Held:
        return self.held[number % len(self.held)]

    @rule(subject=st.sampled_from(SUBJECTS), ttl_ms=TTLS, skew=SKEWS)
    def take(self, subject: Subject, ttl_ms: int, skew: int) -> None:
        self.owners += 1
        owner = f"owner-{self.owners}"
        now = self.now + skew
        before = self.model.live(subject, now)
        expected = self.model.take(subject, owner, ttl_ms, now)
        answers = [store.take(subject, owner, ttl_ms, now=now) for store in self.stores]
        if isinstance(expected, Busy):
            assert answers == [expected, expected]
            return
        assert len(before) < subject.limit
        fences = []
        for store, answer in enumerate(answers):
            assert isinstance(answer, Taken)
            assert (answer.since_ms, answer.until_ms) == expected
            assert answer.fence > self.highest[store], "a fencing number that did not grow"
            self.highest[store] = answer.fence
            fences.append(answer.fence)
        self.held.append(Held(subject, owner, fences))

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 50), skew=SKEWS)
    def take_again_after_a_lost_reply(self, number: int, skew: int) -> None:
        held, now = self._pick(number), self.now + skew
        if held.owner not in self.model.live(held.subject, now):
            return
        for store, fence in zip(self.stores, held.fences, strict=True):
            answer = store.take(held.subject, held.owner, 60_000, now=now)
            assert isinstance(answer, Taken)
            assert answer.fence == fence

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 50), ttl_ms=TTLS, skew=SKEWS)
    def renew(self, number: int, ttl_ms: int, skew: int) -> None:
        held, now = self._pick(number), self.now + skew
        expected = self.model.renew(held.subject, held.owner, ttl_ms, now)
        for store in self.stores:
            assert store.renew(held.subject, held.owner, ttl_ms, now=now) == expected

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 50), skew=SKEWS)
    def free(self, number: int, skew: int) -> None:
        held, now = self._pick(number), self.now + skew
        expected = self.model.free(held.subject, held.owner, now)
        for store in self.stores:
            assert store.free(held.subject, held.owner, now=now) is expected
        if expected:
            self.held.remove(held)

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 50))
    def crash(self, number: int) -> None:
        self.held.remove(self._pick(number))

    @rule(step=STEPS)
    def let_time_pass(self, step: int) -> None:
        self.now += step

    @invariant()
    def stores_show_what_the_model_has(self) -> None:
        for subject in SUBJECTS:
            expected = self.model.live(subject, self.now)
            assert len(expected) <= subject.limit
            for store in self.stores:
                _, holders = store.read(subject, now=self.now)
                assert {one.owner: _times(one) for one in holders} == expected
                fences = [one.fence for one in holders]
                assert fences == sorted(set(fences))


def _times(holder: Holder) -> tuple[int, int]:
    return holder.since_ms, holder.until_ms


def run(server: RedisServer, path: Path, examples: int, phases: Sequence[Phase]) -> None:
    client = server.client()

    class Machine(LockMachine):
        def __init__(self) -> None:
            super().__init__(client, path)

    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                phases=phases,
                report_multiple_bugs=False,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    finally:
        client.close()


def test_stores_agree_with_the_model(redis_server: RedisServer, tmp_path: Path) -> None:
    run(redis_server, tmp_path / "locks.db", 60, [Phase.explicit, Phase.generate, Phase.shrink])


@pytest.mark.parametrize("fault", ["forgets the owner", "forgets the end", "repeats numbers"])
def test_the_model_notices_a_faulty_store(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def spoilt(package: str, name: str) -> str:
        text = load_sql(package, name)
        if fault == "forgets the owner":
            return text.replace("AND owner = :owner", "")
        if fault == "repeats numbers":
            return text.replace("value + 1", "value + 1 - (value % 2)")
        return text.replace("AND (until_ms = 0 OR until_ms > :now)", "")

    monkeypatch.setattr("locks.sqlite_backend.load_sql", spoilt)
    with pytest.raises(AssertionError):
        run(redis_server, tmp_path / "locks.db", 200, [Phase.generate])
