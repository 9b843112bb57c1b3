"""The story of a message, told from its record and its audit rows."""

import msgspec

from reliable_tasks.audit.history import HistoryEntry as Entry
from reliable_tasks.audit.history import message_history as history
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditEvent as Ev
from reliable_tasks.store.values import AuditRow, Record


def row(at_ms: int, event: str, **fields: object) -> AuditRow:
    detail = fields.pop("detail", None)
    known = {"attempt": 1, "delivery": 1, "worker": "w@h", **fields}
    encoded = msgspec.json.encode(detail) if detail else b""
    return msgspec.convert(
        {"seq": str(at_ms), "at_ms": at_ms, "event": event, "id": "m", "detail": encoded, **known},
        AuditRow,
    )


def record(state: State, **fields: object) -> Record:
    usual = {"id": "m", "task": "shop.add", "queue": "mail", "priority": 0, "enqueued_ms": 1000}
    return msgspec.convert({**usual, "state": state, **fields}, Record)


RETRY = {
    "exception": "ValueError",
    "message": "boom",
    "delay": 2.0,
    "next_at": 5000,
    "max_retries": 3,
    "policy": "exponential",
    "reason": "retry 1 of 3",
}


def events(lines: list[Entry]) -> list[str]:
    return [line.event for line in lines]


def test_a_success_after_a_retry_is_told_from_beginning_to_end() -> None:
    lines = history(
        record(
            State.SUCCEEDED,
            attempt=2,
            delivery=1,
            fence=9,
            worker="w@h",
            first_started_ms=2000,
            started_ms=5100,
            ended_ms=5600,
        ),
        [row(3000, Ev.RETRY, fence=4, detail=RETRY)],
    )
    assert lines == [
        Entry(1000, "enqueued", "shop.add on queue 'mail'"),
        Entry(2000, "started", "attempt 1"),
        Entry(
            3000,
            "retry",
            "attempt 1 raised ValueError: boom; next in 2 s (at 1970-01-01T00:00:05.000Z); "
            "at most 3 retries; by exponential; retry 1 of 3",
        ),
        Entry(5100, "started", "attempt 2 on w@h (fence 9)"),
        Entry(5600, "succeeded", "attempt 2, 0.5 s after its start"),
    ]


def test_a_retry_that_waits_is_not_confused_with_the_attempt_that_ran() -> None:
    lines = history(
        record(State.SCHEDULED, attempt=2, fence=4, worker="w@h", started_ms=2000, due_ms=5000),
        [row(3000, Ev.RETRY, fence=4, detail=RETRY)],
    )
    assert lines[1] == Entry(2000, "started", "attempt 1 on w@h (fence 4)")
    assert lines[-1] == Entry(3000, "now", "attempt 2 is scheduled for 1970-01-01T00:00:05.000Z")


def test_the_death_of_a_worker_is_told_with_the_claim_it_cost() -> None:
    lines = history(
        record(State.RUNNING, delivery=2, fence=8, worker="b@h", started_ms=4000),
        [row(3000, Ev.REAPED, fence=4, worker="a@h")],
    )
    assert events(lines) == ["enqueued", "reaped", "started", "now"]
    assert lines[1].text.endswith("taken back (attempt 1, delivery 1, a@h, fence 4)")
    assert lines[2].text == "attempt 1, delivery 2 on b@h (fence 8)"
    assert lines[3].text == "running on b@h"


def test_with_the_whole_trail_nothing_is_told_twice() -> None:
    lines = history(
        record(
            State.SUCCEEDED,
            fence=3,
            worker="w@h",
            first_started_ms=2000,
            started_ms=2000,
            ended_ms=2500,
        ),
        [
            row(1000, Ev.ENQUEUED, detail={"queue": "mail"}),
            row(2000, Ev.STARTED, fence=3),
            row(2500, Ev.SUCCEEDED, fence=3),
        ],
    )
    assert events(lines) == ["enqueued", "started", "succeeded"]


def test_within_a_millisecond_causes_come_before_effects() -> None:
    lines = history(
        record(
            State.FAILED,
            attempt=2,
            fence=2,
            worker="w@h",
            first_started_ms=1000,
            started_ms=1000,
            ended_ms=1000,
        ),
        [
            row(1000, Ev.RETRY, fence=1, detail={"exception": "KeyError", "delay": 0}),
            row(1000, Ev.FAILED, fence=2, attempt=2, detail={"exception": "KeyError"}),
        ],
    )
    assert events(lines) == ["enqueued", "retry", "started", "failed"]


def test_a_failure_without_a_row_is_told_from_the_record() -> None:
    failed = record(
        State.FAILED,
        reason="delivery limit",
        ended_ms=9000,
        failure=encode_failure(ValueError("no")),
    )
    assert history(failed, [])[-1] == Entry(9000, "failed", "ValueError: no; delivery limit")


def test_a_message_that_was_never_run_tells_what_it_waits_for() -> None:
    queued = history(record(State.QUEUED), [])
    assert queued[-1] == Entry(1000, "now", "attempt 1 is queued on 'mail'")
    parents = history(record(State.WAITING, waits=2), [])
    assert parents[-1].text == "waits for 2 parents"
    mirror = history(record(State.WAITING, mirrors="other"), [])
    assert mirror[-1].text == "waits for message other, and ends as it ends"
    assert history(record(State.WAITING), [])[-1].text == "waits for its once-lock"


def test_a_message_that_is_gone_still_has_its_rows() -> None:
    lines = history(None, [row(3000, Ev.DROPPED), row(2000, Ev.FAILED, detail=RETRY)])
    assert events(lines) == ["failed", "dropped"]
    assert lines[-1].text == "its dead letter was deleted by hand"
    assert history(None, []) == []


def test_a_part_of_a_workflow_that_was_not_stored_whole_tells_so() -> None:
    lines = history(
        None, [row(2000, Ev.ENQUEUED), row(3000, Ev.DROPPED, detail={"reason": "abandoned"})]
    )
    assert lines[-1].text.startswith("part of a workflow that was never stored whole")


def test_every_event_of_the_trail_has_a_sentence() -> None:
    for event in Ev:
        (line,) = history(None, [row(1, event, fence=1, detail={"reason": "why", "step": "s"})])
        assert line.event == event
        assert line.text, event


def test_a_detail_that_is_not_json_does_not_break_the_story() -> None:
    broken = msgspec.structs.replace(row(1, Ev.FAILED), detail=b"\xff")
    assert events(history(None, [broken])) == ["failed"]


def test_what_happened_several_times_is_told_in_one_line() -> None:
    (line,) = history(None, [row(1000, Ev.DUPLICATE, count=3, last_ms=31_500)])
    assert line.at_ms == 1000
    assert line.text == (
        "another call with the same once-key was not stored; "
        "3 times, last at 1970-01-01T00:00:31.500Z"
    )
