"""A file and a log that do not belong together; copies, permissions and backups of a live file."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.errors import StoreError, StoreVersionError
from reliable_tasks.store.sqlite import SqliteStore, schema
from reliable_tasks.store.sqlite import stamp as stamps
from tests.store.sqlite.helpers import OPTIONS, ROOT, count, put, raw

DIES = """
import os, sys
from reliable_tasks.store.sqlite import SqliteStore
from tests.store.sqlite.helpers import OPTIONS, put
store = SqliteStore(sys.argv[1], OPTIONS)
for part in sys.argv[2:]:
    if part == "checkpoint":
        store._database._ready().execute("PRAGMA wal_checkpoint")
    else:
        put(store, part)
os.kill(os.getpid(), 9)
"""


def dies_after(path: Path, *parts: str) -> None:
    """Let a process do this to a store and be killed: the log is left."""
    command = [sys.executable, "-c", DIES, str(path), *parts]
    done = subprocess.run(command, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


def opened(path: Path) -> SqliteStore:
    return SqliteStore(str(path), OPTIONS)


def warnings_of(path: Path) -> tuple[str, ...]:
    store = opened(path)
    found = store.health().warnings
    store.close()
    return found


def files(path: Path) -> set[str]:
    return {p.name.removeprefix(path.name) for p in path.parent.iterdir()}


# What belongs together --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "runs",
    [
        (["a"],),
        (["a", "b"], ["c"]),
        (["a", "checkpoint", "b"], ["c", "checkpoint"], ["d"]),
        (["a", "checkpoint", "b", "checkpoint", "c"], ["checkpoint", "d", "e", "f"]),
    ],
)
def test_a_killed_process_leaves_a_file_and_a_log_that_belong_together(
    path: Path, runs: tuple[list[str], ...]
) -> None:
    for parts in runs:
        dies_after(path, *parts)
    store = opened(path)
    assert count(store) == sum(part != "checkpoint" for parts in runs for part in parts)
    assert store.health().warnings == ()
    store.close()
    assert warnings_of(path) == ()


def restored(path: Path, older: Callable[[], Path]) -> SqliteStore:
    """An older state of a file, put back under the log of a newer one."""
    put(store := opened(path), "old")
    store.close()
    old = older()
    put(store, "between")
    store.close()
    dies_after(path, *map(str, range(20)), "checkpoint", "last", "very last")
    assert "-wal" in files(path)
    shutil.copy(old, path)
    return store


def test_an_older_file_under_a_newer_log_is_refused(path: Path, tmp_path: Path) -> None:
    def older() -> Path:
        return Path(shutil.copy(path, tmp_path / "copied.db"))

    store = restored(path, older)
    before = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"-wal is the log of another state .* Move "):
            store.counts()
    assert before == (path.read_bytes(), Path(f"{path}-wal").read_bytes()), "nothing was touched"
    for log in ("-wal", "-shm"):
        Path(f"{path}{log}").rename(tmp_path / f"away{log}")
    assert count(store) == 1, "that was the remedy"
    store.close()


def test_a_backup_under_a_newer_log_is_refused(path: Path, tmp_path: Path) -> None:
    def older() -> Path:
        opened(path).backup(str(tmp_path / "backup.db"))
        return tmp_path / "backup.db"

    store = restored(path, older)
    with pytest.raises(StoreError, match="log of another state"):
        store.counts()


def test_another_stores_file_under_a_log_is_refused(path: Path, tmp_path: Path) -> None:
    other = opened(tmp_path / "other.db")
    put(other, "other")
    other.close()
    dies_after(path, "a", "b")
    shutil.copy(tmp_path / "other.db", path)
    with pytest.raises(StoreError, match="log of another state"):
        opened(path).counts()


@given(st.integers(0, stamps.GENERATIONS - 1), st.lists(st.integers(1, 2), max_size=5))
def test_a_log_follows_the_generation_before_it_and_its_own(start: int, steps: list[int]) -> None:
    in_log = [(start + sum(steps[: n + 1])) % stamps.GENERATIONS for n in range(len(steps))]
    for generation in (start, *in_log):
        assert stamps._fits(generation, iter(in_log))
    if in_log:
        assert not stamps._fits((in_log[0] - 3) % stamps.GENERATIONS, iter(in_log))
        assert not stamps._fits((in_log[-1] + 1) % stamps.GENERATIONS, iter(in_log))


# Copies of the file alone -----------------------------------------------------------------------


def test_a_copy_without_its_log_is_noticed(path: Path, tmp_path: Path) -> None:
    store = opened(path)
    put(store, "a")
    put(store, "b")
    copy = opened(Path(shutil.copy(path, tmp_path / "copy.db")))
    assert any("the log of the original is missing" in text for text in copy.health().warnings)
    copy.close()
    store.close()
    whole = opened(Path(shutil.copy(path, tmp_path / "whole.db")))
    assert whole.health().warnings == ()
    assert count(whole) == 2
    whole.close()


def test_a_new_file_has_its_tables_without_its_log(path: Path, tmp_path: Path) -> None:
    store = opened(path)
    store.counts()
    with raw(Path(shutil.copy(path, tmp_path / "copy.db"))) as connection:
        assert connection.execute("SELECT count(*) FROM records").get == 0
    store.close()


def test_a_program_that_closes_nothing_leaves_a_whole_file(path: Path) -> None:
    program = DIES.replace("os.kill(os.getpid(), 9)", "")
    subprocess.run(
        [sys.executable, "-c", program, str(path), "a"], cwd=ROOT, check=True, timeout=60
    )
    assert files(path) == {""}
    assert warnings_of(path) == ()


def test_two_that_close_one_after_the_other_leave_a_whole_file(path: Path) -> None:
    first, second = opened(path), opened(path)
    for name, store in enumerate((first, second, first, second)):
        put(store, str(name))
    first.close()
    put(second, "last")
    second.close()
    assert warnings_of(path) == ()


# Migrated under a running process ---------------------------------------------------------------


def test_a_process_whose_file_was_migrated_says_so(path: Path) -> None:
    store = opened(path)
    put(store, "a")
    with raw(path) as newer:
        stamp = stamps.with_version(newer.pragma("user_version"), schema.VERSION + 1)
        newer.execute("ALTER TABLE records ADD COLUMN more")
        newer.pragma("user_version", stamp)
    for use in (store.counts, lambda: put(store, "b"), lambda: store.read(["a"])):
        with pytest.raises(StoreVersionError, match="restart it with the newer release"):
            use()
    store.close()


# Permissions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o600), (0o077, 0o660), (0, 0o600)])
def test_files_have_the_permissions_that_they_are_to_have(
    path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        store = SqliteStore(str(path), OPTIONS, file_mode=mode)
        put(store, "a")
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            assert stat.S_IMODE(name.stat().st_mode) == mode
        assert store.health().warnings == ()
        store.close()
    finally:
        os.umask(before)


def test_a_file_that_is_there_keeps_its_permissions_and_is_warned_of(path: Path) -> None:
    path.touch()
    path.chmod(0o644)
    store = opened(path)
    assert any("chmod 600" in text for text in store.health().warnings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    store.close()


# Backups ----------------------------------------------------------------------------------------


def test_a_backup_is_whole_while_others_write(path: Path, tmp_path: Path) -> None:
    store, writer = opened(path), opened(path)
    put(store, "first")
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            put(writer, f"n{number}")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for n in range(5):
            counts = store.backup(str(tmp_path / f"{n}.db"))
            copy = opened(tmp_path / f"{n}.db")
            assert copy.counts() == counts
            assert sum(counts.states.values()) >= 1
            assert copy.health().warnings == ()
            copy.close()
    finally:
        over.set()
        thread.join()
    writer.close()
    store.close()


def test_a_backup_is_one_private_file(path: Path, tmp_path: Path) -> None:
    put(store := opened(path), "a")
    place = tmp_path / "backups"
    place.mkdir()
    store.backup(str(place / "copy.db"))
    assert [p.name for p in place.iterdir()] == ["copy.db"]
    assert stat.S_IMODE((place / "copy.db").stat().st_mode) == 0o600
    with raw(place / "copy.db") as connection:
        assert connection.pragma("journal_mode") == "delete"
    store.close()


def test_backups_leave_no_descriptor_open(path: Path, tmp_path: Path) -> None:
    put(store := opened(path), "a")
    open_files = []
    for number in range(4):
        store.backup(str(tmp_path / f"{number}.db"))
        open_files.append(sum(1 for _ in Path("/dev/fd").iterdir()))
    # SQLite itself keeps one until the store is closed: locks are the process's.
    assert open_files[1] == open_files[-1]
    store.close()


def test_a_backup_replaces_nothing_unasked(path: Path, tmp_path: Path) -> None:
    put(store := opened(path), "a")
    there = tmp_path / "there.db"
    there.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        store.backup(str(there))
    assert there.read_text() == "mine"
    store.backup(str(there), force=True)
    copy = opened(there)
    assert count(copy) == 1
    copy.close()
    Path(f"{there}-wal").write_bytes(b"of somebody")
    with pytest.raises(StoreError, match="would be taken for that of the copy"):
        store.backup(str(there), force=True)
    with pytest.raises(StoreError, match="is the store itself"):
        store.backup(str(path), force=True)
    with pytest.raises(StoreError, match="make the directory"):
        store.backup(str(tmp_path / "no" / "where.db"))
    with pytest.raises(StoreError, match="not the file of a store"):
        opened(tmp_path / "absent.db").backup(str(tmp_path / "b.db"))
    with pytest.raises(StoreError, match="in memory"):
        SqliteStore(None, OPTIONS).backup(str(tmp_path / "b.db"))
    assert not list(tmp_path.glob("*.part*"))
    store.close()


def test_a_backup_of_a_damaged_store_is_not_kept(path: Path, tmp_path: Path) -> None:
    put(store := opened(path), *(f"m{n}" for n in range(200)))
    store.close()
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    with pytest.raises(StoreError, match="damaged"):
        store.backup(str(tmp_path / "b.db"))
    assert not list(tmp_path.glob("b.db*"))


def test_a_connection_of_another_process_says_nothing(path: Path) -> None:
    """What was forked without our knowing writes nothing when it closes."""
    put(store := opened(path), "a")
    connection = store._database._ready()
    assert isinstance(connection, stamps.Stamped)
    connection._pid = os.getpid() + 1
    store.close()
    assert stamps.lacks_its_log(str(path))
