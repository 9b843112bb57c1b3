"""What users of once-locks have suffered: bypassed, mistaken, too strict, too lax, in chains."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import AlreadyQueued, App, chain, chord, group
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.core.message import State
from reliable_tasks.store.values import MessageQuery, ReceiptKind
from reliable_tasks.testing.worker import InlineWorker
from tests.pains.test_rows_5_to_8 import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pains.harness import Harness


def messages(harness: Harness) -> int:
    return len(harness.store.find(MessageQuery(limit=1000)))


# 9: every route ----------------------------------------------------------------------------------

ROUTES: dict[str, Callable[[Harness, Any], object]] = {
    "delay": lambda _, task: task.delay(1),
    "apply_async": lambda _, task: task.apply_async((1,), countdown=5),
    "keyword": lambda _, task: task.apply_async(kwargs={"x": 1}),
    "send_task": lambda harness, _: harness.app.send_task("once", (1,)),
    "signature": lambda _, task: task.s(1).apply_async(),
    "by name": lambda harness, _: harness.app.signature("once", (1,)).delay(),
    "enqueue_many": lambda harness, task: harness.app.enqueue_many([task.s(1)]),
}


@pytest.mark.parametrize("route", ROUTES)
def test_pain_9_no_route_bypasses_deduplication(harness: Harness, route: str) -> None:
    task = harness.task()
    holder = task.delay(1)
    with pytest.raises(AlreadyQueued) as told:
        ROUTES[route](harness, task)
    assert told.value.task_id == holder.id
    assert harness.run() == [1]


@pytest.mark.parametrize("shape", ["chain", "group", "chord header", "chord body", "link"])
def test_pain_9_parts_of_workflows_do_not_bypass_it_either(harness: Harness, shape: str) -> None:
    task = harness.task()
    holder = task.apply_async((1,), countdown=60)
    plain: Any = harness.app.task(name="plain")(lambda x=0: x)
    shapes: dict[str, Callable[[], Any]] = {
        "chain": lambda: chain(plain.s(0), task.si(1)).apply_async(),
        "group": lambda: group([task.si(1), plain.si(2)]).apply_async(),
        "chord header": lambda: chord([task.si(1), plain.si(2)])(plain.s()),
        "chord body": lambda: chord([plain.si(1), plain.si(2)])(task.si(1)),
        "link": lambda: plain.apply_async((1,), link=task.si(1)),
    }
    result = shapes[shape]()
    assert harness.run() == [1], "one body of the once-task ran"
    assert holder.successful()
    assert result.ready()
    assert result.successful()


def test_pain_9_beat_that_cannot_import_the_task_makes_no_second_one(harness: Harness) -> None:
    producer = App("elsewhere", broker="sqlite://", set_as_current=False)
    producer.store = harness.store
    harness.task()
    first, second = (producer.send_task("once", (1,)) for _ in range(2))
    assert first.id != second.id, "without the code nobody can know of the key yet"
    harness.during = lambda: InlineWorker(harness.app, harness.time).run(1000, advance=False)
    assert harness.run() == [1], "the first worker that claims them does"
    assert [producer.AsyncResult(r.id).result for r in (first, second)] == [1, 1]


def test_pain_9_a_scheduled_entry_meets_the_message_that_is_there(harness: Harness) -> None:
    task = harness.task()
    holder = task.delay(1)
    harness.app.schedules.add("often", dt.timedelta(minutes=1), "once", args=(1,))
    with pytest.raises(AlreadyQueued):
        harness.app.schedules.run_now("often")
    scheduler = Scheduler(harness.store)
    for _ in range(2):
        harness.time.advance(60)
        scheduler.step(harness.time())
    assert harness.trail("duplicate") == [holder.id] * 3, "each is noted, and the schedule goes on"
    assert harness.run() == [1]


# 10: the key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "same"),
    [
        ((1,), lambda task: task.apply_async(kwargs={"x": 1, "y": 0})),
        (((1, 2),), lambda task: task.delay((1, 2))),
        (({1: "a", (2, 3): "b"},), lambda task: task.delay({(2, 3): "b", 1: "a"})),
        (({1, 2, 3},), lambda task: task.delay({3, 2, 1})),
    ],
)
def test_pain_10_producer_and_worker_know_the_same_key(
    harness: Harness, args: tuple[Any, ...], same: Callable[[Any], object]
) -> None:
    task = harness.task()
    task.apply_async(args)
    with pytest.raises(AlreadyQueued):
        same(task)
    harness.run()
    assert harness.store.locks() == (), "the worker frees what the producer has taken"
    same(task)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), ("1",)), ((1,), (1.0,)), ((1,), (True,)), (("1_b-2",), (1, 2)), ((None,), ("None",))],
)
def test_pain_10_keys_of_different_calls_do_not_collide(
    harness: Harness, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    task = harness.task()
    task.apply_async(one)
    task.apply_async(other)
    assert len(harness.run()) == 2


def test_pain_10_a_key_of_a_defaulted_argument_is_its_default(harness: Harness) -> None:
    task = harness.task(once={"keys": ["y"]})
    task.delay(1)
    with pytest.raises(AlreadyQueued):
        task.delay(2, y=0)
    task.delay(3, y=1)


# 11: chains and chords ---------------------------------------------------------------------------


@pytest.mark.parametrize("graceful", [False, True])
def test_pain_11_two_chains_share_a_head_and_both_tails_run(
    harness: Harness, graceful: bool
) -> None:
    head = harness.task(once={"graceful": graceful})
    tail: Any = harness.app.task(name="tail")(lambda x, which: (x, which))
    one = chain(head.s(1), tail.s("one")).apply_async()
    two = chain(head.s(1), tail.s("two")).apply_async()
    assert harness.run() == [1]
    assert [one.result, two.result] == [(1, "one"), (1, "two")]
    assert [r.parent.state for r in (one, two)] == ["SUCCESS"] * 2


def test_pain_11_a_duplicate_in_a_chord_stalls_no_barrier(harness: Harness) -> None:
    part = harness.task()
    total: Any = harness.app.task(name="total")(sum)
    first = part.apply_async((5,), countdown=60)
    result = chord([part.s(5), part.s(6), part.s(6)])(total.s())
    assert harness.run() == [6, 5]
    assert result.result == 17
    assert first.result == 5


def test_pain_11_the_failure_of_the_shared_head_reaches_both_chains(harness: Harness) -> None:
    head = harness.task()
    tail: Any = harness.app.task(name="tail")(lambda x: x)
    results = [chain(head.s(1), tail.s()).apply_async() for _ in range(2)]

    def fail() -> None:
        raise ValueError("no")

    harness.during = fail
    harness.run()
    assert [r.state for r in results] == ["FAILURE"] * 2


# 12: ended messages block nothing ----------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_pain_12_an_ended_job_blocks_neither_its_key_nor_its_id(
    harness: Harness, ending: str
) -> None:
    harness.app.conf.max_deliveries = 2
    task = harness.task()
    expires = 60 if ending == "expiry" else None
    first = task.apply_async((1,), task_id="mine", expires=expires)
    assert task.apply_async((1,), task_id="mine", expires=expires, once={"graceful": True}) == first
    ENDINGS[ending](harness, first)
    assert harness.record(first), "its record is kept for its time"
    again = task.apply_async((1,), task_id="mine")
    assert again.receipt.kind == ReceiptKind.CREATED
    harness.run()
    assert harness.app.AsyncResult("mine").result == 1


def test_pain_12_a_dead_letter_is_not_replayed_into_a_held_key(harness: Harness) -> None:
    task = harness.task()
    dead = task.delay(1)
    ENDINGS["failure"](harness, dead)
    second = task.apply_async((1,), countdown=60)
    (told,) = harness.store.replay([dead.id])
    assert (told.done, told.holder) == ("held", second.id)
    harness.run()
    assert [r.done for r in harness.store.replay([dead.id])] == ["replayed"]
    assert harness.run() == [1]


# 13: one that runs and one that waits ------------------------------------------------------------


def test_pain_13_one_runs_and_one_waits(harness: Harness) -> None:
    task = harness.task(once={"scope": "until_and_while_executing"})
    receipts: list[Any] = []

    def meanwhile() -> None:
        receipts.append(task.delay(1).receipt.kind)
        with pytest.raises(AlreadyQueued) as told:
            task.delay(1)
        receipts.append(harness.record(harness.app.AsyncResult(told.value.task_id)).state)

    harness.during = meanwhile
    task.delay(1)
    assert harness.run() == [1, 1]
    assert receipts == [ReceiptKind.CREATED, State.QUEUED]


def test_pain_13_an_update_during_the_run_is_not_lost(harness: Harness) -> None:
    task = harness.task(once={"on_conflict": "rerun", "keys": []})

    def updates() -> None:
        for newest in ("second", "third"):
            assert task.delay(newest).receipt.kind == ReceiptKind.RERUN

    harness.during = updates
    task.delay("first")
    assert harness.run() == ["first", "third"], "once more, with the newest arguments"


def test_pain_13_never_two_at_once_under_while_executing(harness: Harness) -> None:
    task = harness.task(once={"scope": "while_executing", "keys": []})
    for n in range(4):
        task.delay(n)
    others: list[list[Any]] = []

    def second_worker() -> None:
        before = len(harness.done)
        InlineWorker(harness.app, harness.time).run(1000, advance=False)
        others.append(harness.done[before:])

    harness.during = second_worker
    assert harness.run() == [0, 1, 2, 3]
    assert others == [[]]


# Scope by on_conflict -----------------------------------------------------------------------------

CREATED, REPLACED, RERUN, DUPLICATE = (
    ReceiptKind.CREATED,
    ReceiptKind.REPLACED,
    ReceiptKind.RERUN,
    ReceiptKind.DUPLICATE,
)
WHILE_IT_WAITS = {
    "raise": (None, ["old"]),
    "return": (DUPLICATE, ["old"]),
    "replace": (REPLACED, ["new"]),
    "rerun": (REPLACED, ["new"]),
    "reschedule": (CREATED, ["old", "new"]),
}
WHILE_IT_RUNS = {
    "raise": (None, ["old"]),
    "return": (DUPLICATE, ["old"]),
    "replace": (None, ["old"]),
    "rerun": (RERUN, ["old", "new"]),
    "reschedule": (CREATED, ["old", "new"]),
}
FREE_WHILE_IT_RUNS = {"until_executing", "while_executing", "until_and_while_executing"}


def attempt(task: Any) -> Any:
    """Enqueue a second one; the kind of its receipt, None where that is an error."""
    try:
        return task.delay("new").receipt.kind
    except AlreadyQueued:
        return None


SCOPES = ["until_executed", "until_executing", "until_and_while_executing", "until_expired"]


@pytest.mark.parametrize("policy", WHILE_IT_WAITS)
@pytest.mark.parametrize("scope", [*SCOPES, "while_executing"])
def test_a_second_one_while_the_first_waits(harness: Harness, scope: str, policy: str) -> None:
    once = {"scope": scope, "on_conflict": policy, "keys": [], "timeout": 3600}
    task = harness.task(once=once)
    task.delay("old")
    kind, ran = WHILE_IT_WAITS[policy]
    if scope == "while_executing":
        kind, ran = CREATED, ["old", "new"]
    assert attempt(task) == kind
    assert harness.run() == ran


@pytest.mark.parametrize("policy", WHILE_IT_RUNS)
@pytest.mark.parametrize("scope", [*SCOPES, "while_executing"])
def test_a_second_one_while_the_first_runs(harness: Harness, scope: str, policy: str) -> None:
    once = {"scope": scope, "on_conflict": policy, "keys": [], "timeout": 3600}
    task = harness.task(once=once)
    kinds: list[Any] = []
    harness.during = lambda: kinds.append(attempt(task))
    task.delay("old")
    ran = harness.run()
    kind, expected = WHILE_IT_RUNS[policy]
    if scope in FREE_WHILE_IT_RUNS:
        kind, expected = CREATED, ["old", "new"]
    assert kinds == [kind]
    assert ran == expected
