"""Who waits for something in a file is woken by who writes it, and looks now and then anyway."""

from __future__ import annotations

import errno
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from reliable_tasks import events
from reliable_tasks.core import clock, filewatch, waiting
from reliable_tasks.core.outcome import Succeeded
from reliable_tasks.errors import StoreBusy, StoreUnavailable
from reliable_tasks.store.sqlite import SqliteStore, news, waits
from reliable_tasks.store.values import ClaimRequest, Commit, Entry, SessionInfo
from tests.patience import PATIENCE_S
from tests.store.sqlite.helpers import OPTIONS, put, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

T = TypeVar("T")
LONG_S = 4 * PATIENCE_S
WANT = ClaimRequest(queues=("celery",), limit=5)

watched = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one looks")


class Looks:
    """Counts how often somebody looks whether the file has changed."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        self.some = threading.Semaphore(0)
        ask = store._database._changes

        def counted(connection: Any) -> tuple[int, int]:
            self.number += 1
            self.some.release()
            return ask(connection)

        monkeypatch.setattr(store._database, "_changes", counted)

    def wait_for(self, number: int) -> None:
        for _ in range(number):
            assert self.some.acquire(timeout=PATIENCE_S)


@pytest.fixture
def only_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not told waits for longer than we do."""
    monkeypatch.setattr(waits, "LONGEST_WAIT_S", LONG_S)
    monkeypatch.setattr(waiting, "UNTOLD_PAUSE_S", LONG_S)


@pytest.fixture
def other(path: Path, store: SqliteStore) -> Iterator[SqliteStore]:
    """The same file as another process has it."""
    store.open_session(SessionInfo(id="s", worker="w"), 600_000)
    opened = SqliteStore(str(path), OPTIONS)
    opened.counts()  # to open a file may tell of it: root sets the owner of the log
    yield opened
    opened.close()


@contextmanager
def in_a_thread(wait: Callable[[], T]) -> Iterator[Callable[[], T]]:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(wait)
        yield lambda: future.result(PATIENCE_S)


def claimed(store: SqliteStore) -> list[str]:
    return [c.id for c in store.wait_then_claim("s", WANT, LONG_S).claims]


# Being told ---------------------------------------------------------------------------------------


