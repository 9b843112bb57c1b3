"""What type checkers say: `delay` keeps a function's signature, and results have their types."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample.py")
MARK = re.compile(r"  # type: ignore\[([a-z-]+)\]$")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The sample without its marks."""
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    bare = tmp_path / "bare.py"
    bare.write_text("\n".join(MARK.sub("", line) for line in lines) + "\n", encoding="utf-8")
    return bare


def marks() -> set[tuple[int, str]]:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    found = {(n, mark[1]) for n, line in enumerate(lines, 1) if (mark := MARK.search(line))}
    assert len(found) >= 20
    return found


def test_mypy_accepts_what_fits_and_refuses_what_does_not(bare: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *("--config-file=", "--no-error-summary", "--no-pretty"),
            *("--cache-dir", str(bare.with_name("cache")), str(bare)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"bare\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    assert {(int(line), code) for line, code in errors} == marks(), done.stdout + done.stderr


def test_pyright_accepts_what_fits_and_refuses_what_does_not(bare: Path) -> None:
    config = {"typeCheckingMode": "standard", "extraPaths": [str(ROOT)]}
    bare.with_name("pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--pythonpath", sys.executable, str(bare)),
        ],
        cwd=bare.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    errors = {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}
    assert errors == {line for line, _ in marks()}, done.stdout
