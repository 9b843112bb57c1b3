"""Messages of Celery's producer while the bridge, the store and the broker are killed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.bridge.killing import Killing, plan
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bridge.rabbitmq import RabbitMQ
    from tests.bridge.zookeeper import ZooKeeper


def _run(
    folder: Path,
    broker: RabbitMQ | ZooKeeper,
    messages: int,
    *,
    kills: int,
    seed: int,
    bridges: int,
) -> None:
    moments = plan(seed, messages, kills)
    assert {victim for _, victim in moments} == {"bridge", "store", "broker"}
    with (
        RedisServer(appendonly=True) as store,
        Killing(folder, broker, store, messages, moments, bridges=bridges) as killing,
    ):
        outcome = killing.run()
    options = f"--messages {messages} --kills {kills} --seed {seed} --bridges {bridges}"
    print(f"again: python -m tests.bridge.killing {options}", "and --broker")
    outcome.check(messages)


@pytest.mark.timeout(900)
def test_two_thousand_messages_through_rabbitmq(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    _run(tmp_path, rabbitmq, 2000, kills=7, seed=1, bridges=1)


@pytest.mark.timeout(900)
def test_messages_through_zookeeper_with_two_bridges(zookeeper: ZooKeeper, tmp_path: Path) -> None:
    _run(tmp_path, zookeeper, 400, kills=5, seed=2, bridges=2)


def test_a_plan_can_be_made_again() -> None:
    assert plan(3, 2000, 14) == plan(3, 2000, 14) != plan(4, 2000, 14)
    victims = Counter(victim for _, victim in plan(3, 2000, 14))
    assert victims == {"bridge": 8, "store": 4, "broker": 2}
