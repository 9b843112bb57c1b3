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

AGAIN = "python -m tests.bridge.killing --broker {} --messages {} --kills {} --seed {}"


def _run(
    folder: Path, broker: RabbitMQ | ZooKeeper, name: str, messages: int, kills: int, seed: int
) -> None:
    moments = plan(seed, messages, kills)
    assert {victim for _, victim in moments} == {"bridge", "store", "broker"}
    with (
        RedisServer(appendonly=True) as store,
        Killing(folder, broker, store, messages, moments) as killing,
    ):
        outcome = killing.run()
    print("again:", AGAIN.format(name, messages, kills, seed))
    outcome.check(messages)


@pytest.mark.timeout(900)
def test_two_thousand_messages_through_rabbitmq(rabbitmq: RabbitMQ, tmp_path: Path) -> None:
    _run(tmp_path, rabbitmq, "rabbitmq", 2000, 7, 1)


@pytest.mark.timeout(900)
def test_messages_through_zookeeper(zookeeper: ZooKeeper, tmp_path: Path) -> None:
    _run(tmp_path, zookeeper, "zookeeper", 400, 7, 2)


def test_a_plan_can_be_made_again() -> None:
    assert plan(3, 2000, 14) == plan(3, 2000, 14) != plan(4, 2000, 14)
    victims = Counter(victim for _, victim in plan(3, 2000, 14))
    assert victims == {"bridge": 8, "store": 4, "broker": 2}
