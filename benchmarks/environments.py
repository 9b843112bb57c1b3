"""A virtual environment for each peer, made once and kept."""

from __future__ import annotations

import compileall
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from .systems import PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEFAULT_FOLDER",
    "PLOTTING",
    "PROFILING",
    "compile_ours",
    "make",
    "python_of",
    "versions",
]

DEFAULT_FOLDER = Path.home() / ".cache" / "reliable_tasks_benchmarks"
PLOTTING, PROFILING = "plotting", "profiling"
_PACKAGES = {**PEERS, PLOTTING: ("matplotlib",), PROFILING: ("py-spy",)}
_INSTALL_S = 600


def python_of(folder: Path, name: str) -> Path:
    """The interpreter of an environment; our own and the floor's is the driver's."""
    return folder / name / "bin" / "python" if name in _PACKAGES else Path(sys.executable)


def make(folder: Path, name: str) -> None:
    """Make an environment, unless it is there.

    Raises:
        subprocess.CalledProcessError: a package could not be installed.
    """
    place = folder / name
    done = place / "installed"
    if done.exists():
        return
    venv.create(place, with_pip=True, clear=True)
    pip = [str(python_of(folder, name)), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *_PACKAGES[name]], check=True, timeout=_INSTALL_S)
    done.touch()


def compile_ours(root: Path) -> None:
    """Compile a checkout, as an installation compiles what it installs: workers write nothing.

    Raises:
        SyntaxError: a file cannot be compiled.
    """
    for name in ("reliable_tasks", "locks", "benchmarks"):
        if not compileall.compile_dir(root / name, quiet=1):
            raise SyntaxError(f"a file below {root / name} cannot be compiled")


def versions(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """What runs in each environment, in words."""
    return {name: _version(folder, name) for name in names}


def _version(folder: Path, name: str) -> str:
    packages = [p.partition("[")[0] for p in _PACKAGES[name]]
    wanted = packages if {"redis", "coredis"} & set(packages) else [*packages, "redis"]
    code = (
        "import sys; from importlib.metadata import version\n"
        "for name in sys.argv[1:]: print(name, version(name))"
    )
    command = [str(python_of(folder, name)), "-c", code, *wanted]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return ", ".join(said.stdout.splitlines())
