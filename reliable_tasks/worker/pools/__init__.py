"""The pools: ways to run bodies in a child. Each says which limits it can enforce."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reliable_tasks.errors import ConfigError, suggest

if TYPE_CHECKING:
    from .base import Pool

__all__ = ["POOLS", "pool_class"]

POOLS = {"asyncio": "loop", "prefork": "prefork", "solo": "prefork", "threads": "threads"}
"""Names of the pools, and the modules they are in."""


def pool_class(name: str) -> type[Pool]:
    """The pool of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in POOLS:
        raise ConfigError(
            f"there is no pool {name!r}{suggest(name, POOLS)} (pools: {', '.join(sorted(POOLS))})"
        )
    module = importlib.import_module(f"{__name__}.{POOLS[name]}")
    chosen: type[Pool] = module.POOL
    return chosen
