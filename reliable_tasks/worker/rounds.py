"""A supervisor's rounds of duties: generators that yield calls of the store.

A round is resumed with each call's answer once that has come. The supervisor steps on in between,
however long the store takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks import events
from reliable_tasks.errors import StoreError

from .store_calls import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .store_calls import Call, StoreCalls
    from .store_health import StoreHealth

    Round = Generator[Call, Any, None]

__all__ = ["Rounds"]

_ANSWERING_S = 3.0  # a store that said something so lately is there, and we do not stand still


class Rounds:
    """Runs one round after the other.

    Args:
        calls: asks the store.
        health: counts its failures; no round begins while it says to pause.
    """

    def __init__(self, calls: StoreCalls, health: StoreHealth) -> None:
        self._calls = calls
        self._health = health
        self._round: Round | None = None
        self._answered_at, self._heard = float("-inf"), False

    @property
    def under_way(self) -> bool:
        """Whether a round waits for an answer."""
        return self._round is not None

    @property
    def paused_until(self) -> float:
        """When the next round may begin."""
        return self._health.retry_at

    def store_answers(self, now: float) -> bool:
        """Whether the store has answered a moment ago."""
        return now - self._answered_at < _ANSWERING_S

    def abandon(self) -> None:
        """Wait for no answer any more."""
        self._round = None

    def go_on(self, now: float, begin: Callable[[], Round]) -> None:
        """Take the store's answer, if it has come, and ask what is next."""
        if self._round is None:
            if now < self._health.retry_at:
                return
            self._heard = False
            self._resume(begin(), Answer(), now)
        while self._round is not None:
            answer = self._calls.take()
            if answer is None:
                return
            if answer.error is None:
                self._answered_at, self._heard = now, True
            self._resume(self._round, answer, now)

    def _resume(self, duties: Round, answer: Answer, now: float) -> None:
        self._round = None
        try:
            call = duties.throw(answer.error) if answer.error else duties.send(answer.value)
        except StopIteration:
            if self._heard:  # else nothing was due, and the store was not asked
                self._health.answered(now)
        except Exception as exc:  # noqa: BLE001 - to die of it would take the running bodies along
            if not isinstance(exc, StoreError):
                events.emit("worker.internal_error", error=repr(exc))
            self._health.failed(exc, now)
        else:
            self._round = duties
            self._calls.send(call)