@watched
@pytest.mark.usefixtures("only_told")
def test_an_idle_worker_looks_only_when_it_is_told(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(store, monkeypatch)
    with in_a_thread(lambda: claimed(store)) as answer:
        looks.wait_for(2)  # before the watch began, and after
        assert not looks.some.acquire(timeout=0.1)
        put(other, "a")
        assert answer() == ["a"]
    assert looks.number == 2, "it was told, and did not have to ask"


@watched
@pytest.mark.usefixtures("only_told")
def test_what_is_no_work_wakes_no_worker(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(other, "a")
    other.open_session(SessionInfo(id="t", worker="v"), 600_000)
    (claim,) = other.exchange("t", (), WANT).claims
    looks, reading = Looks(store, monkeypatch), threading.Event()
    read = store._glance

    def noted(look: Any) -> Any:
        reading.set()
        return read(look)

    with in_a_thread(lambda: claimed(store)) as answer:
        looks.wait_for(2)
        monkeypatch.setattr(store, "_glance", noted)
        commit = Commit(id="a", fence=claim.fence, outcome=Succeeded())
        other.exchange("t", (commit,), None)
        other.heartbeat(["t"], 600_000)
        other.put_entry(Entry(name="e"))
        assert not reading.wait(0.1)
        put(other, "b")
        assert answer() == ["b"]


@watched
@pytest.mark.usefixtures("only_told")
def test_a_wait_whose_file_is_deleted_ends_at_once(
    path: Path, store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(store, monkeypatch)
    with in_a_thread(lambda: store.read_ended("a", LONG_S)) as answer:
        looks.wait_for(2)
        other.close()
        path.unlink()
        with pytest.raises(StoreUnavailable, match="is gone"):
            answer()


@watched
@pytest.mark.usefixtures("only_told")
def test_a_log_that_is_made_anew_is_watched(
    path: Path, store: SqliteStore, other: SqliteStore
) -> None:
    with in_a_thread(lambda: store.wait_then_claim("s", WANT, 0.05)) as answer:
        assert answer().claims == ()
    other.close()
    store.close()
    assert not path.with_name(f"{path.name}-wal").exists()
    with in_a_thread(lambda: claimed(store)) as answer2:
        put(other, "a")
        assert answer2() == ["a"]


@watched
def test_a_store_that_is_closed_has_no_watches_until_it_is_used_again(store: SqliteStore) -> None:
    for _ in range(2):
        assert not store.wait({"a": -1}, 0.01)
        assert store.read_ended("a", 0.01) is None
        assert not store.wait_then_claim("s", WANT, 0.01).claims
        kept = [w.fd for w in (*store._news.of_all._spare, *store._news.of_changes._spare)]
        kept += [w.fd for w in store._news.of_work._spare]
        assert len(kept) == 3
        store.close()
        for fd in kept:
            with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
                os.fstat(fd)


# Not being told -----------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["the word is lost", "there are no watches", "all are closed"])
def test_whoever_is_not_told_finds_it_all_the_same(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    looks = Looks(store, monkeypatch)
    if broken == "the word is lost":
        monkeypatch.setattr(news, "tell", lambda path: None)
        monkeypatch.setattr(waiting, "UNTOLD_PAUSE_S", 0.05)
    elif broken == "there are no watches":
        monkeypatch.setattr(filewatch.Watches, "_new_one", lambda self: None)
    with in_a_thread(lambda: claimed(store)) as answer:
        looks.wait_for(2)
        if broken == "all are closed":
            monkeypatch.setattr(filewatch.Watch, "renew", _closed)
            store._news.tell(work=True, changes=True)
            looks.wait_for(2)
        put(other, "a")
        assert answer() == ["a"]
    (claim,) = store.held("s")
    looks = Looks(store, monkeypatch)
    with in_a_thread(lambda: store.read_ended("a", LONG_S)) as ended:
        looks.wait_for(2)
        commit = Commit(id="a", fence=claim.fence, outcome=Succeeded(result=b"1"))
        other.exchange("s", (commit,), None)
        assert ended() is not None


def _closed(_: filewatch.Watch) -> None:
    raise OSError("closed")


@watched
def test_that_a_file_cannot_be_watched_is_told_once(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[tuple[str, str]]()

    def hear(_: str, fields: Mapping[str, Any]) -> None:
        heard.append((fields["store"], fields["reason"]))

    monkeypatch.setattr(filewatch, "tell", lambda path: None)
    end = events.subscribe(hear, "store.not_watched")
    try:
        for _ in range(2):
            assert store.read_ended("a", 0.01) is None
            assert not store.wait({"a": -1}, 0.01)
            assert not store.wait_for_entries(0.01)
    finally:
        end()
    assert heard == [(str(path), "its file system does not tell of changes")]


# Many that wait -----------------------------------------------------------------------------------


def test_whoever_finds_another_writing_looks_again(
    path: Path, store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the file's lock, and need not be told."""
    put(other, "a")
    claim, found_busy = store._claim, threading.Event()

    def noted(*args: Any, **how: Any) -> Any:
        got = claim(*args, **how)
        if got is None:
            found_busy.set()
        return got

    began = clock.monotonic()
    with raw(path) as writing:
        writing.execute("BEGIN IMMEDIATE")
        assert store._claim("s", WANT, patiently=False) is None
        assert clock.monotonic() - began < OPTIONS.busy_timeout_ms / 1000
        monkeypatch.setattr(store, "_claim", noted)
        with in_a_thread(lambda: claimed(store)) as answer:
            assert found_busy.wait(PATIENCE_S)
            writing.execute("ROLLBACK")
            assert answer() == ["a"]


def test_whoever_finds_others_writing_all_the_time_waits_for_its_turn(
    path: Path, store: SqliteStore, other: SqliteStore
) -> None:
    put(other, "a")
    with raw(path) as writing:
        writing.execute("BEGIN IMMEDIATE")
        with in_a_thread(lambda: claimed(store)) as answer, pytest.raises(StoreBusy):
            answer()
    assert claimed(store) == ["a"], "and is as patient with what it does next"


def test_one_message_is_claimed_by_one_of_many(
    path: Path, store: SqliteStore, other: SqliteStore
) -> None:
    stores = [SqliteStore(str(path), OPTIONS) for _ in range(6)]
    reading, writing = os.pipe()
    try:
        with ThreadPoolExecutor(len(stores)) as pool:
            waits_ = [pool.submit(s.wait_then_claim, "s", WANT, LONG_S, reading) for s in stores]
            put(other, "a")
            while not other.held("s"):
                assert not all(w.done() for w in waits_)
            os.write(writing, b"x")
            claims = [c.id for w in waits_ for c in w.result(PATIENCE_S).claims]
        assert claims == ["a"]
    finally:
        os.close(reading)
        os.close(writing)
        for one in stores:
            one.close()
