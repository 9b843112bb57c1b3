"""Shards that die: no promise is broken, and without a rule of the design one is."""

from __future__ import annotations

import random
from typing import Any

import pytest

from property_tests.shards import producer, routing
from property_tests.shards.__main__ import main
from property_tests.shards.calls import KEPT_MS
from property_tests.shards.shard import Letter, Shard
from property_tests.shards.worker import Worker
from property_tests.shards.world import World
from reliable_tasks.store.values import AuditEvent

FEW, SEEDS, TROUBLE = 4_000, 20, 8


def test_no_promise_is_broken_while_shards_and_workers_die() -> None:
    world = World(3, FEW, trouble=3)
    assert world.run() == []
    counts = world.account.counts
    assert world.account.stored >= FEW
    assert world.downs > 0
    for event in (
        AuditEvent.REAPED,
        AuditEvent.STALE,
        AuditEvent.DUPLICATE,
        AuditEvent.JOINED,
        AuditEvent.FIRED,
        AuditEvent.RETRY,
    ):
        assert counts.get(event, 0) > 0, event


def test_the_command_says_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--messages", "300"]) == 0
    said = capsys.readouterr().out
    assert "over 8 shards" in said
    assert "no promise was broken" in said


def _forgets_fences(shard: Shard) -> None:
    shard.up, shard.model.fence = True, 0


def _forgets_a_message(shard: Shard) -> None:
    shard.up = True
    for r in shard.model._live()[:1]:
        del shard.model.recs[r.m.id]


def _drops_first(sender: Shard, receiver: Shard, letters: list[Letter]) -> None:
    sender.call("forget", receiver.number, letters[-1].number)
    for letter in letters:
        receiver.call("take", sender.number, letter)


def _any_shard(key: str, shards: int, dice: random.Random = random.Random(1)) -> int:  # noqa: B008
    return dice.randrange(shards)


RULES: dict[str, tuple[Any, str, Any, str]] = {
    "a key has one shard": (routing, "shard_of_key", _any_shard, " key "),
    "a call in doubt is repeated where it may be": (
        routing,
        "shard_to_repeat_at",
        lambda asked, others: others[0],
        "stored twice",
    ),
    "one repeats for no longer than what ended is kept": (
        producer,
        "GIVE_UP_MS",
        100 * KEPT_MS,
        "stored twice",
    ),
    "a letter is taken once": (Shard, "is_new", lambda *_: True, "stored twice"),
    "a letter is dropped after it was taken": (
        Worker,
        "_carry",
        staticmethod(_drops_first),
        "has not ended",
    ),
    "a shard keeps its fences": (
        World,
        "_revive",
        staticmethod(_forgets_fences),
        "after a greater one",
    ),
    "a shard keeps what it has acknowledged": (
        World,
        "_revive",
        staticmethod(_forgets_a_message),
        "has not ended",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_promise_is_broken(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, instead, broken = RULES[rule]
    monkeypatch.setattr(place, name, instead)
    found: list[str] = []
    for seed in range(SEEDS):
        found = World(seed, FEW, trouble=TROUBLE).run()
        if found:
            break
    assert any(broken in what for what in found), found
