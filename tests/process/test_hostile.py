"""Bodies that leave, tear at what is not theirs, or are caught in a store that stands still."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from reliable_tasks.cli._group import cli
from reliable_tasks.core.message import State
from reliable_tasks.errors import CodecError, TimeLimitExceeded
from tests.patience import PATIENCE_S
from tests.process.harness import wait_stopped, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.process.harness import Place


@pytest.mark.parametrize("task", ["leaves", "leaves_in_c"])
def test_every_start_counts_also_of_a_body_that_ends_its_process_with_code_0(
    place: Place, task: str
) -> None:
    place.start_worker("--concurrency", "1")
    bad, good = place.call(task), place.call("add", 1, 1)
    assert good.get(timeout=PATIENCE_S) == 2
    bad.get(timeout=PATIENCE_S, propagate=False)
    record = place.record(bad)
    assert (record.state, record.reason) == (State.FAILED, "delivery limit")
    assert len(place.effects("leaves")) == 5


def test_a_body_that_closes_the_descriptors_of_others_costs_no_more_than_itself(
    place: Place,
) -> None:
    worker = place.start_worker("--concurrency", "1")
    bad, good = place.call("closes"), place.call("add", 1, 1)
    assert good.get(timeout=PATIENCE_S) == 2
    bad.get(timeout=PATIENCE_S, propagate=False)
    assert len(place.effects("closes")) <= 5
    assert place.call("add", 2, 2).get(timeout=PATIENCE_S) == 4
    assert worker.stop() == 0


def test_a_child_that_stands_still_after_a_body_is_replaced(place: Place) -> None:
    settings = {"session_lease": 1.5, "heartbeat_interval": 0.2}
    options = ("--concurrency", "1")
    worker = place.start_worker(*options, module="tests.process.impatient", settings=settings)
    child = place.call("stops_later", "now").get(timeout=PATIENCE_S)
    place.write("now", "")
    wait_stopped([child])
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
    assert "child.stuck" in worker.log
    assert "heard nothing from the store" in worker.log
    assert child not in worker.children
    assert worker.stop() == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_a_call_past_its_own_limit_costs_its_neighbours_nothing(place: Place, pool: str) -> None:
    options = ("--concurrency", "2", "--pool", pool, "--shutdown-timeout", "600")
    worker = place.start_worker(*options, module="tests.process.unlimited")
    beside = place.call("wait_for", "go")
    place.wait_effect("waits")
    hangs = place.call("wait_for", "never", time_limit=0.5)
    place.wait_effect("waits", 2)
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2, "another process is there"
    assert "child.retired" in worker.log
    assert not hangs.ready()
    place.write("go", "")
    assert beside.get(timeout=PATIENCE_S) == "go"
    with pytest.raises(TimeLimitExceeded):
        hangs.get(timeout=PATIENCE_S)
    assert len(place.effects("waits", beside.id)) == len(place.effects("waits", hangs.id)) == 1
    assert worker.stop() == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_limits_hold_and_nothing_runs_twice_while_somebody_holds_the_file(place: Place) -> None:
    import apsw  # noqa: PLC0415 - only where there is a file

    settings = {"session_lease": 1}
    worker = place.start_worker("--concurrency", "2", settings=settings)
    other = place.start_worker("--concurrency", "1", settings=settings)
    waiting = [place.call("wait_for", "go") for _ in range(2)]
    place.wait_effect("waits", 2)
    limited = place.call("too_long")
    place.wait_effect("starts")
    holder = apsw.Connection(place.store_url.removeprefix("sqlite:///"))
    holder.set_busy_timeout(20_000)
    holder.execute("BEGIN IMMEDIATE")
    wait_until(
        lambda: "limit.hard" in worker.log + other.log, "the limit holds meanwhile", seconds=30
    )
    rest = place.store.sessions()
    wait_until(
        lambda: all(s.lease_until_ms < place.store.now_ms() - 1_000 for s in rest),
        "all leases have lapsed",
        seconds=30,
    )
    holder.execute("ROLLBACK")
    holder.close()
    with pytest.raises(TimeLimitExceeded):
        limited.get(timeout=PATIENCE_S)
    place.write("go", "")
    assert [r.get(timeout=PATIENCE_S) for r in waiting] == ["go", "go"]
    assert len(place.effects("waits")) == 2, "nobody took anything from those who live"
    assert len(place.effects("starts")) == 1


def test_a_hook_that_hangs_while_a_dead_message_is_buried_is_under_the_limit(
    place: Place,
) -> None:
    place.start_worker("--concurrency", "1")
    bad, good = place.call("hangs_when_buried"), place.call("add", 1, 1)
    assert good.get(timeout=PATIENCE_S) == 2
    with pytest.raises(TimeLimitExceeded):
        bad.get(timeout=PATIENCE_S)
    assert place.record(bad).reason == "time limit"
    assert (len(place.effects("starts")), len(place.effects("hangs"))) == (1, 1)


def test_a_hang_up_starts_the_worker_anew_with_the_code_that_is_there_now(place: Place) -> None:
    program = place.write("changing.py", "VERSION = 1")
    place.write("shop.py", CHANGING)
    worker = place.start_worker("--concurrency", "1", module="shop")
    version = place.app.signature("version")
    assert version.delay().get(timeout=PATIENCE_S) == 1
    before = {s.id for s in place.store.sessions()}
    program.write_text("VERSION = 2")
    worker.signal(signal.SIGHUP)
    wait_until(
        lambda: (now := {s.id for s in place.store.sessions()}) and not now & before,
        "it has started anew",
        seconds=PATIENCE_S,
    )
    assert version.delay().get(timeout=PATIENCE_S) == 2
    assert worker.running
    assert "to start anew" in worker.log
    assert worker.stop() == 0


CHANGING = """
import sys
sys.dont_write_bytecode = True
import changing
from tests.process.program import app

