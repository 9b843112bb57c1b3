"""The type variables of tasks, signatures and results. They default to anything.

So `Task`, `Signature` and `AsyncResult` need no brackets in annotations, and `AsyncResult("id")` is
one of anything. Type checkers know such defaults before Python 3.13 does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
    T = TypeVar("T", default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    T = TypeVar("T")

__all__ = ["P", "R", "T"]
