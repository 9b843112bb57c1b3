"""What operators ask for: revoke, replay, drop, purge; and the lists they read."""

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditQuery, MessageQuery
from tests.store.driver import SESSION, Driver, edge, message, once


def test_revoking_what_is_queued_or_scheduled_ends_it(drive: Driver) -> None:
    drive.put(message("a"), message("b", delay_ms=50), message("c", waits=1))
    replies = drive.store.revoke(["a", "b", "c"])
    assert [(r.id, r.found) for r in replies] == [(i, "revoked") for i in "abc"]
    assert {drive.record(i).reason for i in "abc"} == {"revoked"}
    assert drive.claim(10) == ()


def test_revoking_what_runs_flags_it(drive: Driver) -> None:
    drive.put_one("a")
    drive.claim_one()
    assert drive.store.revoke(["a"])[0].found == "running"
    assert drive.state("a") == State.RUNNING


def test_revoking_what_ended_or_never_was_changes_nothing(drive: Driver) -> None:
    drive.put_one("a")
    drive.run()
    assert [r.found for r in drive.store.revoke(["a", "nobody"])] == ["ended", "unknown"]
    assert drive.state("a") == State.SUCCEEDED


def test_a_dead_letter_is_replayed_as_if_new(drive: Driver) -> None:
    drive.put_one("a", payload=b"p", expires_ms=drive.clock.now + 10)
    drive.run(oc.Retry())
    drive.run(oc.Failed(failure=b"f"))
    drive.clock.advance(100)
    assert drive.store.replay(["a"])[0].done == "replayed"
    claim = drive.claim_one()
    assert (claim.payload, claim.attempt, claim.delivery) == (b"p", 1, 1)
    assert claim.first_started_ms == drive.clock.now
    drive.commit(claim)
    assert drive.record("a").failure is None
    assert drive.events("a")[-3:] == ["replayed", "started", "succeeded"]


def test_only_dead_letters_are_replayed(drive: Driver) -> None:
    drive.put(message("live"), message("done"))
    drive.store.revoke(["done"])
    done = [r.done for r in drive.store.replay(["live", "done", "nobody"])]
    assert done == ["not dead", "not dead", "unknown"]


def test_a_replay_takes_the_once_key_again(drive: Driver) -> None:
    drive.put_one("a", once=once())
    drive.run(oc.Failed())
    drive.store.replay(["a"])
    assert drive.holder() == "a"


def test_a_replay_is_refused_while_another_holds_the_key(drive: Driver) -> None:
    drive.put_one("a", once=once())
    drive.run(oc.Failed())
    drive.put_one("b", once=once())
    (reply,) = drive.store.replay(["a"])
    assert (reply.done, reply.holder) == ("held", "b")
    assert drive.state("a") == State.FAILED


def test_a_replay_revives_the_dependants(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("b", slot=0),)),
        message("b", waits=1, edges=(edge("c", slot=0),)),
        message("c", waits=1),
    )
    drive.run(oc.Failed())
    assert [drive.state(i) for i in "abc"] == [State.FAILED] * 3
    drive.store.replay(["a"])
    assert [drive.state(i) for i in "bc"] == [State.WAITING] * 2
    drive.run(oc.Succeeded(result=b"1"))
    assert [i.value for i in drive.run(oc.Succeeded(result=b"2")).inputs] == [b"1"]
    assert [i.value for i in drive.run().inputs] == [b"2"]


def test_a_dependant_with_another_broken_parent_stays_ended(drive: Driver) -> None:
    drive.put(
        message("a", edges=(edge("c", slot=0),)),
        message("b", edges=(edge("c", slot=1),)),
        message("c", waits=2),
    )
    drive.run(oc.Failed())
    drive.run(oc.Failed())
    assert drive.record("c").broken == ("a", "b")
    drive.store.replay(["a"])
    assert (drive.state("c"), drive.record("c").broken) == (State.FAILED, ("b",))
    drive.store.replay(["b"])
    assert drive.state("c") == State.WAITING


def test_drop_deletes_final_records_only(drive: Driver) -> None:
    drive.put(message("dead"), message("live"))
    drive.run(oc.Failed())
    assert drive.store.drop(["dead", "dead", "live", "nobody"]) == 1
    assert [r.id if r else None for r in drive.store.read(["dead", "live"])] == [None, "live"]
    assert drive.events("dead")[-1] == "dropped"


def test_purge_revokes_what_waits_on_one_queue(drive: Driver) -> None:
    drive.put(message("a"), message("b", delay_ms=50), message("c", queue="other"), message("run"))
    drive.put_one("parked", waits=1)
    assert [c.id for c in drive.claim(1)] == ["a"]
    assert drive.store.purge("celery") == 2
    assert [drive.record(i).reason for i in ("run", "b")] == ["purged"] * 2
    assert [drive.state(i) for i in ("a", "c", "parked")] == [
        State.RUNNING,
        State.QUEUED,
        State.WAITING,
    ]


