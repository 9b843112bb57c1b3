"""Which machine this is, and whether a process on it still lives."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

__all__ = ["host_identity", "process_gone", "process_started"]


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not Linux, or not readable: the name of the host must do
        return ""


@functools.cache
def host_identity() -> str:
    """The same for all processes that can see each other's pids, until the machine restarts."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{_first_line('/proc/sys/kernel/random/boot_id')}/{namespace}"


def process_started(pid: int) -> str:
    """When a process started, as the system tells it: pids are used again, this pair is not."""
    stat = _first_line(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else ""


def process_gone(pid: int, started: str) -> bool:
    """Whether a process of this machine has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    now = process_started(pid)
    return bool(started and now) and now != started
