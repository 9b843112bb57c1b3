"""The demo, as a user runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reliable_tasks.app import App
from reliable_tasks.cli import _demo_run as demo
from reliable_tasks.cli._demo_tasks import app as demo_app
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it in a session of its own, with all that it may leave behind under `tmp_path`."""
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [sys.executable, "-m", "reliable_tasks", "demo", *arguments],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def leftovers(tmp_path: Path) -> list[Path]:
    return [path for folder in ("here", "temporary") for path in (tmp_path / folder).iterdir()]


def test_demo_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start(tmp_path, "--limit", "60")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, out + err
    assert "All holds: 60 files" in out
    table = {
        words: int(number)
        for line in out.splitlines()
        for words, _, number in [line.rpartition("  ")]
        if number.strip().isdigit()
    }
    told = {words.strip(): number for words, number in table.items()}
    assert told["calls enqueued"] == 180
    assert told["duplicates suppressed"] == 120
    assert told["messages committed"] == 60
    assert told["retries"] >= 2
    assert told["processes killed (kill -9)"] >= 1
    assert told["deaths survived by messages"] >= 1
    assert "NotYet" in out
    assert "reaped" in out
    assert "\r" not in out  # not a terminal
    assert leftovers(tmp_path) == []


def test_demo_holds_on_redis_and_stays_in_its_namespace(tmp_path: Path) -> None:
    with RedisServer() as server, server.client() as client:
        process = start(tmp_path, "--limit", "30", "-b", server.url)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, out + err
        assert "All holds: 30 files" in out
        keys = list(client.scan_iter())
        assert keys
        assert [key for key in keys if b"{demo-" not in key] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_demo_stops_its_worker(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "--limit", "1500")
    assert process.stdout is not None
    for line in process.stdout:
        if "committed" in line and not line.lstrip().startswith("0/"):
            break
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends it to all
    else:
        process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert leftovers(tmp_path) == []


def test_a_folder_without_files_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    process = start(tmp_path, "--folder", str(tmp_path / "empty"))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "there is no readable file" in err
    assert err.count("\n") == 1


def test_the_plan_is_the_same_every_time(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(str(number))
    plan = demo.make_plan(tmp_path, 30)
    assert plan == demo.make_plan(tmp_path, 30)
    assert len(plan.stumbles) == 30
    assert set(plan.stumbles.values()) <= {0, 1, 2}
    assert 2 in plan.stumbles.values()


def store_in_memory() -> App:
    demo_app.close()
    demo_app.conf.update(broker_url="sqlite://", audit="all")
    return demo_app


def test_the_check_finds_what_was_not_done(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(str(number))
    plan, app = demo.make_plan(tmp_path, 10), store_in_memory()
    asked = demo.enqueue(app, plan)
    accounts = demo.Accounts.read(app.store, list(asked.ids.values()))
    problems = demo.check(app, plan, asked, demo.Ran(exit_code=1), accounts)
    app.close()
    assert (asked.calls, asked.duplicates) == (30, 20)
    assert sum("was committed 0 times" in problem for problem in problems) == 10
    assert any("no process was killed" in problem for problem in problems)
    assert any("once-key is still held" in problem for problem in problems)
    assert any("ended with code 1" in problem for problem in problems)
