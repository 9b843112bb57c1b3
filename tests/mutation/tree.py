"""A copy of the project's files, to break in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["CORE", "ROOT", "Tree", "core_files", "digest"]

ROOT = Path(__file__).parents[2]
CORE = ("store", "worker", "attempts", "canvas", "core/once.py", "core/retry.py")


_BUILT = "reliable_tasks/store/redis/lua/built"
_NOT_COPIED = (".git", ".venv", ".mutation", ".hypothesis", ".*_cache", "__pycache__", "*.db*")


def core_files() -> list[str]:
    """The files whose lines are broken."""
    homes = [ROOT / "reliable_tasks" / part for part in CORE]
    found = [p for home in homes for p in ([home] if home.is_file() else home.rglob("*"))]
    names = [p.relative_to(ROOT).as_posix() for p in found]
    return sorted(n for n in names if n.endswith((".py", ".lua", ".sql")) and not _is_made(n))


def _is_made(name: str) -> bool:
    """Whether it is made of other sources, and would be made anew."""
    with (ROOT / name).open(encoding="utf-8") as file:
        return "by `python -m tests.lua.build`" in next(file, "")


def digest(*files: str) -> str:
    """Of what these files contain."""
    all_of_it = hashlib.sha256()
    for name in files:
        all_of_it.update(f"{name}\0".encode() + (ROOT / name).read_bytes())
    return all_of_it.hexdigest()[:16]


class Tree:
    """A copy of the working tree in a temporary folder, and pytest run in it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="rt-mutation-"))
        left_out = shutil.ignore_patterns(*_NOT_COPIED)
        shutil.copytree(ROOT, self.path, ignore=left_out, dirs_exist_ok=True)

    def write(self, name: str, text: str) -> None:
        """Write a file, and forget what Python had compiled of it."""
        path = self.path / name
        path.write_text(text, "utf-8")
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        if name.endswith(".lua"):
            shutil.rmtree(self.path / _BUILT)  # what cannot be built must not pass
            self.run(["-m", "tests.lua.build"], 60)

    def run(self, words: list[str], seconds: float, **environment: str) -> int | None:
        """The exit code of `python words…`; None if it took longer. What it started ends with it.

        Its output goes to `output.txt` in the folder.
        """
        env = {**os.environ, "PYTHONPATH": str(self.path), **environment}
        with (self.path / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.path,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
