"""`delay` keeps a function's signature for type checkers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample.py")
MARK = re.compile(r"  # type: ignore\[([a-z-]+)\]$")


def test_a_type_checker_accepts_what_fits_and_refuses_what_does_not(tmp_path: Path) -> None:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    expected = {(n, found[1]) for n, line in enumerate(lines, 1) if (found := MARK.search(line))}
    assert len(expected) >= 12
    bare = tmp_path / "bare.py"
    bare.write_text("\n".join(MARK.sub("", line) for line in lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *("--config-file=", "--no-error-summary", "--no-pretty"),
            *("--cache-dir", str(tmp_path / "cache"), str(bare)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"bare\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.MULTILINE)
    assert {(int(line), code) for line, code in errors} == expected, done.stdout + done.stderr
