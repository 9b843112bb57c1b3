"""From what single steps cost to servers, processes, memory and network: arithmetic and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["GIB", "MOST_AHEAD", "Costs", "Demand", "Plan", "Used", "plan", "queued_share"]

AHEAD_S = 0.02
"""How much work a worker claims ahead: the setting `claim_ahead_ms`."""
MOST_AHEAD = 256
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Used:
    """What something used.

    Attributes:
        server_us: of the server's processor time, with its way through the network.
        client_us: of the caller's.
        received, sent: bytes that the server got and gave.
        trips: round trips.
    """

    server_us: float = 0.0
    client_us: float = 0.0
    received: float = 0.0
    sent: float = 0.0
    trips: float = 0.0

    def plus(self, other: Used, times: float = 1.0) -> Used:
        """The sum of it and so much of another."""
        return Used(
            *(mine + times * theirs for mine, theirs in zip(_of(self), _of(other), strict=True))
        )


def _of(used: Used) -> tuple[float, ...]:
    return (used.server_us, used.client_us, used.received, used.sent, used.trips)


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured.

    Attributes:
        call_alone, call_many: of one call, by itself and among many.
        met: of a message that meets an idle worker: the wait, the claim, the commit.
        exchange, each: of an exchange that commits some messages and claims as many: what it costs
            itself, and for each message.
        worker_us, worker_many_us: processor time of a worker for a message that it waited for, and
            for one of many that were there.
        waiting_bytes, ended_bytes: the server's memory for a message.
        base_bytes: and without any.
    """

    call_alone: Used
    call_many: Used
    met: Used
    exchange: Used
    each: Used
    worker_us: float
    worker_many_us: float
    waiting_bytes: float
    ended_bytes: float
    base_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked for.

    Attributes:
        rate: messages a second.
        body_s: how long a body takes.
        kept_s: how long results are kept.
        backlog: how many messages may wait.
        memory: of one server, in bytes.
        busy: share of its time that a process, or a server's core, is to be busy.
        many: whether calls come many at once (`enqueue_many`), not one by one.
    """

    rate: float
    body_s: float
    kept_s: float
    backlog: int = 1_000_000
    memory: float = 64 * GIB
    busy: float = 0.7
    many: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What it takes, and of one message: what it used."""

    processes: int
    worker_cores: float
    producer_cores: float
    server_cores: float
    servers_for_cores: int
    memory_bytes: float
    servers_for_memory: int
    received_per_s: float
    sent_per_s: float
    trips_per_s: float
    queued: float
    message: Used
    worker_us: float

    @property
    def servers(self) -> int:
        """How many, for both reasons."""
        return max(self.servers_for_cores, self.servers_for_memory)


def queued_share(load: float, processes: int) -> float:
    """The share of messages that find all processes busy and have to queue: Erlang's C.

    Args:
        load: how many processes are busy on average.
        processes: how many there are.
    """
    if load >= processes:
        return 1.0
    blocked = 1.0
    for n in range(1, processes + 1):  # Erlang's B, step by step: no factorial grows too large
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / processes * (1 - blocked))


def plan(costs: Costs, demand: Demand, processes: int | None = None) -> Plan:
    """What it takes; with so many worker processes, or with as many as keep them busy enough."""
    ahead = min(MOST_AHEAD, max(1.0, AHEAD_S / demand.body_s if demand.body_s else MOST_AHEAD))
    load = demand.rate * (demand.body_s + costs.worker_us / 1e6)
    # Short bodies may queue a little: then fewer processes do, and all of it is cheaper.
    least_us = costs.worker_us if ahead <= 1 else costs.worker_many_us
    least = demand.rate * (demand.body_s + least_us / 1e6)
    count = processes or max(1, math.ceil(least / demand.busy))
    queued = queued_share(load, count)
    together = costs.each.plus(costs.exchange, 1 / ahead)
    call = costs.call_many if demand.many else costs.call_alone
    one = call.plus(costs.met, 1 - queued).plus(together, queued)
    worker_us = (1 - queued) * costs.worker_us + queued * least_us
    memory = costs.base_bytes + demand.backlog * costs.waiting_bytes
    memory += demand.rate * demand.kept_s * costs.ended_bytes
    cores = demand.rate * one.server_us / 1e6
    return Plan(
        processes=count,
        worker_cores=demand.rate * worker_us / 1e6,
        producer_cores=demand.rate * call.client_us / 1e6,
        server_cores=cores,
        servers_for_cores=max(1, math.ceil(cores / demand.busy)),
        memory_bytes=memory,
        servers_for_memory=max(1, math.ceil(memory / demand.memory)),
        received_per_s=demand.rate * one.received,
        sent_per_s=demand.rate * one.sent,
        trips_per_s=demand.rate * one.trips,
        queued=queued,
        message=one,
        worker_us=worker_us,
    )
