"""The reference model with its records found by their state: the same rules, ten million times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from property_tests.model.model import Model
from reliable_tasks.core.message import LIVE_STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from property_tests.model.tables import Row
    from reliable_tasks.store.values import StoreOptions

__all__ = ["IndexedModel"]


class _Records(dict[str, "Row"]):
    """By id, and those in each state as well."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[State, dict[str, Row]] = {state: {} for state in State}

    def __setitem__(self, message_id: str, r: Row) -> None:
        super().__setitem__(message_id, r)
        self.of[r.state][message_id] = r

    def __delitem__(self, message_id: str) -> None:
        del self.of[self[message_id].state][message_id]
        super().__delitem__(message_id)


class IndexedModel(Model):
    """The model, without looking through what has ended at each step."""

    def __init__(self, clock: Callable[[], int], options: StoreOptions) -> None:
        super().__init__(clock, options)
        self._records = _Records()
        self.recs = self._records

    def _set(self, r: Row, state: State) -> None:
        del self._records.of[r.state][r.m.id]
        self._records.of[state][r.m.id] = r
        super()._set(r, state)

    def _live(self) -> list[Row]:
        return [r for state in LIVE_STATES for r in self._records.of[state].values()]

    def _queued(self, queue: str) -> list[Row]:
        found = [r for r in self._records.of[State.QUEUED].values() if r.m.queue == queue]
        return sorted(found, key=lambda r: (r.m.priority, r.seq))

    def _held_by(self, session: str) -> list[Row]:
        held = [r for r in self._records.of[State.RUNNING].values() if r.session == session]
        return sorted(held, key=lambda r: r.fence)
