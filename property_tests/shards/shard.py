"""One shard: a store with all of its promises, and numbered letters to and from other shards.

A workflow's node whose once-key belongs to another shard is two messages: a stand-in in the
workflow, and the one that runs in its key's shard. The step that makes the stand-in ready writes a
letter; the step that ends the other one writes the answer. Whoever has time carries letters. A
shard remembers the number of the last letter that it took from each other one, and so takes each
letter once, however often it is brought.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from property_tests.shards.indexed import IndexedModel
from reliable_tasks.core.message import FINAL_STATES, Message, State
from reliable_tasks.core.outcome import Failed, Outcome, Revoked, Succeeded
from reliable_tasks.store.values import (
    Batch,
    ClaimRequest,
    Commit,
    SessionInfo,
    StoreOptions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.model.tables import Row
    from reliable_tasks.store.values import AuditRow

__all__ = ["LETTERS", "AwayError", "Letter", "LostReplyError", "Shard", "StandIn"]

LETTERS = "@letters"
"""The queue of stand-ins. Their claims are held by the shard itself, which never lapses."""
_EVER = 1 << 60
_CLAIM = ClaimRequest(queues=(LETTERS,), limit=1000)


class AwayError(Exception):
    """The shard does not answer, and has done nothing."""


class LostReplyError(Exception):
    """The shard may have done it; nobody was told."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Whom the ending of a message is told to: a claim of a stand-in, in its own shard."""

    shard: int
    id: str
    fence: int


@dataclass(frozen=True, slots=True)
class Letter:
    """From one shard to another: run this, or: it has ended so."""

    number: int
    run: Message | None = None
    reply_to: StandIn | None = None
    ended: Commit | None = None


@dataclass
class _Lane:
    written: int = 0
    letters: deque[Letter] = field(default_factory=deque)


class Shard:
    """A model that may be away, with its letters.

    Args:
        number: of this shard.
        shards: how many there are.
        clock: in milliseconds.
        foreign: says, of a stand-in, which message it stands for and in which shard.
        observe: gets the rows of the trail, right after the step that wrote them.
        loses: whether the next reply is to be lost.
    """

    def __init__(
        self,
        number: int,
        shards: int,
        clock: Callable[[], int],
        foreign: Callable[[str], tuple[int, Message]],
        observe: Callable[[Shard, list[AuditRow]], None],
        loses: Callable[[], bool],
    ) -> None:
        self.number = number
        self.up, self.dying = True, False
        self.model = IndexedModel(clock, StoreOptions(audit="all"))
        self.model.open_session(SessionInfo(id=LETTERS, worker=LETTERS), _EVER)
        self.lanes = [_Lane() for _ in range(shards)]
        self._taken = [0] * shards
        self._awaited: dict[str, StandIn] = {}
        self._foreign = foreign
        self._observe = observe
        self._loses = loses

    def call(self, verb: str, *args: Any) -> Any:
        """One atomic step.

        Raises:
            AwayError, LostReplyError: see there.
        """
        if not self.up:
            raise AwayError
        answer = getattr(self, verb, None) or getattr(self.model, verb)
        answer = answer(*args)
        rows = self.model.trail
        if rows:
            self._write_letters()
            self._answer_letters(rows)
            self._observe(self, rows)
            rows.clear()
        if self.dying:  # with the answer on its lips
            self.up = self.dying = False
            raise LostReplyError
        if self._loses():
            raise LostReplyError
        return answer

    def take(self, sender: int, letter: Letter) -> None:
        """Do what a letter says, unless it was taken before."""
        if not self.is_new(sender, letter):
            return
        self._taken[sender] = letter.number
        if letter.run is not None and letter.reply_to is not None:
            self._awaited[letter.run.id] = letter.reply_to
            self.model.enqueue(Batch(messages=(letter.run,)))
        elif letter.ended is not None:
            self.model.exchange(LETTERS, (letter.ended,), None)

    def is_new(self, sender: int, letter: Letter) -> bool:
        """Whether it was not taken yet. Letters of one sender are brought in their order."""
        return letter.number > self._taken[sender]

    def forget(self, receiver: int, number: int) -> None:
        """Drop letters up to this one: they were taken."""
        letters = self.lanes[receiver].letters
        while letters and letters[0].number <= number:
            letters.popleft()

    def letters(self) -> list[tuple[int, list[Letter]]]:
        """What there is for each other shard."""
        return [(to, list(lane.letters)) for to, lane in enumerate(self.lanes) if lane.letters]

    def _post(self, receiver: int, **what: Any) -> None:
        lane = self.lanes[receiver]
        lane.written += 1
        lane.letters.append(Letter(lane.written, **what))

    def _write_letters(self) -> None:
        """Of each stand-in that has become ready, in the step that made it so."""
        for claim in self.model.exchange(LETTERS, (), _CLAIM).claims:
            receiver, message = self._foreign(claim.id)
            self._post(receiver, run=message, reply_to=StandIn(self.number, claim.id, claim.fence))

    def _answer_letters(self, rows: list[AuditRow]) -> None:
        """Of each message that others wait for and that has ended, in the step that ended it."""
        if not self._awaited:
            return
        for row in rows:
            waiting = self._awaited.get(row.id)
            record = self.model.recs.get(row.id)
            if waiting is None or record is None or record.state not in FINAL_STATES:
                continue
            del self._awaited[row.id]
            outcome = _outcome_of(record)
            self._post(
                waiting.shard, ended=Commit(id=waiting.id, fence=waiting.fence, outcome=outcome)
            )


def _outcome_of(record: Row) -> Outcome:
    if record.state == State.SUCCEEDED:
        return Succeeded(result=record.result or b"", keep=True)
    return Failed(failure=record.failure or b"") if record.state == State.FAILED else Revoked()