def test_purge_stops_at_its_limit(drive: Driver) -> None:
    drive.put(*(message(f"m{i}") for i in range(5)), message("later", delay_ms=9))
    assert drive.store.purge("celery", limit=3) == 3
    assert [c.id for c in drive.claim(10)] == ["m3", "m4"]
    assert drive.store.purge("celery", limit=3) == 1
    drive.put_one("now")
    drive.put(*(message(f"l{i}", delay_ms=9) for i in range(5)))
    assert drive.store.purge("celery", limit=3) == 3
    assert drive.store.counts().queues["celery"] == {"running": 2, "scheduled": 3}


def test_counts_follow_every_move(drive: Driver) -> None:
    drive.put(*(message(f"m{i}") for i in range(5)), message("x", queue="other", delay_ms=50))
    for outcome in (oc.Succeeded(), oc.Failed(), oc.Ignored()):
        drive.run(outcome)
    drive.claim_one()
    counts = drive.store.counts()
    assert counts.queues == {"celery": {"queued": 1, "running": 1}, "other": {"scheduled": 1}}
    assert counts.states == {
        "queued": 1,
        "running": 1,
        "scheduled": 1,
        "succeeded": 1,
        "failed": 1,
        "revoked": 1,
    }
    assert counts.dead == 1


def test_counts_of_an_empty_store_are_empty(drive: Driver) -> None:
    drive.put_one("a")
    drive.run()
    drive.store.drop(["a"])
    counts = drive.store.counts()
    assert (counts.queues, counts.states, counts.dead) == ({}, {}, 0)


def test_who_fell_with_another_is_failed_but_no_dead_letter(drive: Driver) -> None:
    drive.put(message("a", edges=(edge("b"),)), message("b", waits=1))
    drive.run(oc.Failed())
    counts = drive.store.counts()
    assert (counts.states, counts.dead) == ({"failed": 2}, 1)
    assert [r.id for r in drive.store.find(MessageQuery(dead=True))] == ["a"]
    assert [r.id for r in drive.store.find(MessageQuery(state=State.FAILED))] == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (MessageQuery(), ["a", "b", "c", "d"]),
        (MessageQuery(state=State.SCHEDULED), ["c"]),
        (MessageQuery(queue="other"), ["b"]),
        (MessageQuery(task="mul"), ["c"]),
        (MessageQuery(root_id="a"), ["a", "d"]),
        (MessageQuery(session=SESSION), ["a"]),
        (MessageQuery(queue="other", task="mul"), []),
        (MessageQuery(dead=True), []),
    ],
    ids=str,
)
def test_records_are_found_by_what_they_are(
    drive: Driver, query: MessageQuery, expected: list[str]
) -> None:
    drive.put(
        message("a", root_id="a"),
        message("b", queue="other", root_id="b"),
        message("c", task="mul", delay_ms=50),
        message("d", waits=1, root_id="a"),
    )
    drive.claim_one()
    assert sorted(r.id for r in drive.store.find(query)) == expected


def test_the_trail_is_read_in_pages(drive: Driver) -> None:
    drive.put(*(message(f"m{i}") for i in range(5)))
    first = drive.store.audit(AuditQuery(limit=2))
    rest = drive.store.audit(AuditQuery(after=first[-1].seq))
    assert [row.id for row in (*first, *rest)] == [f"m{i}" for i in range(5)]
    numbers = [int(row.seq) for row in (*first, *rest)]
    assert numbers == sorted(set(numbers))


def test_the_trail_is_read_by_event_and_time(drive: Driver) -> None:
    drive.put_one("a")
    drive.clock.advance(10)
    drive.put_one("b")
    drive.run()
    since = AuditQuery(since_ms=drive.clock.now, event="enqueued")
    assert [row.id for row in drive.store.audit(since)] == ["b"]
    assert [row.event for row in drive.store.audit(AuditQuery(id="a", limit=2))] == [
        "enqueued",
        "started",
    ]


def test_a_line_of_the_trail_tells_attempt_delivery_fence_and_worker(drive: Driver) -> None:
    drive.put_one("a")
    drive.run(oc.Retry())
    claim = drive.run(oc.Failed(detail=b'{"x":1}'))
    row = drive.store.audit(AuditQuery(event="failed"))[0]
    assert (row.task, row.attempt, row.delivery, row.fence) == ("add", 2, 1, claim.fence)
    assert (row.worker, row.at_ms, row.detail) == ("worker-1@here", drive.clock.now, b'{"x":1}')
