"""Failures, revocation, replay and crashes: every handle ends, and errbacks run once."""

from typing import Any

import pytest

from reliable_tasks import chain, chord, group
from reliable_tasks.errors import ChordError, Ignore, MessageTooLarge, TaskRevokedError
from tests.canvas.helpers import Harness, Open, add_tasks


@pytest.fixture
def fired(harness: Harness) -> list[Any]:
    """What the errbacks `tell`, `tell_id` and `tell_nothing` were called with."""
    seen = list[Any]()

    @harness.app.task(name="tell")
    def tell(request: Any, exc: BaseException, traceback: str, *more: Any) -> None:
        seen.append((request.id, type(exc).__name__, str(exc), "boom" in traceback, *more))

    @harness.app.task(name="tell_id")
    def tell_id(failed_id: str) -> None:
        seen.append(failed_id)

    @harness.app.task(name="tell_nothing")
    def tell_nothing() -> None:
        seen.append("nothing")

    return seen


def test_a_failure_along_a_chain_is_every_later_ones(t: Any, harness: Harness) -> None:
    result = chain(t.echo.si(1), t.boom.s(), t.echo.s(), t.echo.s())()
    with pytest.raises(ValueError, match="boom 1"):
        result.get()
    assert result.state == "FAILURE"
    assert result.parent.parent.parent.get() == 1
    assert harness.ran == {"echo": 1, "boom": 1}


def test_a_failed_member_is_a_chord_error_of_the_body(t: Any, harness: Harness) -> None:
    result = chord([t.echo.si(1), t.boom.si(2), t.echo.si(3)], t.xsum.s())()
    with pytest.raises(ValueError, match="boom 2") as member:
        result.get()
    with pytest.raises(ChordError, match="boom 2") as caught:
        result.get(follow_parents=False)
    assert member.value.__notes__[-1] == str(caught.value)
    with pytest.raises(ChordError, match="boom 2"):
        harness.app.AsyncResult(result.id).get()
    failed = result.parent[1]
    assert failed.id in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)
    harness.drain()
    assert harness.unended() == []
    assert harness.ran["xsum"] == 0
    assert result.parent.failed()
    assert result.parent.completed_count() == 2


def test_a_failure_in_nested_canvases_ends_all_of_them(t: Any, harness: Harness) -> None:
    inner = chord([t.boom.si("in"), t.echo.si(1)], t.xsum.s())
    result = (group(inner, t.echo.si(2)) | group(t.echo.s(), t.echo.s()) | t.echo.s())()
    with pytest.raises(ValueError, match="boom in"):
        result.get()
    harness.drain()
    assert harness.unended() == []


@pytest.mark.parametrize("errback", ["tell", "tell_id", "tell_nothing"])
def test_an_errback_is_called_as_its_function_asks(
    t: Any, harness: Harness, fired: list[Any], errback: str
) -> None:
    sig = harness.app.tasks[errback].s()
    result = t.boom.apply_async((1,), link_error=sig)
    harness.drain()
    expected = {
        "tell": (result.id, "ValueError", "boom 1", True),
        "tell_id": result.id,
        "tell_nothing": "nothing",
    }
    assert fired == [expected[errback]]
    assert harness.unended() == []


def test_an_errback_of_a_chain_runs_once_for_the_part_that_failed(
    t: Any, harness: Harness, fired: list[Any]
) -> None:
    line = chain(t.echo.si(1), t.boom.s(), t.echo.s(), t.echo.s())
    line.link_error(harness.app.tasks["tell"].s("more"))
    result = line()
    harness.drain()
    assert fired == [(result.parent.parent.id, "ValueError", "boom 1", True, "more")]
    assert harness.unended() == []


def test_equal_errbacks_of_a_workflow_are_one(t: Any, harness: Harness, fired: list[Any]) -> None:
    tell_id = harness.app.tasks["tell_id"]
    parts = [t.boom.si(i).on_error(tell_id.s()) for i in range(5)]
    chord(parts, t.xsum.s().on_error(tell_id.s()))()
    harness.drain()
    assert len(fired) == 1
    assert harness.unended() == []


def test_an_errback_of_a_chord_is_its_bodys(t: Any, harness: Harness, fired: list[Any]) -> None:
    knot = chord([t.boom.si(1), t.echo.si(2)], t.xsum.s())
    knot.link_error(harness.app.tasks["tell_id"].s())
    result = knot()
    harness.drain()
    assert fired == [result.id]


def test_an_errback_that_is_not_needed_ends_too(t: Any, harness: Harness, fired: list[Any]) -> None:
    tell_id = harness.app.tasks["tell_id"]
    line = chain(t.echo.si(1), t.echo.s()).on_error(tell_id.s() | t.echo.s())
    assert line().get() == 1
    harness.drain()
    assert fired == []
    assert harness.unended() == []


def test_an_errback_may_be_a_canvas(t: Any, harness: Harness, fired: list[Any]) -> None:
    tell, tell_id = harness.app.tasks["tell"], harness.app.tasks["tell_id"]
    both = group(tell.s("a") | tell_id.si("after"), tell_id.s())
    result = t.boom.apply_async((1,), link_error=both)
    harness.drain()
    assert sorted(fired, key=str) == sorted(
        [(result.id, "ValueError", "boom 1", True, "a"), "after", result.id], key=str
    )


