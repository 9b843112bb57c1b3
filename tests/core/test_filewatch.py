"""Watching a file, and where that cannot be done."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core import filewatch
from reliable_tasks.core.filewatch import Watch, Watches, tell
from reliable_tasks.core.readable import readable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one looks")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.touch()
    return found


def begun(*paths: Path) -> Watch:
    watch = Watch(tuple(map(str, paths)))
    watch.renew()
    return watch


def was_told(watch: Watch) -> bool:
    return readable(watch.fd, 0)


def test_what_is_told_of_either_file_arrives_until_it_is_renewed(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    watch = begun(path, other)
    assert watch.works()
    for one in (path, other):
        watch.renew()
        assert not was_told(watch)
        tell(str(one))
        assert was_told(watch)
    path.write_text("changed, but nothing told")
    watch.renew()
    path.read_text()
    assert not was_told(watch)
    watch.close()


@pytest.mark.parametrize("how", ["replaced", "moved away", "deleted"])
def test_another_file_at_its_path_is_told_of_and_watched(path: Path, how: str) -> None:
    watch = begun(path)
    if how == "replaced":
        new = path.with_name("new")
        new.touch()
        new.rename(path)
    elif how == "moved away":
        path.rename(path.with_name("old"))
    else:
        path.unlink()
    assert was_told(watch), "whoever sleeps has to look"
    if how != "replaced":
        with pytest.raises(FileNotFoundError):
            watch.renew()
        path.touch()
    watch.renew()
    assert not was_told(watch)
    tell(str(path))
    assert was_told(watch)
    watch.close()


def test_telling_of_a_file_that_is_not_there_is_no_error(path: Path) -> None:
    tell(str(path.with_name("none")))


def test_no_program_that_is_started_has_a_watch_and_one_ends_with_its_last_user(path: Path) -> None:
    watch = begun(path)
    number = watch.fd
    assert not os.get_inheritable(number)
    del watch
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(number)


# Lending ------------------------------------------------------------------------------------------


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watches(path: Path, said: list[str]) -> Watches:
    return Watches((str(path),), said.append)


def test_a_watch_is_used_again(watches: Watches) -> None:
    with watches.lent() as first, watches.lent() as second:
        assert first is not None
        assert second is not None
        assert first is not second
    with watches.lent() as third:
        assert third in {first, second}


def test_few_are_kept(watches: Watches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filewatch, "_SPARE_MOST", 1)
    with watches.lent() as first, watches.lent() as second:
        pass
    assert first is not None
    assert second is not None
    assert sorted((first.fd >= 0, second.fd >= 0)) == [False, True]


@pytest.mark.parametrize("reused", [True, False])
def test_one_that_a_body_closed_is_replaced_and_its_number_left_alone(
    watches: Watches, path: Path, said: list[str], *, reused: bool
) -> None:
    with watches.lent() as first:
        assert first is not None
    number = first.fd
    os.close(number)
    file = os.open(path, os.O_RDONLY) if reused else -1
    assert file in {number, -1}
    with watches.lent() as second:
        assert second is not None
        assert second is not first
        assert second.works()
    assert (first.fd, said) == (-1, [])
    if reused:
        os.fstat(file)
        os.close(file)


def test_a_forked_process_does_not_take_what_its_parent_is_told(
    watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watches.lent() as first:
        assert first is not None
        forked = os.getpid() + 1
        monkeypatch.setattr(os, "getpid", lambda: forked)
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            first.renew()
    with watches.lent() as second:
        assert second is not None
        assert second is not first


def test_without_the_file_there_is_none_and_nothing_is_said(said: list[str], path: Path) -> None:
    with Watches((str(path.with_name("none")),), said.append).lent() as watch:
        assert watch is None
    assert said == []


def test_what_is_not_to_be_watched_is_not(said: list[str]) -> None:
    with Watches((), said.append).lent() as watch:
        assert watch is None
    assert said == []


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC])
def test_a_system_that_has_no_more_of_them_is_told_of(
    watches: Watches, said: list[str], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(result: int) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(filewatch, "_checked", refuse)
        for _ in range(3):
            with watches.lent() as watch:
                assert watch is None
        assert len(said) == 3
        assert os.strerror(code) in said[0]
    with watches.lent() as watch:
        assert watch is not None, "there may be some again"


def test_a_file_system_that_does_not_tell_is_noticed(
    watches: Watches, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filewatch, "tell", lambda path: None)
    with watches.lent() as watch:
        assert watch is None
    assert said == ["its file system does not tell of changes"]
