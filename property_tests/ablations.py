"""Each safeguard, switched off: the simulation must notice. `python -m property_tests.ablations`.

An ablation replaces one safeguard of the model (which the stores are held against) or of the
worker's deciding code, for the time of a `with` block. A safeguard that nothing catches would be a
defect of the suite. The table gives the number of seeds each took to be caught.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from property_tests.model import Model
from property_tests.simulate import run_seed
from reliable_tasks import outcome as oc
from reliable_tasks.message import State
from reliable_tasks.store import values as v
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.executor import Executor
from reliable_tasks.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ABLATIONS", "Ablation", "seeds_until_caught"]


@dataclass(frozen=True, slots=True)
class Ablation:
    """One safeguard, and the world without it."""

    name: str
    owner: Any
    method: str
    without: Callable[..., Any]


def _commit_of_any_fence(self: Model, c: v.Commit, session: str) -> v.Verdict:
    r = self.recs.get(c.id)
    if r is not None and r.state == State.RUNNING:
        c = v.Commit(id=c.id, fence=r.fence, outcome=c.outcome)
    return _commit(self, c, session)


def _commit_after_the_end(self: Model, c: v.Commit, session: str) -> v.Verdict:
    r = self.recs.get(c.id)
    if r is not None and r.state != State.RUNNING:
        r.state, r.fence = State.RUNNING, c.fence
    return _commit(self, c, session)


_commit = Model._commit
_free = Model._free
_end_one = Model._end_one
_follow = Model._follow
_take_back = Model._take_back
_claim = Model._claim
_store = Model._store
_exchange = Model.exchange
_fire = Model.fire
_queue_at = Model._queue_at


def _free_nothing_at_the_end(self: Model, r: Any, state: State, *args: Any, **kwargs: Any) -> None:
    with mock.patch.object(Model, "_free", return_value=False):
        _end_one(self, r, state, *args, **kwargs)


def _child_not_counted_down(self: Model, parent: Any, edge: Any, value: bytes, keep: bool) -> None:
    child = self.recs.get(edge.child)
    if child is not None and parent.state == State.SUCCEEDED:
        child.waits += self.rows % 2  # the countdown and the ending are two steps: one gets lost
    _follow(self, parent, edge, value, keep)


def _child_started_by_its_first_parent(
    self: Model, parent: Any, edge: Any, value: bytes, keep: bool
) -> None:
    child = self.recs.get(edge.child)
    if child is not None and parent.state == State.SUCCEEDED:
        child.waits = min(child.waits, 1)
    _follow(self, parent, edge, value, keep)


def _ending_reaches_no_child(self: Model, parent: Any, edge: Any, value: bytes, keep: bool) -> None:
    if parent.state == State.SUCCEEDED:
        _follow(self, parent, edge, value, keep)


def _due_at_once(self: Model, r: Any, due: int | None, *, keep_place: bool = False) -> None:
    _queue_at(self, r, None, keep_place=keep_place)
    r.due = due


def _claim_the_expired(self: Model, r: Any, s: v.SessionInfo) -> bool:
    r.expires = None
    return _claim(self, r, s)


def _lapsed_sessions_claim(
    self: Model, session: str, commits: Any, want: v.Want | None
) -> v.Exchange:
    known = self.session_table.get(session)
    if known is None:
        self.session_table[session] = v.SessionInfo(
            id=session, worker="ghost", lease_until_ms=self.clock() + 10**9
        )
    return _exchange(self, session, commits, want)


def _counts_no_delivery(self: Model, r: Any) -> bool:
    r.delivery = 1
    return _take_back(self, r)


def _retry_the_revoked(self: Model, c: v.Commit, session: str) -> v.Verdict:
    r = self.recs.get(c.id)
    if r is not None:
        r.revoked = None
    return _commit(self, c, session)


def _enqueue_again(self: Model, m: Any, stage: str | None) -> v.Receipt:
    old = self.recs.get(m.id)
    if old is not None and old.m.token == m.token:
        self.recs.pop(m.id)
    return _store(self, m, stage)


def _fire_without_looking(
    self: Model, entry: v.Entry, expected_ms: int | None, batch: v.Batch
) -> v.Enqueued | None:
    del expected_ms
    return _fire(self, entry, self.entry_table[entry.name].next_ms, batch)


def _step_always_new(self: Model, message_id: str, fence: int, name: str, value: Any) -> Any:
    del self, message_id, fence, name
    return v.StepReply(known="new" if value is None else "done", value=value)


def _forget_lost_claims(self: Consumer, held: Iterable[v.Claim]) -> None:
    del held
    self._uncertain = False


def _drop_outcomes(self: Consumer) -> None:
    self._sent = None
    self._uncertain = True


def _never_bury(self: Executor, claim: v.Claim, *args: Any) -> Any:
    del self, args
    return oc.Released(delay_ms=1, detail=claim.doom or b"")


def _no_reaping(self: Supervisor) -> None:
    del self


ABLATIONS = (
    Ablation("fence check of a commit", Model, "_commit", _commit_of_any_fence),
    Ablation("one final state", Model, "_commit", _commit_after_the_end),
    Ablation("once-lock freed in the ending", Model, "_end_one", _free_nothing_at_the_end),
    Ablation("atomic countdown", Model, "_follow", _child_not_counted_down),
    Ablation("all parents before the child", Model, "_follow", _child_started_by_its_first_parent),
    Ablation("a failure ends the dependants", Model, "_follow", _ending_reaches_no_child),
    Ablation("nothing before it is due", Model, "_queue_at", _due_at_once),
    Ablation("nothing after it has expired", Model, "_claim", _claim_the_expired),
    Ablation("a lapsed session claims nothing", Model, "exchange", _lapsed_sessions_claim),
    Ablation("deliveries are counted", Model, "_take_back", _counts_no_delivery),
    Ablation("enqueue is idempotent", Model, "_store", _enqueue_again),
    Ablation("compare-and-set of a slot", Model, "fire", _fire_without_looking),
    Ablation("a step is recorded once", Model, "step", _step_always_new),
    Ablation("the revoked is not retried", Model, "_commit", _retry_the_revoked),
    Ablation("reconcile after a lost reply", Consumer, "reconcile", _forget_lost_claims),
    Ablation("outcomes are said again", Consumer, "failed", _drop_outcomes),
    Ablation("the dead are buried", Executor, "_bury", _never_bury),
    Ablation("lapsed sessions are reaped", Supervisor, "_housekeep", _no_reaping),
)


@contextlib.contextmanager
def without(ablation: Ablation) -> Any:
    """The world without one safeguard."""
    with mock.patch.object(ablation.owner, ablation.method, ablation.without):
        yield


def seeds_until_caught(ablation: Ablation, limit: int = 300) -> tuple[int, str] | None:
    """How many seeds it takes until a violation is seen, and which; None if none is."""
    with without(ablation):
        for seed in range(limit):
            try:
                _, found = run_seed(seed)
            except Exception as exc:  # noqa: BLE001 - a world that breaks is one that was noticed
                return seed + 1, f"{type(exc).__name__}: {exc}"
            if found:
                return seed + 1, found[0]
    return None


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 if a safeguard's absence goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m property_tests.ablations")
    parser.add_argument("--limit", type=int, default=300)
    limit = parser.parse_args(argv).limit
    missed = 0
    print("| without | seeds until caught | what was seen |\n| --- | ---: | --- |")
    for ablation in ABLATIONS:
        caught = seeds_until_caught(ablation, limit)
        missed += caught is None
        seeds, seen = caught or (f"> {limit}", "nothing")
        print(f"| {ablation.name} | {seeds} | {seen} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
