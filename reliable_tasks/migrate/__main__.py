"""The command: `python -m reliable_tasks.migrate [--check | --diff] PATH…`."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from reliable_tasks.migrate.rewrite import Rewritten, rewrite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite, tell what is left, and return the exit code: 1 where something is left to do."""
    parser = argparse.ArgumentParser(
        prog="python -m reliable_tasks.migrate",
        description="Rewrite imports of celery and celery_once; name what cannot be rewritten.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and folders")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="write nothing; exit 1 if it would")
    how.add_argument("--diff", action="store_true", help="write nothing; show what would change")
    given = parser.parse_args(argv)
    for path in given.paths:
        if not path.exists():
            parser.error(f"there is no {path}")
    changed = left = 0
    for path in _files(given.paths):
        done = _tried(path)
        if done is None:
            left += 1
            continue
        written = not (given.check or given.diff)
        # Told by the lines that the file has in the end.
        for one in rewrite(done.data).left if written and done.left else done.left:
            print(f"{path}:{one.line}: {one.name}: {one.words}")
        left += len(done.left)
        if done.data != path.read_bytes():
            changed += 1
            left += _carry_out(path, done.data, check=given.check, diff=given.diff)
    if not given.diff:
        print(f"{'to change' if given.check else 'changed'}: {changed} files; left: {left}")
    return 1 if left or (changed and given.check) else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if _wanted(Path(folder, f)))
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _wanted(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _SKIPPED
    return not hidden and not (folder / "pyvenv.cfg").exists()


def _tried(path: Path) -> Rewritten | None:
    """What became of a file; None, and a line that says why, where it is left alone."""
    try:
        return rewrite(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 1
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "does not parse"
        print(f"{path}:{line}: left alone: it {what} ({error})")
    except OSError as error:
        print(f"{path}:1: left alone: {error.strerror}")
    return None


def _carry_out(path: Path, data: bytes, *, check: bool, diff: bool) -> int:
    """Show or write the change of a file; returns 1 if it could not be written."""
    if diff:
        before, after = (x.decode().splitlines(keepends=True) for x in (path.read_bytes(), data))
        sys.stdout.writelines(difflib.unified_diff(before, after, str(path), str(path)))
        return 0
    if check:
        print(f"{path}: imports Celery")
        return 0
    try:
        _replace(path.resolve(), data)
    except OSError as error:
        print(f"{path}:1: left alone: {error.strerror}")
        return 1
    return 0


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside it first, then in its place."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(number)
        Path(name).chmod(path.stat().st_mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may be any bytes
    sys.exit(main())
