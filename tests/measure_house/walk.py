"""What one `add.delay(2, 3)` passes through on its way into a store."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests.measure_house.sizes import PACKAGES

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType


def walk(root: Path, url: str) -> Counter[str]:
    """The functions of the product that a call runs, by file and name, and how often.

    Counted is the second call: the first one opens the store. Call it in a process that has not
    imported another checkout's package.
    """
    sys.path.insert(0, str(root))
    app = importlib.import_module(PACKAGES[0]).App("house", broker=url)
    task = app.task(name="house.add")(_add)
    task.delay(1, 2)
    seen: Counter[str] = Counter()
    inside = tuple(f"{root / name}/" for name in PACKAGES)

    def note(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(inside):
            seen[f"{path.removeprefix(f'{root}/')}::{frame.f_code.co_qualname}"] += 1

    sys.setprofile(note)
    try:
        task.delay(2, 3)
    finally:
        sys.setprofile(None)
        app.close()
    return seen


def _add(x: int, y: int) -> int:
    return x + y