@app.task(name="version")
def version():
    return changing.VERSION
"""


def test_files_without_number_are_no_trouble(place: Place) -> None:
    """select() refuses descriptors beyond 1023, and with it the whole worker ended."""
    place.write("many.py", MANY)
    worker = place.start_worker("--concurrency", "1", module="many")
    assert place.call("add", 1, 1).get(timeout=PATIENCE_S) == 2
    assert worker.stop() == 0


MANY = """
import os, resource
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
from tests.process.program import app
"""


def test_a_word_that_comes_while_a_worker_starts_is_not_lost(tmp_path: Path) -> None:
    """A shell starts what runs in its background with QUIT ignored."""
    from reliable_tasks.worker.process import _inbox  # noqa: PLC0415

    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGQUIT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGQUIT})  # the command's first line
        os.kill(os.getpid(), signal.SIGQUIT)
        inbox = _inbox()
        kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        os._exit(0 if inbox.came == [signal.SIGQUIT] and kept else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def damage(place: Place, message_id: str) -> None:
    """Make a record one that no client can decode."""
    store: Any = place.store
    if place.store_url.startswith("sqlite"):
        store._database.write(
            lambda connection: connection.execute(
                "UPDATE records SET headers = 'text' WHERE id = ?", (message_id,)
            )
        )
        return
    store.read([message_id])  # which makes a record of what lies in an inbox
    key = f"{store._key}m:{message_id}"
    store._command("SET", key, store._command("GET", key)[:60])


def test_a_record_that_nobody_can_decode_is_a_dead_letter_and_costs_no_worker(
    place: Place,
) -> None:
    bad, good = place.call("add", 1, 1), place.call("add", 2, 2)
    damage(place, bad.id)
    worker = place.start_worker("--concurrency", "1")
    assert good.get(timeout=PATIENCE_S) == 4
    assert place.record(bad).reason == "unreadable"
    with pytest.raises(CodecError, match="cannot be decoded"):
        bad.get(timeout=PATIENCE_S)
    assert "child.died" not in worker.log
    assert "child.crashed" not in worker.log
    shown = CliRunner().invoke(cli, ["-b", place.store_url, "dead", "show", bad.id])
    assert "what was stored" in shown.output
    listed = CliRunner().invoke(cli, ["-b", place.store_url, "dead", "list"])
    assert "unreadable" in listed.output
