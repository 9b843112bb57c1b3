"""Threads, processes, forks and kills: the file is shared and nothing is lost or done twice."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import Batch, ClaimRequest, Entry, SessionInfo, StoreOptions
from tests.patience import PATIENCE_S
from tests.store.driver import message
from tests.store.sqlite.helpers import OPTIONS, ROOT, count, drain, put, raw


def test_threads_share_a_store_and_claim_each_message_once(store: SqliteStore) -> None:
    put(store, *(f"m{i}" for i in range(400)))

    def work(session: str) -> list[str]:
        store.open_session(SessionInfo(id=session, worker="w"), 60_000)
        return drain(store, session)

    with ThreadPoolExecutor(4) as pool:
        claimed = [i for ids in pool.map(work, "abcd") for i in ids]
    assert sorted(claimed) == sorted(f"m{i}" for i in range(400))


def _program(body: str, *arguments: str) -> "subprocess.Popen[str]":
    head = (
        "import sys\n"
        "from reliable_tasks.store.sqlite import SqliteStore\n"
        "from reliable_tasks.store.values import *\n"
        "from tests.store.driver import message\n"
        "from tests.store.sqlite.helpers import drain\n"
        "store = SqliteStore(sys.argv[1], StoreOptions())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + body, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # so that one who reads from it waits, whatever the tests' own is
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_claim_each_message_once(store: SqliteStore, path: Path) -> None:
    ids = [f"m{i}" for i in range(1000)]
    put(store, *ids)
    body = (
        "store.open_session(SessionInfo(id=sys.argv[2], worker='w'), 60_000)\n"
        "print(*drain(store, sys.argv[2]))\n"
    )
    programs = [_program(body, str(path), name) for name in "abc"]
    said = [program.communicate(timeout=PATIENCE_S)[0] for program in programs]
    assert sorted(i for line in said for i in line.split()) == sorted(ids)
    assert store.counts().states == {"succeeded": 1000}


def test_processes_may_open_a_new_file_at_the_same_time(store: SqliteStore, path: Path) -> None:
    body = "store.enqueue(Batch(messages=(message(sys.argv[2]),)))\n"
    programs = [_program(body, str(path), name) for name in "abc"]
    assert [program.wait(PATIENCE_S) for program in programs] == [0, 0, 0]
    for program in programs:
        program.communicate()
    assert count(store) == 3


def test_kill_9_loses_nothing_that_was_acknowledged(store: SqliteStore, path: Path) -> None:
    body = (
        "for i in range(10**9):\n"
        "    store.enqueue(Batch(messages=tuple(message(f'{i}-{k}') for k in range(5))))\n"
        "    print(i, flush=True)\n"
    )
    with _program(body, str(path)) as program:
        assert program.stdout is not None
        last = -1
        for line in program.stdout:
            last = int(line)
            if last == 50:
                program.send_signal(signal.SIGKILL)
    assert last >= 50
    present = store.read([f"{last}-{k}" for k in range(5)])
    assert all(present)
    assert count(store) % 5 == 0
    assert count(store) >= 5 * (last + 1)
    with raw(path) as connection:
        assert connection.pragma("integrity_check") == "ok"


def test_kill_9_in_the_middle_of_a_transaction_undoes_it(store: SqliteStore, path: Path) -> None:
    put(store, "a")
    body = (
        "from reliable_tasks.store.sqlite import enqueue\n"
        "def write(work):\n"
        "    enqueue.enqueue(work, Batch(messages=(message('b'),)))\n"
        "    work.finish()\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.read()\n"
        "store._write(write)\n"
    )
    with _program(body, str(path)) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "written\n"
        program.send_signal(signal.SIGKILL)
    assert store.read(["a", "b"])[1] is None
    put(store, "b")
    assert count(store) == 2


def _forked(body: Callable[[], object]) -> int:
    """Run `body` in a child, which exits with 0 if it returned."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the test sees only how the child ended
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    return child


def test_no_connection_is_open_while_a_process_forks(store: SqliteStore) -> None:
    put(store, "a")
    inherited = _forked(lambda: store._database._connection is None or os.abort())
    assert os.waitpid(inherited, 0)[1] == 0
    assert count(store) == 1


def test_a_store_is_used_on_both_sides_of_a_fork(store: SqliteStore) -> None:
    put(store, "before")
    child = _forked(lambda: put(store, "child"))
    put(store, "parent")
    assert os.waitpid(child, 0)[1] == 0
    assert count(store) == 3


def test_a_fork_waits_for_the_verb_of_another_thread(path: Path) -> None:
    patient = StoreOptions(busy_timeout_ms=30_000)  # the other thread leaves the file no rest
    store = SqliteStore(str(path), patient)
    put(store, "a")
    over = threading.Event()
    done = list[int]()

    def write() -> None:
        while not over.is_set():
            put(store, f"m{len(done)}")
            done.append(1)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            for n in range(5):
                name = f"child{n}"
                child = _forked(lambda name=name: put(store, name))  # type: ignore[misc]
                assert os.waitpid(child, 0)[1] == 0
        finally:
            over.set()
        writing.result()
    assert count(store) == 1 + 5 + len(done)
    store.close()


def test_a_store_in_memory_is_copied_by_a_fork() -> None:
    store = SqliteStore(None, OPTIONS)
    put(store, "a")
    child = _forked(lambda: put(store, "b"))
    assert os.waitpid(child, 0)[1] == 0
    assert count(store) == 1
    store.close()


def test_a_worker_is_woken_by_another_connection(store: SqliteStore, path: Path) -> None:
    other = SqliteStore(str(path), OPTIONS)
    put(store, "elsewhere")
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    want = ClaimRequest(queues=("q",), limit=1)
    with ThreadPoolExecutor(2) as pool:
        work = pool.submit(store.wait_then_claim, "s", want, 20.0)
        entry = pool.submit(store.wait_for_entries, 20.0)
        other.enqueue(Batch(messages=(message("a", queue="q"),)))
        assert [c.id for c in work.result(5).claims] == ["a"]
        for _ in range(100):
            other.put_entry(Entry(name="e"))
            with contextlib.suppress(TimeoutError):
                assert entry.result(0.05)
                break
    other.close()
