"""Who calls: each kind of call, sent to the shard that the rules name, and again when in doubt."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from property_tests.shards import routing
from property_tests.shards.calls import KEPT_MS, message_of
from property_tests.shards.routing import id_in, serial_of
from property_tests.shards.shard import LETTERS, AwayError, LostReplyError
from reliable_tasks.core.message import Edge, Message, OnceLock
from reliable_tasks.store.values import Batch, ReceiptKind

if TYPE_CHECKING:
    from property_tests.shards.scene import Scene

__all__ = ["Producer"]

GIVE_UP_MS = 60
"""A producer says its call again for so long; it must be shorter than what ended is kept."""
STOPS = 1 / 300
_KEYS = 60
_CHUNK = 24


@dataclass
class _Call:
    shard: int
    messages: tuple[Message, ...]
    since: int
    in_doubt: bool = False


class Producer:
    """Calls until enough messages are stored, as long as not too many of them are alive."""

    def __init__(self, world: Scene, total: int, window: int) -> None:
        self._world = world
        self._total = total
        self._window = window
        self._calls: deque[_Call] = deque()
        self.gave_up = 0

    @property
    def done(self) -> bool:
        """Whether it has nothing more to say."""
        return not self._calls and self._world.account.stored >= self._total

    def turn(self) -> int:
        """One call, and those not answered yet; returns after how many ms it calls again."""
        world = self._world
        for _ in range(len(self._calls)):
            self._send(self._calls.popleft())
        if world.account.stored < self._total and len(world.account.live) < self._window:
            self._send(self._new())
        if world.misfortune(STOPS):
            return world.random.randrange(3 * KEPT_MS)  # stopped, with what it is in doubt about
        return 1

    def _send(self, call: _Call) -> None:
        world = self._world
        if world.now - call.since >= GIVE_UP_MS:
            self.gave_up += 1  # the caller gets an error, and is in doubt if it was before
            return
        try:
            done = world.shards[call.shard].call("enqueue", Batch(messages=call.messages))
        except (AwayError, LostReplyError) as exc:
            call.in_doubt = call.in_doubt or isinstance(exc, LostReplyError)
            self._again(call)
            return
        for message, receipt in zip(call.messages, done.receipts, strict=True):
            if receipt.kind in {ReceiptKind.CREATED, ReceiptKind.JOINED}:
                world.account.acknowledge(message.id)
            elif receipt.holder not in world.account.live:
                world.account.broken(f"{message.id} is a duplicate of {receipt.holder}, not alive")
            if message.delay_ms:
                world.account.due(message.id, call.since + message.delay_ms)

    def _again(self, call: _Call) -> None:
        """What no shard has seen may go to another, unless it has a key; else to the same one."""
        world = self._world
        keyed = any(m.once for m in call.messages)
        others = [s.number for s in world.shards if s.number != call.shard]
        shard = call.shard
        if call.in_doubt:
            shard = routing.shard_to_repeat_at(call.shard, others)
        elif not keyed:
            shard = world.random.choice(others)
        self._calls.append(_Call(shard, self._moved(call, shard), call.since, call.in_doubt))

    @staticmethod
    def _moved(call: _Call, shard: int) -> tuple[Message, ...]:
        """The same call for another shard: its ids name that one."""
        if shard == call.shard:
            return call.messages
        names = {m.id: id_in(serial_of(m.id), shard) for m in call.messages}

        def moved(m: Message) -> Message:
            words = [names.get(word, word) for word in m.payload.decode().split()]
            edges = tuple(Edge(names[e.child], e.on, e.slot) for e in m.edges)
            more = {name: getattr(m, name) for name in ("queue", "delay_ms", "waits", "once")}
            return message_of(names[m.id], " ".join(words), edges=edges, **more)

        return tuple(map(moved, call.messages))

    # What it calls --------------------------------------------------------------------------------

    def _new(self) -> _Call:
        world = self._world
        dice, now = world.random.random(), world.now
        shard = world.random.randrange(len(world.shards))
        if dice < 0.45:
            return _Call(shard, self._plain(shard), now)
        if dice < 0.7:
            return self._keyed()
        if dice < 0.85:
            return _Call(shard, self._chain(shard), now)
        return _Call(shard, self._chord(shard), now)

    def _plain(self, shard: int) -> tuple[Message, ...]:
        """A chunk of calls, some of which fail, are retried, or are not due yet."""
        random, first = self._world.random, self._world.account.serials(_CHUNK)

        def one(serial: int) -> Message:
            what = random.choices(("plain", "fail", "retry"), (0.9, 0.04, 0.06))[0]
            delay = random.randrange(1, 30) if random.random() < 0.06 else 0
            return message_of(id_in(serial, shard), what, delay_ms=delay)

        return tuple(map(one, range(first, first + _CHUNK)))

    def _key(self) -> str:
        return f"k{self._world.random.randrange(_KEYS)}"

    def _keyed(self) -> _Call:
        """A call with a once-key, held until it has run, or while it runs."""
        world, key = self._world, self._key()
        scope = "until_executed"
        if world.random.random() < 0.3:
            key, scope = f"run-{key}", "while_executing"
        shard = routing.shard_of_key(key, len(world.shards))
        message_id = id_in(world.account.serials(1), shard)
        what = "retry" if world.random.random() < 0.1 else "keyed"
        return _Call(shard, (message_of(message_id, what, once=OnceLock(key, scope)),), world.now)

    def _node(self, serial: int, shard: int, *, keyed: bool, **more: object) -> Message:
        """A node of a workflow; one whose key is another shard's is a stand-in."""
        key, world = self._key(), self._world
        if not keyed:
            return message_of(id_in(serial, shard), "plain", **more)
        if routing.shard_of_key(key, len(world.shards)) != shard:
            return message_of(id_in(serial, shard), key, queue=LETTERS, **more)
        once = OnceLock(key)
        return message_of(id_in(serial, shard), "keyed", once=once, joins_duplicate=True, **more)

    def _chain(self, shard: int) -> tuple[Message, ...]:
        """Three in a row, of which the second has a once-key half of the time."""
        world = self._world
        first = world.account.serials(4)
        a, b, c = (id_in(first + n, shard) for n in (0, 1, 3))  # 2 is for whom b stands
        edge_b, edge_c = (Edge(b, slot=0),), (Edge(c, slot=0),)
        middle = self._node(
            first + 1, shard, keyed=world.random.random() < 0.5, edges=edge_c, waits=1
        )
        return (
            message_of(a, "plain", edges=edge_b),
            middle,
            message_of(c, f"collect {b}", waits=1),
        )

    def _chord(self, shard: int) -> tuple[Message, ...]:
        """Up to ten parts and a body, of which the first part has a once-key now and then."""
        world = self._world
        count = world.random.randrange(2, 11)
        first = world.account.serials(count + 2)
        serials = [first, *range(first + 2, first + count + 1)]  # + 1 is for whom the first stands
        body, parts = id_in(first + count + 1, shard), [id_in(s, shard) for s in serials]
        keyed = world.random.random() < 0.3
        nodes = [
            self._node(serial, shard, keyed=keyed and slot == 0, edges=(Edge(body, slot=slot),))
            for slot, serial in enumerate(serials)
        ]
        return (*nodes, message_of(body, f"collect {' '.join(parts)}", waits=count))
