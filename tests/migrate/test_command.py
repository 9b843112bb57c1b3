"""`python -m reliable_tasks.migrate`: which files, what it writes, and when it says 1."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reliable_tasks.migrate.__main__ import main

PAGE = Path(__file__).parents[2] / "docs/how-to/migrate-from-celery.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "proj"
    for inner in (".git", "venv", "node_modules", "sub"):
        (folder / inner).mkdir(parents=True)
        (folder / inner / "code.py").write_text("import celery\n")
    (folder / "venv" / "pyvenv.cfg").touch()
    (folder / "celery.py").write_text("from celery import Celery\n")
    (folder / "data.txt").write_text("import celery\n")
    return folder


def test_a_folder_is_walked_without_what_is_not_the_programs(project: Path) -> None:
    assert main(["proj"]) == 0
    changed = {str(p.relative_to(project)) for p in project.rglob("*.*") if p.is_file()
               and "reliable_tasks" in p.read_text()}  # fmt: skip
    assert changed == {"celery.py", "sub/code.py"}


def test_a_second_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["proj"])
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*.py")}
    assert main(["proj"]) == 0
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*.py")} == before
    assert capsys.readouterr().out.endswith("changed: 0 files; left: 0\n")


def test_check_writes_nothing_and_says_1_where_something_is_left(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "proj"]) == 1
    assert (project / "celery.py").read_text() == "from celery import Celery\n"
    told = capsys.readouterr().out
    assert "proj/celery.py: imports Celery\n" in told
    assert told.endswith("to change: 2 files; left: 0\n")
    main(["proj"])
    assert main(["--check", "proj"]) == 0
    (project / "by_hand.py").write_text("\nimport celery.bin.worker\n")
    assert main(["--check", "proj"]) == main(["proj"]) == 1
    assert "proj/by_hand.py:2: celery.bin.worker: the command is" in capsys.readouterr().out


def test_what_is_left_is_told_by_the_lines_of_the_file_as_it_is_then(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "from celery.utils import memoize, uuid\nfrom celery.utils import noop\n"
    (project / "two.py").write_text(program)
    main(["proj/two.py"])
    lines = (project / "two.py").read_text().splitlines()
    told = re.findall(r"two\.py:(\d+): celery\.utils\.(\w+)", capsys.readouterr().out)
    assert [name for _, name in told] == ["memoize", "noop"]
    assert all(name in lines[int(line) - 1] for line, name in told)


def test_a_diff_shows_the_change_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--diff", "proj/celery.py"]) == 0
    told = capsys.readouterr().out
    assert "-from celery import Celery\n+from reliable_tasks import App as Celery\n" in told
    assert (project / "celery.py").read_text() == "from celery import Celery\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"import celery\nx = '\xe9'\n", "not UTF-8"),
        (b"# coding: latin-1\nimport celery\nx = '\xe9'\n", "not UTF-8"),
        (b"import celery\nprint 'x'\n", "does not parse"),
        (b"import celery\nx = '\0'\n", "does not parse"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_alone(
    project: Path, capsys: pytest.CaptureFixture[str], data: bytes, why: str
) -> None:
    (project / "odd.py").write_bytes(data)
    assert main(["proj"]) == 1
    assert (project / "odd.py").read_bytes() == data
    assert re.search(rf"proj/odd\.py:\d+: left alone: it .*{why}", capsys.readouterr().out)
    assert "reliable_tasks" in (project / "celery.py").read_text()


def test_modes_and_links_stay(project: Path) -> None:
    file, link = project / "celery.py", project / "link.py"
    file.chmod(0o750)
    link.symlink_to(file)
    main(["proj/link.py"])
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o750
    assert "reliable_tasks" in file.read_text()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["proj/celery.py"]) == 1
    assert (project / "celery.py").read_text() == "from celery import Celery\n"
    assert not list(project.glob(".celery.py*"))
    assert "proj/celery.py:1: left alone: No space left" in capsys.readouterr().out


def test_a_path_that_is_not_there_is_a_mistake(project: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(project / "nowhere")])
    assert end.value.code == 2


def test_the_module_is_the_command(project: Path) -> None:
    command = [sys.executable, "-m", "reliable_tasks.migrate", "--check", "."]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("to change: 2 files; left: 0\n")


def test_the_page_shows_what_the_command_prints(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project)
    project.mkdir()
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    before, told = (text for kind, text in blocks if kind == "text")
    (diff,) = (text for kind, text in blocks if kind == "diff")
    after, *_ = (text for kind, text in blocks if kind == "python")
    file = Path("proj/tasks.py")
    file.write_text(before)
    main(["--diff", "proj"])
    shown = capsys.readouterr().out
    assert diff == "".join(re.findall(r"^[-+@ ].*\n", shown, re.MULTILINE))
    main(["proj"])
    assert capsys.readouterr().out == told
    assert after.removeprefix("# tasks.py\n") == file.read_text()
