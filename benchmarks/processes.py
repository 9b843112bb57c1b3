"""What a tree of processes uses, from /proc, and what a server says of itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

__all__ = ["cpu_seconds", "pss_mib", "server_seconds", "tree"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, as of now."""
    found, at = [pid], 0
    while at < len(found):
        try:
            tasks = list(Path(f"/proc/{found[at]}/task").iterdir())
            children = [(task / "children").read_text().split() for task in tasks]
        except OSError:  # it has ended meanwhile
            children = []
        found += [int(child) for some in children for child in some]
        at += 1
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time that a tree has used so far, with those of it that have ended."""
    return sum(_cpu(p) for p in tree(pid))


def _cpu(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return 0.0
    return sum(map(int, after_name[11:15])) * _TICK_S  # its own, and of children that it waited for


def server_seconds(client: redis.Redis) -> float:
    """Processor time that a Redis server has used so far."""
    used: Any = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def pss_mib(pid: int) -> float:
    """Memory of a tree, what processes share being counted once."""
    return sum(_pss(p) for p in tree(pid)) / 1024


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
