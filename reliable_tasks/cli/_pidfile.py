"""Files that hold the number of a process, for whoever wants to send it a signal."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pidfile_of"]


@contextlib.contextmanager
def pidfile_of(name: str | None) -> Iterator[None]:
    """Hold the file `name` with this process's number; None does nothing.

    Raises:
        click.ClickException: a process that lives holds it, or it cannot be written.
    """
    if name is None:
        yield
        return
    path = Path(name).absolute()
    try:
        _write(path)
    except OSError as error:
        raise click.ClickException(f"the pidfile {path}: {error.strerror}") from error
    try:
        yield
    finally:
        if _pid_in(path) == os.getpid():  # a forked child that ends must not remove it
            path.unlink(missing_ok=True)


def _write(path: Path) -> None:
    holder = _pid_in(path)
    if holder is not None and holder != os.getpid() and _lives(holder):
        raise click.ClickException(
            f"the pidfile {path} is that of process {holder}, which runs; stop it first"
        )
    path.unlink(missing_ok=True)
    # Made anew, never written over: of two that start at once, one is refused.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
