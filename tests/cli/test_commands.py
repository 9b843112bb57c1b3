"""Each command that looks at a store or changes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from reliable_tasks.core import outcome
from reliable_tasks.core.message import State
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import StoreOptions
from tests.cli.support import Shop

Run = Callable[..., Result]
Mistake = Callable[..., str]


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def state_of(shop: Shop, message_id: str) -> State:
    record = shop.store.read([message_id])[0]
    assert record is not None
    return record.state


# call ---------------------------------------------------------------------------------------------


def test_call_enqueues_with_options(run: Run, shop: Shop, tasks: str) -> None:
    line = run(
        *("-A", tasks, "call", "shop.add", "-a", "[1]", "-k", '{"y": 2}', "--task-id", "m"),
        *("--countdown", "2h", "-Q", "mail", "--priority", "3"),
    ).stdout
    record = shop.store.read([line.strip()], full=True)[0]
    assert record is not None
    assert (record.id, record.queue, record.priority) == ("m", "mail", 3)
    assert record.due_ms is not None
    assert record.due_ms - record.enqueued_ms == 7_200_000


def test_call_without_an_app_sends_the_name(run: Run, shop: Shop) -> None:
    message_id = run("-b", shop.url, "call", "other.task").stdout.strip()
    record = shop.store.read([message_id])[0]
    assert record is not None
    assert record.task == "other.task"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["shop.ad"], "no task is registered as 'shop.ad'; did you mean 'shop.add'?"),
        (["shop.add"], "missing a required argument: 'x'"),
        (["shop.add", "-a", "[1"], "is not JSON"),
        (["shop.add", "-a", "{}"], "is not a JSON array"),
        (["shop.add", "-k", "[]"], "is not a JSON object"),
        (["shop.add", "-a", "[1]", "--priority", "12"], "priority"),
        (["shop.add", "-a", "[1]", "--countdown", "soon"], "'soon' is not a span of time"),
        (["shop.add", "-a", "[1]", "--eta", "soon"], "ISO 8601"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_wrong_call_is_one_line(args: list[str], said: str, mistake: Mistake, tasks: str) -> None:
    assert said in mistake("-A", tasks, "call", *args)


def test_a_duplicate_call_names_the_message_that_is_there(
    run: Run, mistake: Mistake, shop: Shop, tasks: str
) -> None:
    first = run("-A", tasks, "call", "shop.once", "-a", "[1]").stdout.strip()
    assert first in mistake("-A", tasks, "call", "shop.once", "-a", "[1]", code=1)


# result -------------------------------------------------------------------------------------------


def test_result_of_a_success(run: Run, shop: Shop) -> None:
    shop.succeed("m", {"x": [1, "ü"]})
    assert run("-b", shop.url, "result", "m").stdout == "SUCCESS  shop.add[m]\n{'x': [1, 'ü']}\n"
    (found,) = objects(run("-b", shop.url, "result", "m", "--json"))
    assert (found["state"], found["result"]) == ("SUCCESS", {"x": [1, "ü"]})


def test_result_of_a_failure_has_code_1(run: Run, shop: Shop) -> None:
    shop.fail("m")
    told = run("-b", shop.url, "result", "m", code=1).stdout
    assert told == "FAILURE  shop.add[m]\nValueError: grün\n"
    with_traceback = run("-b", shop.url, "result", "m", "--traceback", code=1).stdout
    assert "Traceback: here" in with_traceback


def test_result_of_nothing(mistake: Mistake, shop: Shop) -> None:
    assert "nothing is stored under nope" in mistake("-b", shop.url, "result", "nope", code=1)


# status, purge, revoke ----------------------------------------------------------------------------


def test_status_counts_queues_and_sessions(run: Run, shop: Shop) -> None:
    shop.fail("dead")
    shop.enqueue("a")
    shop.enqueue("b", queue="mail", delay_ms=60_000)
    told = run("-b", shop.url, "status").stdout
    rows = [line.split() for line in told.splitlines()]
    assert ["celery", "1", "0", "0", "0"] in rows
    assert ["mail", "0", "1", "0", "0"] in rows
    assert "dead letters: 1" in told
    assert ["WORKER", "SESSION", "PID"] in [row[:3] for row in rows]
    assert ["w@h", "s1", "77"] in [row[:3] for row in rows]
    kinds = [found["kind"] for found in objects(run("-b", shop.url, "status", "--json"))]
    assert kinds == ["queue", "queue", "messages", "session"]


def test_purge_asks_first(run: Run, shop: Shop) -> None:
    shop.enqueue("a")
    shop.enqueue("b", queue="mail")
    refused = run("-b", shop.url, "purge", input="n\n", code=130)
    assert "2 waiting messages (1 on 'celery', 1 on 'mail')" in refused.output
    assert state_of(shop, "a") == State.QUEUED
    run("-b", shop.url, "purge", "-X", "mail", input="y\n")
    assert (state_of(shop, "a"), state_of(shop, "b")) == (State.REVOKED, State.QUEUED)
    assert run("-b", shop.url, "purge", "-f", "-Q", "mail").stdout == "Purged 1 of 1.\n"
    assert run("-b", shop.url, "purge", "-f").stdout == "Nothing waits.\n"


def test_purge_of_a_queue_that_is_not_there(mistake: Mistake, shop: Shop) -> None:
    shop.enqueue("a", queue="mail")
    said = mistake("-b", shop.url, "purge", "-Q", "mial", code=1)
    assert "nothing waits on queue 'mial'; did you mean 'mail'?" in said


def test_revoke_says_what_it_found(run: Run, shop: Shop) -> None:
    shop.succeed("done", 1)
    shop.enqueue("runs")
    shop.claim()
    shop.enqueue("waits")
    told = run("-b", shop.url, "revoke", "waits", "runs", "done", "nope", code=1).stdout
    assert [line.split(": ")[1] for line in told.splitlines()] == [
        "revoked",
        "running",
        "has ended already",
        "unknown",
    ]
    terminated = run("-b", shop.url, "revoke", "runs", "--terminate", "--signal", "kill").stdout
    assert terminated == "runs: running: its worker sends it SIGKILL\n"
    assert shop.store.heartbeat(["s1"], 1000).commands[0].signal == "SIGKILL"


# dead ---------------------------------------------------------------------------------------------


def test_dead_letters_are_listed_and_shown(run: Run, shop: Shop) -> None:
    shop.fail("m", 1, "ü")
    shop.succeed("fine", 1)
    listed = run("-b", shop.url, "dead", "list").stdout
    assert "ValueError: grün" in listed
    assert "fine" not in listed
    (found,) = objects(run("-b", shop.url, "dead", "list", "--json"))
    assert (found["id"], found["reason"]) == ("m", "failed")
    shown = run("-b", shop.url, "dead", "show", "m").stdout
    assert "call     shop.add(1, 'ü')" in shown
    assert "Traceback: here" in shown


def test_only_dead_letters_are_shown_or_dropped(mistake: Mistake, shop: Shop) -> None:
    shop.succeed("fine", 1)
    assert "fine is no dead letter" in mistake("-b", shop.url, "dead", "show", "fine", code=1)
    assert "fine is no dead letter" in mistake("-b", shop.url, "dead", "drop", "fine", code=1)
    assert state_of(shop, "fine") == State.SUCCEEDED


def test_dead_letters_are_replayed_one_or_all(run: Run, shop: Shop) -> None:
    for message_id in ("a", "b"):
        shop.fail(message_id)
    told = run("-b", shop.url, "dead", "replay", "a", "nope", code=1).stdout
    assert told == "a: replayed\nnope: unknown\n1 of 2 replayed\n"
    assert run("-b", shop.url, "dead", "replay", "--all").stdout == "1 of 1 replayed\n"
    assert {state_of(shop, m) for m in ("a", "b")} == {State.QUEUED}
    assert run("-b", shop.url, "dead", "list").stdout == "No dead letters.\n"


def test_dead_letters_are_dropped_after_asking(run: Run, shop: Shop) -> None:
    shop.fail("a")
    shop.fail("b", task="shop.sub")
    run("-b", shop.url, "dead", "drop", "a", input="n\n", code=130)
    assert run("-b", shop.url, "dead", "drop", "--all", "--task", "shop.sub", "-f").output == (
        "1 dropped\n"
    )
    assert state_of(shop, "a") == State.FAILED
    assert shop.store.read(["b"]) == (None,)


# audit --------------------------------------------------------------------------------------------


def test_audit_tells_the_story_of_a_message(run: Run, shop: Shop) -> None:
    shop.enqueue("m")
    detail = b'{"exception":"ValueError","message":"boom","delay":0,"policy":"fixed"}'
    shop.end(shop.claim(), outcome.Retry(detail=detail))
    shop.end(shop.claim(), outcome.Succeeded())
    head, _, *lines = run("-b", shop.url, "audit", "m").stdout.splitlines()
    assert head.startswith("shop.add[m] in ")
    words = [line.split()[3] for line in lines]
    assert [word for word in words if word != "started"] == ["enqueued", "retry", "succeeded"]
    assert "raised ValueError: boom; next in 0 s; by fixed" in "\n".join(lines)


def test_audit_lists_rows_by_event_and_time(run: Run, shop: Shop) -> None:
    shop.fail("m")
    shop.enqueue("x")
    shop.store.revoke(["x"])
    rows = objects(run("-b", shop.url, "audit", "--json"))
    assert [(row["event"], row["id"]) for row in rows] == [("failed", "m"), ("revoked", "x")]
    assert rows[0]["detail"] == {"exception": "ValueError", "message": "grün"}
    (only,) = objects(run("-b", shop.url, "audit", "--event", "failed", "--json"))
    assert only["id"] == "m"
    assert run("-b", shop.url, "audit", "--since", "2100-01-01", "--json").stdout == ""
    assert len(objects(run("-b", shop.url, "audit", "--since", "1h", "--json"))) == 2
    assert len(objects(run("-b", shop.url, "audit", "--limit", "1", "--json"))) == 1
    assert "exception=ValueError, message=grün" in run("-b", shop.url, "audit").stdout


def test_audit_says_how_often_a_call_was_refused(run: Run, shop: Shop) -> None:
    shop.enqueue("m", once="k")
    for n in range(3):
        shop.enqueue(f"again {n}", once="k")
    story = run("-b", shop.url, "audit", "m").stdout
    assert "same once-key was not stored; 3 times, last at " in story
    assert "count=3, last=" in run("-b", shop.url, "audit").stdout
    (row,) = objects(run("-b", shop.url, "audit", "--json"))
    assert row["count"] == 3
    assert row["time"] <= row["last"]


def test_audit_says_what_was_dropped(run: Run, shop: Shop) -> None:
    store = SqliteStore(str(shop.path), StoreOptions(max_audit_rows=2))
    small = Shop(shop.path, store)
    small.fail("m")
    small.enqueue("n")
    for _ in range(3):
        small.end(small.claim(), outcome.Retry())
    assert "1 older row was dropped from the trail (audit_expires," in (
        run("-b", shop.url, "audit", "n").stdout
    )
    assert "older rows were dropped from the trail, up to " in (
        run("-b", shop.url, "audit", "m").stdout
    )
    shop.enqueue("o")
    assert "dropped" not in run("-b", shop.url, "audit", "o").stdout


def test_audit_of_nothing(mistake: Mistake, shop: Shop) -> None:
    assert "nothing is stored under nope" in mistake("-b", shop.url, "audit", "nope", code=1)


@pytest.mark.parametrize(
    "args",
    [
        ("audit", "nope"),
        ("audit", "nope", "--json"),
        ("audit", "nope", "--event", "retry"),
        ("dead", "drop", "nope", "-f"),
        ("dead", "replay", "nope"),
        ("dead", "show", "nope"),
        ("graph", "nope"),
        ("locks", "release", "nope", "-f"),
        ("purge", "-Q", "nope", "-f"),
        ("result", "nope"),
        ("result", "nope", "--json"),
        ("revoke", "nope"),
        ("schedules", "show", "nope"),
        ("status", "-d", "nope"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_code_1_everywhere(
    run: Run, shop: Shop, args: tuple[str, ...]
) -> None:
    told = run("-b", shop.url, *args, code=1)
    assert "nope" in told.output


# locks --------------------------------------------------------------------------------------------


def test_a_lock_is_explained_by_its_key_and_by_its_message(run: Run, shop: Shop) -> None:
    shop.enqueue("m", 1, once="shop.add:k")
    assert "shop.add:k" in run("-b", shop.url, "locks", "list").stdout
    by_key = run("-b", shop.url, "locks", "explain", "shop.add:k").stdout
    assert "shop.add:k (shop.add(x=1)) is held" in by_key
    assert "by     m  shop.add(1)" in by_key
    assert "queued on 'celery'" in by_key
    shop.claim()
    by_message = run("-b", shop.url, "locks", "explain", "m").stdout
    assert "running on w@h since" in by_message
    (found,) = objects(run("-b", shop.url, "locks", "explain", "m", "--json"))
    assert (found["owner"], found["state"]) == ("m", "running")


def test_a_free_key_is_said_to_be_free(run: Run, shop: Shop) -> None:
    told = run("-b", shop.url, "locks", "explain", "shop.add:k").stdout
    assert told == "shop.add:k is free: nobody holds it\n"
    assert run("-b", shop.url, "locks", "list").stdout == "No lock is held.\n"


def test_a_lock_is_released_only_from_its_owner(run: Run, mistake: Mistake, shop: Shop) -> None:
    shop.enqueue("m", once="k")
    said = mistake("-b", shop.url, "locks", "release", "k", "--owner", "x", "-f", code=1)
    assert "k is held by m, not by x" in said
    run("-b", shop.url, "locks", "release", "k", input="n\n", code=130)
    assert len(shop.store.locks()) == 1
    assert run("-b", shop.url, "locks", "release", "k", "-f").stdout == "k is free\n"
    assert shop.store.locks() == ()
    assert "nobody holds k" in mistake("-b", shop.url, "locks", "release", "k", "-f", code=1)


# report -------------------------------------------------------------------------------------------


def test_report_covers_secrets(
    run: Run, shop: Shop, tasks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIABLE_TASKS_RESULT_EXPIRES", "60")
    monkeypatch.setenv("RELIABLE_TASKS_BROKER_TRANSPORT_OPTIONS", '{"password": "hunter2"}')
    told = run("-A", tasks, "report").stdout
    assert "hunter2" not in told
    assert "broker_transport_options = {'password': '***'}" in told
    assert "result_expires = 60.0" in told
    assert "shop: 2 tasks" in told
    assert shop.store.location in told


def test_report_is_there_when_the_store_is_not(run: Run, tasks: str, tmp_path: Path) -> None:
    told = run("-A", tasks, "-b", f"sqlite:///{tmp_path}", "report").stdout
    assert "cannot be used" in told
    assert "python " in told


def test_acl_is_about_redis(mistake: Mistake, shop: Shop) -> None:
    assert "--acl is about Redis" in mistake("-b", shop.url, "report", "--acl")


def test_acl_names_the_keys_of_the_namespace(run: Run) -> None:
    told = run("-b", "redis://127.0.0.1:1/0", "report", "--acl").stdout
    assert "~{reliable_tasks}" in told
    assert "+evalsha" in told
