"""Records that no client can decode: damaged ones, or of a layout that came later."""

from __future__ import annotations

import contextlib
import itertools
import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import OnceLock, State
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from reliable_tasks.store.redis.codec.fast_path import open_record
from reliable_tasks.store.redis.codec.layout import pack
from tests.redis_server import default_server
from tests.store.driver import message
from tests.store.redis_factories import server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["default", "all"])
def store(request: pytest.FixtureRequest) -> Iterator[RedisStore]:
    ticks = itertools.count(1_000_000)
    options = v.StoreOptions(namespace="unreadable", audit=request.param)
    url = server_of(default_server()).unix_url
    store = RedisStore(url, options, lambda: next(ticks))
    store.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
    with contextlib.closing(store):
        yield store
        for key in store._server.client.scan_iter(f"{store._key}*"):
            store._command("DEL", key)


def with_a_number(packed: bytes) -> bytes:
    """A number in the place of a text: the server takes it, and no client does."""
    record = open_record(packed)
    m = msgspec.msgpack.decode(pack(record.m))
    m[14] = 5
    return b"\x93" + pack(record.c) + pack(m) + bytes(record.p)


def in_a_later_layout(packed: bytes) -> bytes:
    return b"\x09" + packed[1:]


def cut(packed: bytes) -> bytes:
    return packed[:20]


def cut_later(packed: bytes) -> bytes:
    return packed[:50]


def with_noise(packed: bytes) -> bytes:
    return packed[:31] + b"\xc1\xc1\xc1" + packed[34:]


DAMAGES = [with_a_number, in_a_later_layout, cut, cut_later, with_noise]


def damaged(store: RedisStore, damage: Callable[[bytes], bytes], **fields: object) -> bytes:
    store.enqueue(v.Batch(messages=(message("bad", **fields), message("good"))))
    key = f"{store._key}m:bad"
    packed = damage(store._command("GET", key))
    store._command("SET", key, packed)
    return packed


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("claiming", ["exchange", "wait_then_claim"])
def test_what_cannot_be_decoded_becomes_a_dead_letter_with_its_bytes(
    store: RedisStore, damage: Callable[[bytes], bytes], claiming: str
) -> None:
    packed = damaged(store, damage)
    want = v.ClaimRequest(queues=("celery",), limit=5)
    if claiming == "exchange":
        claims = store.exchange("s", (), want).claims
    else:
        claims = store.wait_then_claim("s", want, 1.0).claims
    assert [c.id for c in claims] == ["good"]
    assert [c.id for c in store.held("s")] == ["good"]
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.state, dead.reason) == ("bad", State.FAILED, "unreadable")
    (full,) = store.read(["bad"], full=True)
    assert full is not None
    assert packed[-12:] in (full.payload or b""), "as it was claimed"
    assert store.counts().queues == {"celery": {"running": 1}}
    assert [row.event for row in store.audit(v.AuditQuery(id="bad"))][-1] == "failed"
    assert store.exchange("s", (), want).claims == ()
    assert store.replay(["bad"])[0].done == "not dead", "there is nothing to run"
    assert store.drop(["bad"]) == 1
    store.drop(["good"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_readers_survive_it_before_anybody_claims_it(
    store: RedisStore, damage: Callable[[bytes], bytes]
) -> None:
    packed = damaged(store, damage)
    record, good = store.read(["bad", "good"], full=True)
    assert record is not None
    assert (record.reason, record.payload) == ("unreadable", packed)
    assert (record.attempt, record.delivery, record.bounces) == (1, 0, 0)
    assert good is not None
    assert {r.id for r in store.find(v.MessageQuery())} == {"bad", "good"}
    assert store.counts().queues == {"celery": {"queued": 2}}
    ended = store.read_ended("bad", 0.1)
    assert ended is None or ended.reason == "unreadable"


@pytest.mark.parametrize("damage", DAMAGES[:4])
def test_one_that_waits_for_its_time_is_found_when_that_comes(
    store: RedisStore, damage: Callable[[bytes], bytes]
) -> None:
    damaged(store, damage, delay_ms=1)
    store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=5))
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert dead.id == "bad"


def test_what_waits_for_it_ends_where_it_can_be_understood_that_far(store: RedisStore) -> None:
    from reliable_tasks.core.message import Edge  # noqa: PLC0415

    child = message("child", waits=1)
    bad = message("bad", edges=(Edge("child"),))
    store.enqueue(v.Batch(messages=(bad, child)))
    key = f"{store._key}m:bad"
    store._command("SET", key, with_a_number(store._command("GET", key)))
    assert store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=5)).claims == ()
    (record,) = store.read(["child"])
    assert record is not None
    assert (record.state, record.reason) == (State.FAILED, "parent")


