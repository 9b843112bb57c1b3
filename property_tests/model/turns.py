"""What one process does for all, and whose turn it is, in plain Python."""

from __future__ import annotations

from property_tests.model.tables import Tables
from reliable_tasks.store import values as v

__all__ = ["Turns"]


class Turns(Tables):
    """Who asks first in a turn's time has it."""

    def take_turn(self, asks: v.SessionInfo, *, patient: bool = False) -> v.Turn:
        sessions = sorted(self.session_table.items())
        me = (asks.host, asks.pid, asks.pid_started)
        beside = [
            v.SessionInfo(id=i, worker="", host=s.host, pid=s.pid, pid_started=s.pid_started)
            for i, s in sessions
            if s.host == asks.host and (s.host, s.pid, s.pid_started) != me
        ]
        reaps = self._take_turn("patient" if patient else "all")
        return v.Turn(
            reaps=reaps,
            lapsed=reaps and any(s.lease_until_ms <= self.clock() for _, s in sessions),
            neighbours=tuple(beside) if beside and self._take_turn(f"host:{asks.host}") else (),
        )

    def _take_turn(self, name: str) -> bool:
        """Whether nobody had this turn lately; a clock that was set back keeps it from nobody."""
        now = self.clock()
        if 0 <= now - self.turns.get(name, now - v.TURN_MS) < v.TURN_MS:
            return False
        self.turns[name] = now
        return True
