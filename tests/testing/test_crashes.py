"""The crash matrix: which tasks leave the same behind wherever their worker dies."""

import asyncio
from typing import Any

import pytest

from reliable_tasks import App, chain
from reliable_tasks.errors import StepOutcomeUnknown
from reliable_tasks.testing import NotIdle, assert_idempotent, crash_matrix
from reliable_tasks.testing.deaths import Death, WatchedStore


@pytest.fixture
def app() -> App:
    return App("crashes", broker="redis://nowhere.invalid", set_as_current=False)


@pytest.fixture
def world() -> list[Any]:
    return []


def test_a_task_without_effects_is_idempotent(app: App) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    report = crash_matrix(add, 1, kwargs={"y": 2})
    assert report.idempotent
    blind = "effects outside were not looked at: pass observe="
    assert str(report) == f"idempotent (3 crash points; {blind})"
    seen = crash_matrix(add, 1, 2, observe=list)
    assert str(seen) == "idempotent (3 crash points)"
    assert [p.where for p in report.points] == [
        "after add was claimed",
        "before the commit of add (Succeeded)",
        "after the commit of add (Succeeded)",
    ]
    assert assert_idempotent(add, 1, 2).idempotent


def test_an_effect_that_adds_up_is_found(app: App, world: list[Any]) -> None:
    @app.task(name="mail")
    def mail(to: str) -> None:
        world.append(to)

    report = crash_matrix(mail, "ann", observe=lambda: world, reset=world.clear)
    assert [bool(p.differences) for p in report.points] == [False, True, False]
    first = report.first_difference
    assert first is not None
    assert str(first) == "before the commit of mail (Succeeded) (point 2)"
    assert first.differences == ("observed ['ann', 'ann'], without a crash ['ann']",)
    assert str(report).startswith("not idempotent: mail: a crash before the commit of mail")
    with pytest.raises(AssertionError, match="1 of 3 crash points do"):
        assert_idempotent(mail, "ann", observe=lambda: world, reset=world.clear)


def test_a_step_is_surfaced_where_its_outcome_is_unknown(app: App, world: list[Any]) -> None:
    @app.task(bind=True, name="order", max_retries=0)
    def order(self: Any) -> None:
        self.step("charge", world.append, "charged")

    report = crash_matrix(order, observe=lambda: world, reset=world.clear)
    assert [p.where for p in report.points if p.differences] == [
        "after step 'charge' was begun, before its effect",
        "after step 'charge' took effect, before it was recorded",
    ]
    last = [p for p in report.points if p.differences][-1]
    assert "StepOutcomeUnknown" in "".join(last.differences)
    assert "observed" not in "".join(last.differences)


def test_a_step_whose_outcome_is_looked_up_is_idempotent(app: App) -> None:
    provider: set[str] = set()

    @app.task(bind=True, name="order")
    def order(self: Any) -> str:
        key = self.request.idempotency_key
        try:
            self.step("charge", provider.add, key)
        except StepOutcomeUnknown:
            if key not in provider:
                self.step("charge again", provider.add, key)
        return "paid"

    report = crash_matrix(order, observe=lambda: len(provider), reset=provider.clear)
    assert str(report) == "idempotent (7 crash points)"


def test_messages_that_a_body_enqueues_are_counted(app: App) -> None:
    @app.task(name="child")
    def child(x: int) -> int:
        return x

    @app.task(name="parent")
    def parent() -> None:
        child.delay(1)

    @app.task(bind=True, name="careful")
    def careful(self: Any) -> str:
        return str(child.apply_async((1,), task_id=f"{self.request.idempotency_key}-child").id)

    report = crash_matrix(parent)
    first = report.first_difference
    assert first is not None
    assert first.where == "after enqueueing child"
    assert first.differences == ("instead, or beside: child(1) ended as SUCCESS with 1",)
    assert crash_matrix(careful).idempotent


def test_a_verb_that_nobody_has_thought_of_is_a_point_as_well() -> None:
    class Store:
        def later(self) -> None: ...

        def counts(self) -> None: ...

    store = WatchedStore(Store(), kill_at=1)
    with store.watching():
        store.counts()
        with pytest.raises(Death):
            store.later()
    assert store.points == [
        "before the call later() to the store",
        "after the call later() to the store",
    ]


def test_children_run_before_their_parent_is_delivered_again(app: App, world: list[Any]) -> None:
    @app.task(name="child")
    def child() -> None:
        world.append("child")

    @app.task(bind=True, name="parent")
    def parent(self: Any) -> None:
        world.append("parent")
        child.apply_async(task_id=f"{self.request.id}-child")

    report = crash_matrix(parent, observe=lambda: world, reset=world.clear)
    first = next(p for p in report.points if p.where == "after enqueueing child")
    assert "observed ['parent', 'child', 'parent'" in first.differences[0]


