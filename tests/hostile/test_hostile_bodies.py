"""Whatever a body, a hook or a receiver does costs its message, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hostile.driver import Driver, draw
from tests.process.conftest import place, redis_server, store_url

if TYPE_CHECKING:
    from tests.process.harness import Place

__all__ = ["place", "redis_server", "store_url"]

_COUNT = 45
_SEEDS = {"prefork": 1, "threads": 2, "asyncio": 3}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("pool", _SEEDS)
def test_a_misdeed_costs_its_message_and_nothing_else(place: Place, pool: str) -> None:
    broken = Driver(place, pool).run(draw(pool, _SEEDS[pool], _COUNT))
    assert not broken, "\n".join(broken)
