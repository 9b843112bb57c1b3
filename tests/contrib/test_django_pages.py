"""The pages about Django, followed as their readers do: in a project that `startproject` makes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.contrib.django_projects import ROOT
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ["docs/how-to/django.md", "docs/how-to/zh/django.md"]
_BLOCK = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w/]+\.py)(?P<more>, continued)?\n")


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PAGES)
def test_the_page_runs(name: str, tmp_path: Path) -> None:
    run(tmp_path, "-m", "django", "startproject", "proj", ".")
    run(tmp_path, "-m", "django", "startapp", "shop")
    programs = []
    for block in _BLOCK.findall((ROOT / name).read_text(encoding="utf-8")):
        named = _FILE.match(block)
        if named is None:
            programs.append(block)
            continue
        file = tmp_path / named["name"]
        before = file.read_text(encoding="utf-8") if named["more"] else ""
        file.write_text(before + block, encoding="utf-8")
    assert len(programs) == 2
    for program in programs:
        run(tmp_path, "manage.py", "shell", "--verbosity=0", "-c", program)
    assert "no issues" in run(tmp_path, "manage.py", "check")
    assert "QUEUE" in run(tmp_path, "manage.py", "reliable_tasks", "status")
