"""The command `schedules`, on entries made at run time and by the code."""

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result

from reliable_tasks import App, crontab
from reliable_tasks.beat.scheduler import Scheduler
from reliable_tasks.beat.sync import code_definitions, sync
from reliable_tasks.store.values import MessageQuery

Run = Callable[..., Result]
Mistake = Callable[..., str]


@pytest.fixture
def app(tasks: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The app, with two entries."""
    monkeypatch.syspath_prepend(directory)
    found: App = importlib.import_module(tasks).app
    morning = crontab(hour=9, minute=50)
    found.conf.beat_schedule = {"once": {"task": "shop.once", "schedule": 86_400, "args": (1,)}}
    now_ms = found.store.now_ms()
    sync(found, found.store, code_definitions(found, now_ms), now_ms)
    found.schedules.add(
        *("morning", morning, "shop.add", (1,), {"y": 2}), tz="Asia/Shanghai", jitter=5
    )
    yield found
    found.close()


def test_entries_are_listed_in_their_time_zones(run: Run, tasks: str, app: App) -> None:
    head, morning, once = run("-A", tasks, "schedules", "list").stdout.splitlines()
    assert head.split() == ["NAME", "SCHEDULE", "NEXT", "LAST", "RUNS", "MISSED", "STATE"]
    assert morning.split()[:7] == ["morning", "cron", "50", "9", "*", "*", "*"]
    assert " 09:50:00+08:00" in morning
    assert "every 1 d" in once
    lines = run("-A", tasks, "schedules", "list", "--json").stdout.splitlines()
    found = {entry["name"]: entry for entry in map(json.loads, lines)}
    assert found["morning"]["kwargs"] == {"y": 2}
    assert found["morning"]["next"].endswith("T01:50:00.000Z")
    assert (found["once"]["origin"], found["morning"]["origin"]) == ("code", "runtime")


def test_without_entries_it_says_where_they_come_from(run: Run, tasks: str) -> None:
    assert "come when a beat starts" in run("-A", tasks, "schedules", "list").stdout


def test_show_tells_what_became_of_the_last_message(run: Run, tasks: str, app: App) -> None:
    scheduler = Scheduler(app.store)
    scheduler.step(app.store.now_ms() + 86_400_000)
    shown = run("-A", tasks, "schedules", "show", "once").stdout
    entry = app.schedules.get("once")
    assert f"message   {entry.last_id} (scheduled)" in shown
    assert "call      shop.once(1)" in shown
    assert "fired     1 slots; 0 passed over (catch_up skip)" in shown
    # The next one is a duplicate of it, which leaves no record.
    scheduler.step(app.store.now_ms() + 2 * 86_400_000)
    assert "(no record: a duplicate" in run("-A", tasks, "schedules", "show", "once").stdout
    morning = run("-A", tasks, "schedules", "show", "morning").stdout
    assert "jitter    5 s" in morning
    told = json.loads(run("-A", tasks, "schedules", "show", "once", "--json").stdout)
    assert (told["runs"], told["last_state"]) == (2, None)


def test_next_lists_slots_to_come(run: Run, tasks: str, app: App) -> None:
    lines = run("-A", tasks, "schedules", "next", "morning", "-n", "3").stdout.splitlines()
    slots = [datetime.fromisoformat(line) for line in lines]
    assert [(slot.hour, slot.minute) for slot in slots] == [(9, 50)] * 3
    assert slots[0] > datetime.now(UTC)
    assert slots[2] - slots[0] == timedelta(days=2)


def test_run_enqueues_the_call_now(run: Run, mistake: Mistake, tasks: str, app: App) -> None:
    message_id = run("-A", tasks, "schedules", "run", "once").stdout.strip()
    assert [r.id for r in app.store.find(MessageQuery())] == [message_id]
    assert message_id in mistake("-A", tasks, "schedules", "run", "once", code=1)


def test_entries_are_paused_resumed_and_removed(run: Run, tasks: str, app: App) -> None:
    command = ("-A", tasks, "schedules")
    assert run(*command, "pause", "once", "morning").stdout == "once: paused\nmorning: paused\n"
    assert {entry.state for entry in app.schedules} == {"paused"}
    assert run(*command, "resume", "morning").stdout.startswith("morning: next 20")
    assert run(*command, "remove", "morning").stdout == "morning: removed\n"
    assert [(entry.name, entry.state) for entry in app.schedules] == [("once", "paused")]


@pytest.mark.parametrize("words", ["show", "next", "run", "pause", "resume", "remove"])
def test_an_unknown_entry_is_code_1(mistake: Mistake, tasks: str, app: App, words: str) -> None:
    line = mistake("-A", tasks, "schedules", words, "mornig", code=1)
    assert line == "Error: there is no schedule entry 'mornig'; did you mean 'morning'?"


def test_it_needs_only_the_store(run: Run, tasks: str, app: App) -> None:
    url = app.settings.broker_url
    assert "morning" in run("-b", url, "schedules", "list").stdout
    # The message is the one that the code made: its once-lock is there without the code.
    run("-b", url, "schedules", "run", "once")
    (record,) = app.store.find(MessageQuery())
    assert record.once_key is not None