JUNK: list[object] = [None, -1, 2**63, 1.5, "text", "", b"\xff", [], {}, True]


def damages_of(packed: bytes, seed: int) -> Iterator[bytes]:
    """The string with junk at each place of its parts c and m, and with seeded noise."""
    record = open_record(packed)
    parts = [msgspec.msgpack.decode(pack(part)) for part in (record.c, record.m)]
    for part in parts:
        for place, right in enumerate(part):
            for junk in JUNK:
                part[place] = junk
                yield b"\x93" + b"".join(map(pack, parts)) + bytes(record.p)
            part[place] = right
    chance = random.Random(seed)
    for _ in range(150):
        noisy = bytearray(packed)
        for _ in range(chance.choice([1, 1, 2, 5])):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        yield bytes(noisy)[: chance.choice([999, 999, len(noisy) // 2])]


@pytest.mark.parametrize("fields", [{}, {"delay_ms": 1}, {"once": OnceLock("key")}])
def test_no_damage_of_one_record_stops_another(
    store: RedisStore, fields: dict[str, object]
) -> None:
    want = v.ClaimRequest(queues=("celery",), limit=5)
    store.enqueue(v.Batch(messages=(message("bad", **fields),)))
    key = f"{store._key}m:bad"
    damages = list(damages_of(store._command("GET", key), seed=len(fields)))
    for packed in damages[:: 2 if fields else 1]:
        for name in store._server.client.scan_iter(f"{store._key}*"):
            store._command("DEL", name)
        store.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
        store.enqueue(v.Batch(messages=(message("bad", **fields), message("good"))))
        store._command("SET", key, packed)
        store.read(["bad"], full=True)
        claims = [c for _ in range(3) for c in store.exchange("s", (), want).claims]
        assert "good" in {c.id for c in claims}, packed
        store.held("s")
        commits = [v.Commit(id=c.id, fence=c.fence, outcome=oc.Succeeded()) for c in claims]
        store.exchange("s", commits, None)
        (good,) = store.read(["good"])
        assert good is not None
        assert good.state == State.SUCCEEDED, packed
        store.reap(("s",))
        store.counts()


@pytest.mark.parametrize("part", [("c", 1), ("c", 11), ("m", 2), ("m", 4), ("m", 7)])
def test_what_only_scripts_look_at_is_found_by_them(
    store: RedisStore, part: tuple[str, int]
) -> None:
    def without(packed: bytes) -> bytes:
        record = open_record(packed)
        parts = {name: msgspec.msgpack.decode(pack(getattr(record, name))) for name in "cm"}
        parts[part[0]][part[1]] = None
        return b"\x93" + pack(parts["c"]) + pack(parts["m"]) + bytes(record.p)

    damaged(store, without, once=OnceLock("key"))
    want = v.ClaimRequest(queues=("celery",), limit=5)
    assert [c.id for c in store.exchange("s", (), want).claims] == ["good"]
    (dead,) = store.find(v.MessageQuery(dead=True))
    assert (dead.id, dead.reason) == ("bad", "unreadable")
    assert store.counts().queues == {"celery": {"running": 1}}


def test_a_running_one_that_is_damaged_stops_no_commit_and_no_reaping(store: RedisStore) -> None:
    store.enqueue(v.Batch(messages=(message("bad"), message("good"))))
    want = v.ClaimRequest(queues=("celery",), limit=5)
    claims = store.exchange("s", (), want).claims
    key = f"{store._key}m:bad"
    packed = store._command("GET", key)
    store._command("SET", key, packed[:23] + b"\xc1" + packed[24:])  # who holds it
    commits = [v.Commit(id=c.id, fence=c.fence, outcome=oc.Succeeded()) for c in claims]
    store.exchange("s", commits, None)
    for _ in range(2):
        store.reap(("s",))
    bad, good = store.read(["bad", "good"])
    assert bad is not None
    assert good is not None
    assert (bad.state, bad.reason, good.state) == (State.FAILED, "unreadable", State.SUCCEEDED)


def test_an_entry_that_has_lost_its_template_is_not_there(store: RedisStore) -> None:
    """Somebody deletes keys one by one: a beat reads what is left, and stores its own again."""
    entry = v.Entry(name="tick", spec=b"every", template=b"call", next_ms=5, runs=3)
    assert store.put_entry(entry)
    store._command("DEL", f"{store._key}templates")
    assert store.entries() == ()
    assert not store.put_entry(entry, 7)
    assert store.put_entry(entry, -1), "as where there is none"
    (again,) = store.entries()
    assert (again.name, again.runs, again.template) == ("tick", 3, b"call")
    store._command("DEL", f"{store._key}templates")
    assert store.remove_entry("tick")
    assert not store.remove_entry("tick")
