"""Identify this machine, and tell whether a process on it still lives."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

from reliable_tasks.core.texts import printable

__all__ = ["host_identity", "process_gone", "process_started"]


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not Linux, or not readable: the host name has to do
        return ""


@functools.cache
def host_identity() -> str:
    """A name shared by all processes that can see each other's pids, until the machine restarts."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    host = printable(socket.gethostname())
    return f"{host}/{_first_line('/proc/sys/kernel/random/boot_id')}/{namespace}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the process name: its state comes first."""
    return _first_line(f"/proc/{pid}/stat").rpartition(")")[2].split()


def process_started(pid: int) -> str:
    """When a process started, as the system counts it: pids are reused, pid and start are not."""
    stat = _stat(pid)
    return stat[19] if stat else ""


def process_gone(pid: int, started: str) -> bool:
    """Whether a process of this machine has ended, though its parent may not have noticed."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    stat = _stat(pid)
    if stat and stat[0] in "ZX":
        return True
    return bool(started and stat) and stat[19] != started