def test_what_has_ended_is_not_enqueued_again_by_a_body_that_is_repeated(app: App) -> None:
    ran: list[str] = []

    @app.task(name="child")
    def child() -> None:
        ran.append("child")

    @app.task(bind=True, name="parent")
    def parent(self: Any) -> None:
        child.apply_async(task_id=f"{self.request.id}-child")

    report = crash_matrix(parent, observe=lambda: ran, reset=ran.clear)
    # The child's own death repeats its effect; its parent's does not.
    differ = [point.where for point in report.points if point.differences]
    assert differ == ["before the commit of child (Succeeded)"]


def test_progress_and_retries_are_points(app: App) -> None:
    @app.task(bind=True, name="flaky", max_retries=3)
    def flaky(self: Any) -> str:
        self.update_state(state="HALFWAY")
        if self.request.retries == 0:
            raise self.retry(countdown=3600)
        return "done"

    report = crash_matrix(flaky)
    assert report.idempotent
    words = [p.where for p in report.points]
    assert words.count("before reporting the state 'HALFWAY'") == 2
    assert "before the commit of flaky (Retry)" in words


def test_a_whole_workflow_can_be_killed_anywhere(app: App) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    report = crash_matrix(chain(add.s(1, 2), add.s(3), add.s(4)), app=app)
    assert report.idempotent
    assert len(report.points) > 6


def test_deaths_between_lines_find_what_the_commit_alone_does_not(app: App) -> None:
    account = {"balance": 10, "sent": 0}

    @app.task(name="move")
    def move() -> None:
        if not account["sent"]:
            account["balance"] -= 3
            account["sent"] = 3

    def reset() -> None:
        account.update(balance=10, sent=0)

    assert crash_matrix(move, observe=lambda: account, reset=reset).idempotent
    report = crash_matrix(move, observe=lambda: account, reset=reset, lines=True)
    (point,) = [p for p in report.points if p.differences]
    assert point.where.startswith("before line ")
    assert "'balance': 4" in point.differences[0]


def test_coroutine_bodies_die_as_well(app: App, world: list[Any]) -> None:
    async def charge() -> None:
        await asyncio.sleep(0)
        world.append("charged")

    @app.task(bind=True, name="order")
    async def order(self: Any) -> None:
        try:
            await self.step("charge", charge)
        except StepOutcomeUnknown:
            world[:] = ["charged"]

    report = crash_matrix(order, observe=lambda: world, reset=world.clear)
    assert str(report) == "idempotent (7 crash points)"


def test_a_body_that_catches_everything_dies_all_the_same(app: App, world: list[Any]) -> None:
    hooks: list[str] = []

    class Hooked(app.Task):  # type: ignore[misc, name-defined]
        def on_success(self, *_: object) -> None:
            hooks.append("success")

    @app.task(bind=True, base=Hooked, name="stubborn")
    def stubborn(self: Any) -> None:
        try:
            self.step("charge", int)
        except BaseException:  # noqa: BLE001 - what is tested
            world.append("caught")

    report = crash_matrix(stubborn, observe=lambda: None)
    assert len(report.points) == 7
    assert "caught" in world
    # One in each of the two undisturbed runs and of the seven others, and one more in the run that
    # died between the hook and the commit.
    assert len(hooks) == 2 + 7 + 1


def test_runs_that_differ_anyway_are_refused(app: App, world: list[Any]) -> None:
    @app.task(name="mail")
    def mail() -> None:
        world.append("mail")

    with pytest.raises(ValueError, match="reset="):
        crash_matrix(mail, observe=lambda: world)


def test_an_undisturbed_run_must_end(app: App) -> None:
    @app.task(bind=True, name="again", max_retries=None)
    def again(self: Any) -> None:
        raise self.retry(countdown=1)

    with pytest.raises(NotIdle):
        crash_matrix(again, max_steps=10)


def test_a_crash_that_makes_it_run_for_ever_is_a_difference(app: App) -> None:
    @app.task(bind=True, name="stuck", max_retries=None)
    def stuck(self: Any) -> None:
        try:
            self.step("charge", int)
        except StepOutcomeUnknown:
            raise self.retry(countdown=1) from None

    report = crash_matrix(stuck, max_steps=10)
    first = report.first_difference
    assert first is not None
    assert first.differences[0].startswith("it does not come to an end")


def test_what_is_no_task_is_refused_in_words() -> None:
    def charge() -> None: ...

    with pytest.raises(TypeError, match="runs a task or a signature, not <function"):
        crash_matrix(charge)  # type: ignore[arg-type]
