"""Random workflows under crashes, duplicate deliveries and revocations.

Whatever the nesting: the result is that of eager evaluation, handles are nested as the canvas is,
every message commits once, what waits for a failure never runs, and every handle ends.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from property_tests.model.model import Model
from reliable_tasks import App, chain, chord, group
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.results.groups import GroupResult
from reliable_tasks.store import values as v
from tests.canvas.helpers import Harness
from tests.fakes import FakeClock
from tests.store.factories import FACTORIES

calls = st.tuples(
    st.just("call"), st.booleans(), st.sampled_from(["fine", "fine", "fine", "fine", "fails"])
)
fine_calls = st.tuples(st.just("call"), st.booleans(), st.just("fine"))


def canvases(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Plans of canvases, as plain tuples."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.just("chain"), st.lists(inner, min_size=1, max_size=4)),
            st.tuples(st.just("group"), st.lists(inner, max_size=4)),
            st.tuples(st.just("chord"), st.lists(inner, max_size=3), inner),
        ),
        max_leaves=14,
    )


faults = st.lists(st.sampled_from(["none", "none", "die", "twice", "some"]), max_size=12).filter(
    lambda drawn: drawn.count("die") + drawn.count("some") <= 4  # one more could bury a message
)


class Workbench(Harness):
    """A harness whose worker dies, repeats itself and forgets, as it is told."""

    def __init__(self, kind: str, troubles: list[str]) -> None:
        clock = FakeClock()
        options = v.StoreOptions(audit="all")
        self._opened = None if kind == "model" else FACTORIES[kind](options, clock)
        store: Any = self._opened.__enter__() if self._opened else Model(clock, options)
        super().__init__(store, clock)
        self.limit = 3
        self._troubles = iter(troubles)
        self._late = list[tuple[str, list[v.Commit]]]()
        self.labels = itertools.count()
        self.note, self.fails = add_tasks(self.app)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.__exit__(None, None, None)

    def work(self) -> bool:
        trouble = next(self._troubles, "none")
        if trouble not in {"die", "twice", "some"}:
            return super().work()
        claims = self.claim()
        commits = [v.Commit(id=c.id, fence=c.fence, outcome=self.run(c)) for c in claims]
        if trouble == "die":
            self._late.append((self.session, commits))
            died, _ = self.session, self.open_session()
            self.store.reap(dead=[died])
        elif trouble == "twice":
            for _ in range(2):
                verdicts = self.store.exchange(self.session, commits, None).verdicts
                assert set(verdicts) <= {v.Verdict.COMMITTED}
        else:
            self.store.exchange(self.session, commits[:1], None)
            died, _ = self.session, self.open_session()
            self.store.reap(dead=[died])
            self._late.append((died, commits[1:]))
        return bool(claims)

    def late_commits(self) -> None:
        """What the dead had in hand arrives after all."""
        for session, commits in self._late:
            if commits:
                verdicts = self.store.exchange(session, commits, None).verdicts
                assert set(verdicts) == {v.Verdict.STALE}

    def build(self, plan: Any) -> Any:
        """The canvas of a plan."""
        if plan[0] == "call":
            task = self.note if plan[2] == "fine" else self.fails
            sig = task.s(next(self.labels))
            return sig.set(immutable=plan[1])
        parts = [self.build(part) for part in plan[1]]
        if plan[0] == "chord":
            return chord(group(parts, app=self.app), self.build(plan[2]), app=self.app)
        made = {"chain": chain, "group": group}[plan[0]]
        return made(parts, app=self.app)


def add_tasks(app: App) -> tuple[Any, Any]:
    @app.task(name="note")
    def note(*values: Any) -> list[Any]:
        return list(values)

    @app.task(name="fails", throws=(ValueError,))
    def fails(*values: Any) -> None:
        raise ValueError(values[-1])

    return note, fails


def handles(result: Any) -> Iterator[Any]:
    """A handle, its members and all before it, in an order that the canvas alone decides."""
    todo, seen = [result], set[int]()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        todo.append(each.parent)
        if isinstance(each, GroupResult):
            todo.extend(each.results)


def shape(value: Any) -> Any:
    return [shape(each) for each in value] if isinstance(value, GroupResult) else None


def shape_of_plan(plan: Any) -> Any:
    if plan[0] == "group":
        return [shape_of_plan(part) for part in plan[1]]
    if plan[0] == "call":
        return None
    if plan[0] == "chord":
        return shape_of_plan(plan[2])
    parts = list(parts_of_chain(plan))
    while len(parts) > 1 and parts[-1] == ("group", []):  # left out: it hides no result
        parts.pop()
    return shape_of_plan(parts[-1])


def parts_of_chain(plan: Any) -> Iterator[Any]:
    """The parts of a chain, those of chains in it in their place."""
    for part in plan[1]:
        yield from parts_of_chain(part) if part[0] == "chain" else (part,)


def commits_of(harness: Harness) -> Counter[str]:
    rows: tuple[v.AuditRow, ...] = harness.store.audit(v.AuditQuery(limit=10_000))
    endings = {"succeeded", "failed", "revoked"}
    return Counter(row.id for row in rows if row.event in endings)


on_stores = pytest.mark.parametrize("kind", ["model", "memory"])


@on_stores
@given(plan=canvases(fine_calls), troubles=faults)
def test_the_result_is_that_of_eager_evaluation(kind: str, plan: Any, troubles: list[str]) -> None:
    harness = Workbench(kind, troubles)
    try:
        canvas = harness.build(plan)
        eager = canvas.apply()
        result = canvas.apply_async()
        assert result.get() == eager.get()
        assert shape(result) == shape(eager) == shape_of_plan(plan)
        harness.drain()
        harness.late_commits()
        assert harness.unended() == []
        assert set(commits_of(harness).values()) <= {1}
        assert len(commits_of(harness)) == len(harness.records())
    finally:
        harness.close()


@on_stores
@given(plan=canvases(calls), troubles=faults)
def test_failures_end_what_waits_for_them_and_nothing_else(
    kind: str, plan: Any, troubles: list[str]
) -> None:
    harness = Workbench(kind, troubles)
    try:
        canvas = harness.build(plan)
        eager = canvas.apply()
        result = canvas.apply_async()
        harness.drain()
        harness.late_commits()
        assert harness.unended() == []
        assert set(commits_of(harness).values()) <= {1}
        for stored, expected in zip(handles(result), handles(eager), strict=True):
            assert stored.ready()
            assert stored.successful() == expected.successful()
            assert stored.failed() == expected.failed()
            if stored.successful():
                assert stored.get() == expected.get()
    finally:
        harness.close()


@on_stores
@given(
    plan=canvases(calls),
    troubles=faults,
    rounds=st.integers(0, 4),
    chosen=st.lists(st.integers(0, 30), max_size=3),
    whole=st.booleans(),
)
def test_every_handle_ends_when_parts_are_revoked(
    kind: str, plan: Any, troubles: list[str], rounds: int, chosen: list[int], whole: bool
) -> None:
    harness = Workbench(kind, troubles)
    try:
        result = harness.build(plan).apply_async()
        for _ in range(rounds):
            harness.work()
        every = list(handles(result))
        if whole:
            result.revoke()
        for at in chosen:
            every[at % len(every)].revoke()
        harness.drain()
        harness.late_commits()
        assert {record.state for record in harness.records()} <= FINAL_STATES
        assert all(handle.ready() for handle in every)
        assert set(commits_of(harness).values()) <= {1}
    finally:
        harness.close()


@on_stores
@given(plan=canvases(calls))
def test_an_errback_runs_once_if_and_only_if_something_failed(kind: str, plan: Any) -> None:
    harness = Workbench(kind, [])
    try:
        told = list[str]()

        @harness.app.task(name="tell")
        def tell(failed_id: str) -> None:
            told.append(failed_id)

        canvas = chain(harness.build(plan), app=harness.app).on_error(tell.s())
        result = canvas.apply_async()
        harness.drain()
        assert harness.unended() == []
        failed = [record.id for record in harness.records() if record.state == State.FAILED]
        assert len(told) == bool(failed)
        assert set(told) <= set(failed)
        assert result.ready()
        canvas.apply()
        assert len(told) == 2 * bool(failed)
    finally:
        harness.close()
