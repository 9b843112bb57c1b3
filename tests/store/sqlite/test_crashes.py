"""What a process leaves that is killed at any write of a checkpoint, or while a file shrinks."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from reliable_tasks.errors import StoreError
from reliable_tasks.store.sqlite import SqliteStore, stamp, vacuum
from reliable_tasks.store.sqlite import connection as connections
from reliable_tasks.store.sqlite.stamp import Stamped
from reliable_tasks.store.values import Batch, SessionInfo
from tests.store.driver import message
from tests.store.sqlite.helpers import OPTIONS, count, put, raw

VFS = "watched"


class Disk(apsw.VFS):
    """SQLite's disk, and what is done before each of its changes."""

    def __init__(self) -> None:
        super().__init__(VFS, "")
        self.before: Callable[[str], None] | None = None

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return File(self, name, flags)

    def change(self, name: str) -> None:
        if (act := self.before) is not None:
            self.before = None  # what it does itself is not watched
            act(name)
            self.before = act


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._name = name if isinstance(name, str) or name is None else name.filename()

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.change(self._name or "")
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.change(self._name or "")
        super().xTruncate(size)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk of all stores that are opened."""

    class OnDisk(Stamped):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, vfs=VFS, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(connections, "Stamped", OnDisk)
    disk = Disk()
    yield disk
    disk.unregister()


class Killed:
    """Copies of a store as a process would leave it that is killed before each of its writes."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self.left = list[Path]()

    def __call__(self, _: str) -> None:
        place = self._folder / f"left-{len(self.left)}"
        place.mkdir()
        self.left.append(place / "store.db")
        for end in ("", "-wal"):
            if (file := Path(f"{self._path}{end}")).exists():
                shutil.copy(file, f"{self.left[-1]}{end}")


def assert_whole(path: Path, messages: int) -> None:
    """A store opens what was left, finds all that was committed, and has nothing to warn of."""
    store = SqliteStore(str(path), OPTIONS)
    assert count(store) == messages
    assert store.health().warnings == ()
    put(store, "after")
    store.close()
    with raw(path) as connection:
        assert connection.execute("PRAGMA integrity_check").get == "ok"


