"""What is about SQLite alone."""

import os
import stat
import threading
import time
from pathlib import Path

import apsw
import pytest

import locks
from locks import Lock, LockError, LockStoreError, sqlite_backend
from locks.statements import load_sql


def test_the_file_is_made_with_a_log_and_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    with Lock("x", path):
        connection = apsw.Connection(str(path))
        assert connection.pragma("journal_mode") == "wal"
        rows = list(connection.execute("SELECT name, fence FROM locks"))
        assert rows == [("locks:x", 1)]
        connection.close()


@pytest.mark.parametrize("umask", [0, 0o022])
def test_the_file_is_for_its_user_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "locks.db"
    before = os.umask(umask)
    try:
        with Lock("x", path):
            for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                assert stat.S_IMODE(name.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_file_for_several_users_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    path.touch(mode=0o600)
    path.chmod(0o660)
    with Lock("x", path):
        assert stat.S_IMODE(Path(f"{path}-wal").stat().st_mode) == 0o660


def test_the_schema_may_be_run_again_in_a_database_that_has_it(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "other.db"))
    for _ in range(2):
        connection.execute(load_sql("locks", "schema"))
    assert connection.execute(load_sql("locks", "fence_next")).get == 1
    connection.close()


def test_fences_grow_after_the_process_forgot_the_file(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    fences = []
    for _ in range(3):
        with Lock("x", path) as lease:
            fences.append(lease.fence)
        assert fences == list(range(1, len(fences) + 1))


def test_memory_is_no_place_for_a_lock() -> None:
    with pytest.raises(LockError, match="a file that others can open"):
        Lock("x", ":memory:")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(LockStoreError, match="no/such"):
        Lock("x", tmp_path / "no" / "such" / "file.db").try_acquire()


def test_a_writer_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "locks.db"
    lock = Lock("x", path)
    assert not lock.locked()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockStoreError, match="locked by another process for 50 ms"):
        lock.try_acquire()
    other.execute("ROLLBACK")
    other.close()
    with lock as lease:
        assert lease.valid


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    lock = Lock("x", path)
    with lock:
        assert lock.locked()
    for file in tmp_path.iterdir():
        file.unlink()
    with lock:
        assert [info.name for info in locks.inspect(path)] == ["x"]


def test_no_connection_is_open_across_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    lock = Lock("x", path, auto_renew=False)
    lease = lock.acquire()

    def open_files() -> list[str]:
        links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
        names = [str(link.readlink()) for link in links]
        return [name for name in names if name.startswith(str(path))]

    assert open_files()
    child = os.fork()
    if child == 0:
        os._exit(len(open_files()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lease.release()


def test_a_call_that_interrupts_another_of_its_thread_comes_first(tmp_path: Path) -> None:
    """As a signal handler or a `__del__` does; the interrupted one begins again."""
    path = tmp_path / "locks.db"
    with Lock("x", path):
        file = Lock("x", path)._backend._file  # type: ignore[attr-defined]
        taken: list[object] = []

        def call(connection: apsw.Connection) -> None:
            if not taken:
                taken.append(Lock("y", path).try_acquire())
            taken.append(connection.in_transaction)

        file.write(call)
        assert taken[1:] == [False, True]
        assert Lock("y", path).locked()


def test_threads_that_fork_and_lock_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    lock = Lock("x", tmp_path / "locks.db", auto_renew=False)
    stop = threading.Event()
    rounds: list[int] = []

    def work() -> None:
        while not stop.is_set():
            with lock as lease:
                rounds.append(lease.fence)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(4):
        child = os.fork()
        if child == 0:
            lock.owner()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    thread.join()
    assert rounds == sorted(set(rounds))


def test_records_of_locks_that_nobody_takes_again_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    backend = sqlite_backend.SqliteBackend(path, "locks")
    old = time.time_ns() // 1_000_000 - 2 * sqlite_backend.SWEEP_AFTER_MS
    for number in range(5):
        backend.take(locks._ops.Subject("lock", f"old-{number}"), "gone", 1000, now=old)
    with Lock("new", path):
        assert sorted(backend.names()) == [("lock", "new")]
