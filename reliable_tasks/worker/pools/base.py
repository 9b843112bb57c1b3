"""What pools share: one attempt from claim to outcome, shown on the scoreboard."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from locks import contexts
from reliable_tasks import events, signals
from reliable_tasks.attempts.attempt import encode_detail, traceback_of
from reliable_tasks.attempts.executor import StartedAttempt
from reliable_tasks.core import clock, outcome
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.reasons import Reason
from reliable_tasks.core.request import AttemptStore
from reliable_tasks.core.texts import said
from reliable_tasks.errors import StaleClaim
from reliable_tasks.store.values import Verdict
from reliable_tasks.worker.children import PLANNED_RELEASES
from reliable_tasks.worker.copies import end_copy, is_original
from reliable_tasks.worker.scoreboard import Posted

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from reliable_tasks.attempts.executor import Executor
    from reliable_tasks.store.protocol import WorkerStore
    from reliable_tasks.store.values import Claim, StepReply
    from reliable_tasks.worker.exchanger import Exchanger
    from reliable_tasks.worker.scoreboard import Scoreboard

    Call = Callable[[StartedAttempt, contextvars.Context], Any]

__all__ = ["FencedStore", "Pool"]


class FencedStore(AttemptStore, msgspec.Struct, eq=False, gc=False):
    """How a running body reaches the store."""

    store: WorkerStore
    claim: Claim

    def report(self, state: str, meta: bytes) -> None:
        """Publish progress."""
        claim = self.claim
        verdict = self.store.report(claim.id, claim.fence, state, meta)
        if verdict == Verdict.STALE:
            raise StaleClaim(
                f"{claim.task}[{claim.id}]: the claim with fence {claim.fence} "
                "was taken away from this worker; another one has the message"
            )

    def step(self, name: str, value: bytes | None) -> StepReply:
        """Begin or record a step."""
        return self.store.step(self.claim.id, self.claim.fence, name, value)


class Pool:
    """Runs the bodies of one child.

    Args:
        executor: turns claims into outcomes.
        store: for what bodies ask of it.
        board: shows the supervisor what runs.
        slots: how many bodies run at once.
        max_memory_kib: drain when the process has used more; None for no limit.
    """

    enforces_limits: ClassVar[bool] = True
    """Whether time limits hold in this pool: killing its process must stop just one body."""
    many_processes: ClassVar[bool] = True
    """Whether concurrency means processes; otherwise it means slots in one process."""

    inline: ClassVar[bool] = False
    """Whether one thread runs all bodies, and talks to the store itself while it has none."""

    exchanger: Exchanger

    def __init__(
        self,
        executor: Executor,
        store: WorkerStore,
        board: Scoreboard,
        slots: int,
        max_memory_kib: int | None = None,
    ) -> None:
        self._executor = executor
        self._store = store
        self._board = board
        self._slots = slots
        self._max_memory_kib = max_memory_kib
        self._is_original = is_original()
        self._heard_of = [0] * slots

    def run(self) -> None:
        """Run bodies until the exchanger is over."""
        raise NotImplementedError

    def claims_came(self) -> None:
        """Claims have come in; called in the consumer's thread."""

    def soft_limit(self) -> None:
        """Handle the supervisor's signal that a soft limit has passed, in the main thread."""

    def hear_of_revocation(self, number: signal.Signals) -> bool:
        """Handle a signal, in the main thread; returns whether it was about a revoked message.

        The scoreboard says which message that is. Its body is stopped, if the pool can do so.
        """
        raise NotImplementedError

    # An attempt ----------------------------------------------------------------------------------

    def _attempt(self, slot: int, claim: Claim, call: Call) -> outcome.Outcome:
        """Take a claim to its outcome, whatever user code does meanwhile.

        A body, its hooks and its receivers share one context, which nobody else sees. The claim
        stays on the scoreboard until the outcome is in hand, so a death at any moment before that
        counts as a delivery.
        """
        context = contextvars.copy_context()
        started = context.run(self._begin, slot, claim)
        done: outcome.Outcome
        if isinstance(started, StartedAttempt):
            try:
                value = call(started, context)
            except BaseException as exc:  # noqa: BLE001 - whatever a body raises ends its attempt
                self._end_copy(exc)
                done = context.run(self._raised, slot, started, exc)
            else:
                if not self._is_original():
                    end_copy(None)
                done = context.run(self._returned, started, value)
        else:
            done = started
        if not self._is_original():
            end_copy(None)
        contexts.has_ended(context, "the task")
        if not self.many_processes:
            done = self._with_word_of_revocation(slot, claim, done)
        self._board.clear(slot)
        return done

    def _end_copy(self, error: BaseException | None = None) -> None:
        """End this process if user code has forked it: it is no worker and must commit nothing."""
        if not self._is_original():
            end_copy(error)

    def _begin(self, slot: int, claim: Claim) -> StartedAttempt | outcome.Outcome:
        now = clock.monotonic()
        # On the scoreboard before any user code runs: a death from here on counts.
        try:
            limit_s = self._executor.hard_limit_s(claim)
            at = now + limit_s if limit_s else 0.0
            self._board.post(slot, Posted(claim.id, claim.fence, now, 0.0, at))
            started = self._executor.begin(claim, FencedStore(self._store, claim))
        except BaseException as exc:  # noqa: BLE001 - see _not_begun
            return self._not_begun(claim, exc)
        if isinstance(started, StartedAttempt):
            prepared = started.prepared
            if prepared.hooks:
                self._end_copy()
            if prepared.soft_limit_s or prepared.hard_limit_s:
                soft = now + prepared.soft_limit_s if prepared.soft_limit_s else 0.0
                hard = now + prepared.hard_limit_s if prepared.hard_limit_s else 0.0
                self._board.post(slot, Posted(claim.id, claim.fence, now, soft, hard))
        return started

    def _returned(self, started: StartedAttempt, value: Any) -> outcome.Outcome:
        try:
            return self._executor.returned(started, value)
        except BaseException as exc:  # noqa: BLE001 - see _internal_error
            return self._internal_error(started.claim, exc)

    def _raised(self, slot: int, started: StartedAttempt, exc: BaseException) -> outcome.Outcome:
        try:
            if self._board.revoked(slot) == started.claim.fence and self._stops(started):
                # Whatever it raised when told: it has succeeded only if it returned all the same.
                return self._executor.revoked(started)
            return self._executor.raised(started, exc)
        except BaseException as error:  # noqa: BLE001 - see _internal_error
            return self._internal_error(started.claim, error)

    def _stops(self, started: StartedAttempt) -> bool:
        """Whether the pool stops a body whose message was revoked."""
        del started
        return self.many_processes

    def _newly_revoked(self) -> Iterator[tuple[int, int]]:
        """Slots and fences of claims that the scoreboard shows as revoked for the first time."""
        for slot in range(self._slots):
            fence = self._board.revoked(slot)
            if fence and self._heard_of[slot] != fence:
                self._heard_of[slot] = fence
                yield slot, fence

    def _tell_in_vain(self, fence: int) -> None:
        for posted in self._board.running():
            if posted.fence == fence:
                events.emit("attempt.not_stopped", id=posted.id, fence=fence)

    def _with_word_of_revocation(
        self, slot: int, claim: Claim, done: outcome.Outcome
    ) -> outcome.Outcome:
        """Note in the audit trail that a body was to be terminated but ran to its end."""
        if self._board.revoked(slot) != claim.fence:
            return done
        if isinstance(done, outcome.Revoked):
            return done
        said = msgspec.json.decode(done.detail) if done.detail else {}
        said["revoked"] = "to be terminated, which its pool cannot do: it ran to its end"
        return msgspec.structs.replace(done, detail=encode_detail(said))

    def _not_begun(self, claim: Claim, exc: BaseException) -> outcome.Outcome:
        """The outcome if something was raised before the body began.

        An exit that is raised here comes from an alarm that an earlier body has left behind. That
        is no fault of this message, so it is released, unless that has happened too often.
        """
        if isinstance(exc, Exception) or claim.bounces >= PLANNED_RELEASES:
            return self._internal_error(claim, exc)
        return self._executor.interrupted(claim, exc)

    def _internal_error(self, claim: Claim, exc: BaseException) -> outcome.Failed:
        """End an attempt as failed if the worker itself is at fault: no message may get stuck."""
        failure = encode_failure(exc, traceback_of(exc))
        try:
            events.emit("worker.internal_error", id=claim.id, task=claim.task, error=said(exc))
            signals.task_internal_error.send(None, task_id=claim.id, exception=exc)
        except BaseException as error:  # noqa: BLE001 - listeners and receivers are user code as well
            events.report("whoever hears of internal errors raised", error)
        return outcome.Failed(failure=failure, reason=Reason.INTERNAL_ERROR)
