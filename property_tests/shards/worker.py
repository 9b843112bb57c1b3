"""Workers: each serves a shard, looks after the others in turn, carries letters, and may die."""

from __future__ import annotations

from typing import TYPE_CHECKING

from property_tests.shards.shard import AwayError, LostReplyError
from reliable_tasks.core.outcome import Failed, Retry, Succeeded
from reliable_tasks.store.values import ClaimRequest, Commit, SessionInfo

if TYPE_CHECKING:
    from property_tests.shards.scene import Scene
    from property_tests.shards.shard import Letter, Shard
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim

__all__ = ["LEASE_MS", "Worker"]

LEASE_MS = 25
DIES, STOPS = 1 / 400, 1 / 400
VISIT = 0.15
"""How often a worker looks at another shard than its own, even if there is work in its own."""
REAP = 0.1
CARRIED = 16
_WANT = ClaimRequest(queues=("celery",), limit=32)


class Worker:
    """One process. Its sessions are leases with one shard each; it dies with all of them."""

    def __init__(self, world: Scene, number: int) -> None:
        self._world = world
        self._home = number % len(world.shards)
        self._sessions: dict[int, str] = {}
        self._renewed: dict[str, int] = {}
        self._shard = world.shards[self._home]
        self._claims: dict[int, tuple[Claim, ...]] = {}
        self._commits: dict[int, list[Commit]] = {}
        self._bag: list[tuple[Shard, Shard, list[Letter]]] = []

    def die(self) -> None:
        """Killed, and started again: what it held, and what it was about to say, is gone."""
        self._world.deaths += 1
        for table in (self._sessions, self._renewed, self._claims, self._commits):
            table.clear()
        self._bag.clear()

    def turn(self) -> int:
        """Run what it holds, and exchange; returns after how many ms it comes back."""
        world, random = self._world, self._world.random
        shard = self._shard
        self._run(shard)
        self._carry_all()
        if world.misfortune(DIES):
            self.die()
            return random.randrange(1, 10)
        try:
            claims = self._exchange(shard)
            self._look_after(shard)
        except AwayError:
            claims = 0
        except LostReplyError:
            self._reconcile(shard)
            claims = len(self._claims.get(shard.number, ()))
        self._go_round(idle=not claims)
        if world.misfortune(STOPS):
            return random.randrange(LEASE_MS, 12 * LEASE_MS)  # stopped, with what it holds
        return random.randrange(1, 6)

    def _session(self, shard: Shard) -> str:
        world = self._world
        session = self._sessions.get(shard.number)
        if session is None:
            session = self._sessions[shard.number] = world.new_session()
            shard.call("open_session", SessionInfo(id=session, worker="w"), LEASE_MS)
            self._renewed[session] = world.now
        elif world.now - self._renewed.get(session, 0) > LEASE_MS // 3:
            shard.call("heartbeat", (session,), LEASE_MS)
            self._renewed[session] = world.now
        return session

    def _exchange(self, shard: Shard) -> int:
        """Say what has ended, and take what is there."""
        session = self._session(shard)
        commits = self._commits.get(shard.number, [])
        reply = shard.call("exchange", session, commits, _WANT)
        self._commits.pop(shard.number, None)
        if reply.lost:
            del self._sessions[shard.number]
            self._claims.pop(shard.number, None)
            return 0
        if reply.claims:
            self._claims[shard.number] = reply.claims
        return len(reply.claims)

    def _reconcile(self, shard: Shard) -> None:
        """An answer was lost: what the shard says that we hold, and we do not know, is run."""
        session = self._sessions.get(shard.number)
        done = {(c.id, c.fence) for c in self._commits.get(shard.number, ())}
        try:
            held = shard.call("held", session) if session else ()
        except (AwayError, LostReplyError):
            self._sessions.pop(shard.number, None)  # it lapses, and others take back what it held
            return
        self._claims[shard.number] = tuple(c for c in held if (c.id, c.fence) not in done)

    def _go_round(self, *, idle: bool) -> None:
        """Home again, unless there is nothing to do there; now and then elsewhere anyhow."""
        random, shards = self._world.random, self._world.shards
        self._shard = shards[self._home]
        held = [n for n, some in (self._claims | self._commits).items() if some]
        if held:
            self._shard = shards[held[0]]
        elif idle or random.random() < VISIT:
            self._shard = random.choice(shards)

    def _look_after(self, shard: Shard) -> None:
        if self._world.random.random() < REAP:
            shard.call("reap")
        self._bag = [
            (shard, self._world.shards[to], letters[:CARRIED]) for to, letters in shard.letters()
        ]

    def _carry_all(self) -> None:
        """Bring what was read in the last turn, be it long ago, and brought by others since."""
        bag, self._bag = self._bag, []
        for sender, receiver, letters in bag:
            try:
                self._carry(sender, receiver, letters)
            except (AwayError, LostReplyError):
                continue

    @staticmethod
    def _carry(sender: Shard, receiver: Shard, letters: list[Letter]) -> None:
        """Bring letters in their order; only what was taken is dropped."""
        for letter in letters:
            receiver.call("take", sender.number, letter)
        sender.call("forget", receiver.number, letters[-1].number)

    # Bodies ---------------------------------------------------------------------------------------

    def _run(self, shard: Shard) -> None:
        claims = self._claims.pop(shard.number, ())
        if claims:
            ended = self._commits.setdefault(shard.number, [])
            ended += [Commit(id=c.id, fence=c.fence, outcome=self._body(shard, c)) for c in claims]

    def _body(self, shard: Shard, claim: Claim) -> Outcome:
        what = claim.payload.decode().partition(" ")[0]
        self._world.account.guarded(shard, claim)
        if what == "collect":
            self._world.account.collected(claim)
        if what == "fail":
            return Failed(failure=b"no")
        if what == "retry" and claim.attempt == 1:
            return Retry(delay_ms=self._world.random.randrange(1, 20))
        return Succeeded(result=b"%s:%d" % (claim.id.encode(), claim.fence))