def length_of(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def test_a_checkpoint_may_be_killed_at_any_write(
    path: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FEW_LOG_PAGES", 1)
    store = SqliteStore(str(path), OPTIONS)
    put(store, *(f"m{n}" for n in range(40)))
    killed = disk.before = Killed(path, tmp_path)
    store._database.shorten_log()
    put(store, "one more")  # which begins the log anew
    put(store, "and one")
    disk.before = None
    store.close()
    assert len(killed.left) > 20
    monkeypatch.undo()
    seen = set[int]()
    for left in killed.left:
        with contextlib.closing(SqliteStore(str(left), OPTIONS)) as found:
            seen.add(count(found))
        assert_whole(left, max(seen))
    assert seen == {40, 41}


def test_a_log_begun_anew_is_not_that_of_an_older_file(
    path: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "FEW_LOG_PAGES", 1)
    store = SqliteStore(str(path), OPTIONS)
    put(store, "first")
    backup = tmp_path / "backup.db"
    store.backup(str(backup))
    for n in range(4):
        put(store, f"m{n}")
        store._database.shorten_log()
    killed = disk.before = Killed(path, tmp_path)
    put(store, "last")
    disk.before = None
    store.close()
    for left in killed.left[-2:]:
        shutil.copy(backup, left)
        with pytest.raises(StoreError, match="is the log of another state"):
            SqliteStore(str(left), OPTIONS).counts()


def test_a_log_is_begun_anew_though_somebody_always_writes(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own checkpoints never came to the end of it, and it grew."""
    monkeypatch.setattr(connections, "LOG_PAGES", 30)
    store, other = SqliteStore(str(path), OPTIONS), SqliteStore(str(path), OPTIONS)
    number = 0

    def meanwhile(name: str) -> None:
        nonlocal number
        if name.endswith("-wal"):
            return
        with contextlib.suppress(StoreError):  # busy: it is the rest
            number += 1
            other._database.write_if_free(lambda c: c.execute(UPDATE, (number,)))

    put(store, "first")
    disk.before = meanwhile
    largest = 0
    for n in range(200):
        put(store, f"m{n}")
        largest = max(largest, length_of(path))
    disk.before = None
    assert number > 100
    assert largest < 150 * 4120
    store.close()
    other.close()


UPDATE = "UPDATE records SET due = ?1 WHERE id = 'first'"


def test_a_log_that_a_reader_held_is_short_again_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOG_PAGES", 30)
    store = SqliteStore(str(path), OPTIONS)
    put(store, "first")
    with raw(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchall()
        for n in range(60):
            put(store, f"m{n}")
        held = length_of(path)
        assert held > 100 * 4120, "no page that somebody may read is written over"
        monkeypatch.setattr(stamp, "LARGE_LOG", held - 1)
        assert any("reading an old state" in text for text in store.health().warnings)
    for n in range(60, 80):
        put(store, f"m{n}")
    assert length_of(path) < held / 2
    assert store.health().warnings == ()
    assert count(store) == 81
    store.close()


# Shrinking --------------------------------------------------------------------------------------


def nobody(_done: int, _pages: int) -> None:
    """Is told of the steps."""


def with_holes(path: Path, *, older: bool = False) -> SqliteStore:
    """A store that has had more in it than it has."""
    if older:
        with raw(path) as connection:
            connection.execute("PRAGMA auto_vacuum = NONE")
            connection.execute("CREATE TABLE gone (x); DROP TABLE gone")
        path.chmod(0o600)
    store = SqliteStore(str(path), OPTIONS)
    large = tuple(message(f"m{n}", payload=b"x" * 2_000) for n in range(130))
    store.enqueue(Batch(messages=large))
    assert store.purge("celery", 120) == 120
    assert store.drop([f"m{n}" for n in range(120)]) == 120
    store._database.shorten_log(1)
    return store


@pytest.mark.parametrize("older", [False, True])
def test_a_file_shrinks_to_what_is_in_it(path: Path, older: bool) -> None:
    store = with_holes(path, older=older)
    before = path.stat().st_size
    told = list[tuple[int, int]]()
    sizes = store.vacuum(lambda *now: told.append(now))
    assert sizes == (before, path.stat().st_size)
    assert sizes[1] < before / 1.5
    assert older or told[-1][0] == told[-1][1] > 20
    assert count(store) == 10
    assert store._database.use(lambda c: c.execute("PRAGMA freelist_count").get) == 0
    store.close()


@pytest.mark.parametrize("older", [False, True])
def test_it_may_be_killed_at_any_write_while_its_file_shrinks(
    path: Path, tmp_path: Path, disk: Disk, older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "STEP_PAGES", 10)
    store = with_holes(path, older=older)
    killed = disk.before = Killed(path, tmp_path)
    store.vacuum(nobody)
    disk.before = None
    store.close()
    monkeypatch.undo()
    assert len(killed.left) > 40
    for left in killed.left[:: len(killed.left) // 12]:
        assert_whole(left, 10)


def test_a_file_of_an_older_release_is_not_rewritten_under_its_workers(path: Path) -> None:
    store = with_holes(path, older=True)
    store.open_session(SessionInfo(id="s", worker="w@h"), 60_000)
    with pytest.raises(StoreError, match=r"stop the workers \(1 processes\)"):
        store.vacuum(nobody)
    store.close_session("s")
    store.vacuum(nobody)
    store.open_session(SessionInfo(id="s", worker="w@h"), 60_000)
    store.vacuum(nobody)
    store.close()


def test_what_has_no_file_cannot_shrink(path: Path) -> None:
    with pytest.raises(StoreError, match="in memory"):
        SqliteStore(None, OPTIONS).vacuum(nobody)
    with pytest.raises(StoreError, match="is not the file of a store"):
        SqliteStore(str(path), OPTIONS).vacuum(nobody)
    assert not path.exists()