def test_revoking_a_chains_part_ends_what_is_before_and_after_it(t: Any, harness: Harness) -> None:
    result = chain(t.echo.si(1), t.echo.s(), t.echo.s())()
    result.parent.revoke()
    with pytest.raises(TaskRevokedError):
        result.get()
    assert result.state == "REVOKED"
    harness.drain()
    assert not harness.ran
    assert harness.unended() == []


def test_revoking_a_group_stops_what_has_not_started(t: Any, harness: Harness) -> None:
    result = (t.echo.si(0) | group(t.echo.s(), t.echo.s() | t.echo.s()))()
    result.revoke()
    harness.drain()
    assert harness.ran == {}
    assert harness.unended() == []
    assert result.ready()
    assert not result.failed()


def test_an_expired_part_ends_the_workflow(t: Any, harness: Harness, fired: list[Any]) -> None:
    late = t.echo.s().set(countdown=100, expires=10)
    result = chain(t.echo.si(1), late, t.echo.s())
    result.link_error(harness.app.tasks["tell_id"].s())
    handle = result()
    with pytest.raises(TaskRevokedError):
        handle.get()
    harness.drain()
    assert fired == [handle.parent.id]


def test_an_ignored_part_ends_the_workflow_and_is_no_failure_itself(
    t: Any, harness: Harness, fired: list[Any]
) -> None:
    @harness.app.task(name="skip")
    def skip() -> None:
        raise Ignore

    skip.apply_async(link_error=harness.app.tasks["tell_nothing"].s())
    harness.drain()
    assert fired == []
    result = chain(skip.si(), t.echo.s()).on_error(harness.app.tasks["tell_id"].s())()
    with pytest.raises(TaskRevokedError):
        result.get()
    harness.drain()
    assert fired == [result.id]
    assert harness.unended() == []


def test_replaying_a_dead_letter_revives_its_dependants(t: Any, harness: Harness) -> None:
    mended = list[str]()

    @harness.app.task(name="shaky")
    def shaky(value: int) -> int:
        if not mended:
            raise ValueError("not yet")
        return value

    result = chord([t.echo.si(1), shaky.si(2)], t.xsum.s() | t.add.s(10))()
    with pytest.raises(ValueError, match="not yet"):
        result.get()
    with pytest.raises(ChordError, match="not yet"):
        result.parent.get(follow_parents=False)
    mended.append("yes")
    dead = next(record.id for record in harness.records() if record.task == "shaky")
    assert harness.store.replay([dead])[0].done == "replayed"
    again = harness.app.AsyncResult(result.id)
    assert again.get() == 13


def test_a_crash_runs_a_part_again_and_commits_it_once(t: Any, harness: Harness) -> None:
    result = chord([t.echo.si(i) for i in range(4)], t.xsum.s())()
    claims = harness.claim()
    died = harness.session
    outcomes = [harness.run(claim) for claim in claims]  # it ran, and died before it could commit
    harness.open_session()
    harness.store.reap(dead=[died])
    assert result.get() == 6
    assert harness.ran == {"echo": 8, "xsum": 1}
    from reliable_tasks.store.values import Commit, Verdict  # noqa: PLC0415

    late = [
        Commit(id=c.id, fence=c.fence, outcome=o) for c, o in zip(claims, outcomes, strict=True)
    ]
    assert set(harness.store.exchange(died, late, None).verdicts) == {Verdict.STALE}
    harness.drain()
    assert harness.ran["xsum"] == 1


def test_results_that_are_ignored_flow_on_all_the_same(t: Any, harness: Harness) -> None:
    @harness.app.task(name="quiet", ignore_result=True)
    def quiet(x: int) -> int:
        return x + 1

    result = chain(quiet.s(1), quiet.s(), t.echo.s())()
    assert result.get() == 3
    assert result.parent.get() is None
    assert chord([quiet.si(1), quiet.si(2)], t.xsum.s())().get() == 5


def test_results_keep_their_types_whatever_wrote_them(open_bench: Open) -> None:
    harness = open_bench(accept_content=("json", "msgpack"))
    values = [1, "text", (1, 2), {3}, None, b"\x80", 2.5, True, 2**40, {"key": [1]}]

    @harness.app.task(name="packed", serializer="msgpack")
    def packed(at: int) -> Any:
        return values[at]

    @harness.app.task(name="plain")
    def plain(value: Any) -> Any:
        return value

    @harness.app.task(name="check")
    def check(found: Any) -> bool:
        assert found == values + values
        assert list(map(type, found)) == list(map(type, values)) * 2
        return True

    parts = [packed.si(at) | plain.s() | plain.s() for at in range(len(values))]
    others = [plain.si(value) | packed.s() for value in range(len(values))]
    assert chord(parts + others, check.s())().get() is True


def test_a_body_for_which_too_much_was_left_fails_in_words(open_bench: Open) -> None:
    harness = open_bench(max_input_bytes=2**20)
    t = add_tasks(harness.app)

    @harness.app.task(name="large")
    def large() -> str:
        return "x" * 700_000

    result = chord([large.si(), large.si()], t.echo.s())()
    with pytest.raises(MessageTooLarge, match=r"parents of echo.*1,400,004.*1,048,576.*max_input"):
        result.get()
    harness.drain()
    assert harness.unended() == []
