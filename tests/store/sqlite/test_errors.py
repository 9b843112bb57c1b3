"""What goes wrong with a file is said in words, and loses nothing that was acknowledged."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reliable_tasks.errors import (
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import Batch, StoreOptions
from tests.store.driver import kind, message
from tests.store.sqlite.helpers import OPTIONS, count, put, raw

NOBODY = 65534


def test_a_locked_file_is_waited_for_and_then_said_to_be_locked(
    store: SqliteStore, path: Path
) -> None:
    put(store, "a")
    with raw(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match=rf"{path}.*200 ms"):
            put(store, "b")
        assert count(store) == 1  # readers wait for no writer
    put(store, "b")
    assert count(store) == 2


def test_a_lock_given_up_in_time_is_only_waited_for(path: Path) -> None:
    store = SqliteStore(str(path), StoreOptions(busy_timeout_ms=20_000))
    put(store, "a")
    with raw(path) as connection, ThreadPoolExecutor(1) as pool:
        connection.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(put, store, "b")
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        connection.execute("COMMIT")
        waiting.result(20)
    assert count(store) == 2
    store.close()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "no/where.db"), OPTIONS)
    with pytest.raises(StoreUnavailable, match=r"make the directory .*/no"):
        store.counts()
    (tmp_path / "no").mkdir()
    assert count(store) == 0
    store.close()


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path), OPTIONS)
    with pytest.raises(StoreUnavailable, match="cannot be opened: is it a file"):
        store.counts()


@contextlib.contextmanager
def _without_privileges() -> Iterator[None]:
    """The superuser may write to what is read-only."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_file_can_be_read_and_says_that_it_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        keeper = SqliteStore(str(path), OPTIONS)
        put(keeper, "a")
        Path(folder).chmod(0o777)
        for file in Path(folder).iterdir():
            file.chmod(0o444)
        store = SqliteStore(str(path), OPTIONS)
        with _without_privileges():
            assert count(store) == 1
            with pytest.raises(StoreReadOnly, match="make the file and its directory writable"):
                put(store, "b")
            store.close()
        assert count(keeper) == 1
        keeper.close()


def _put_until_full(store: SqliteStore) -> int:
    for n in range(10_000):
        try:
            put(store, f"m{n}")
        except StoreFull:
            return n
    raise AssertionError("the file never filled up")


def test_a_full_disk_loses_nothing_that_was_acknowledged(store: SqliteStore) -> None:
    put(store, "first")
    connection = store._database._ready()
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages + 20)
    acknowledged = 1 + _put_until_full(store)
    assert count(store) == acknowledged
    with pytest.raises(StoreFull, match="make room"):
        store.enqueue(Batch(messages=tuple(message(f"x{i}") for i in range(1000))))
    assert count(store) == acknowledged
    connection.pragma("max_page_count", 1_000_000)
    put(store, "more")
    assert count(store) == acknowledged + 1


@pytest.mark.parametrize("plainly", [True, False])
def test_a_verb_that_fails_in_the_middle_is_undone(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, *, plainly: bool
) -> None:
    def put_one(name: str) -> None:
        if plainly:
            store.enqueue_plain(kind(), [name], [b""])
        else:
            put(store, name)

    put_one("a")
    statement = "plain.COUNT_QUEUED" if plainly else "unit_of_work.COUNT_ADD"
    with monkeypatch.context() as patch:
        patch.setattr(f"reliable_tasks.store.sqlite.{statement}", "INSERT INTO nothing VALUES")
        with pytest.raises(StoreError, match="nothing"):
            put_one("b")
    assert store.read(["b"]) == (None,)
    put_one("b")
    assert count(store) == 2


def test_a_file_that_vanished_is_unavailable_until_it_is_back(
    store: SqliteStore, path: Path
) -> None:
    put(store, "a")
    store.close()
    away = path.rename(path.with_name("away.db"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="put the file back"):
            put(store, "b")
    assert not path.exists()
    away.rename(path)
    put(store, "b")
    assert count(store) == 2


def test_a_file_that_was_replaced_is_opened_anew(store: SqliteStore, path: Path) -> None:
    put(store, "a")
    for file in path.parent.glob("store.db*"):
        file.unlink()
    other = SqliteStore(str(path), OPTIONS)
    put(other, "b", "c")
    assert count(store) == 2
    other.close()


def test_a_damaged_file_is_said_to_be_damaged(store: SqliteStore, path: Path) -> None:
    put(store, *(f"m{i}" for i in range(500)))
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        store.counts()
