"""Turns of what one process does for all, in the state machine."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from property_tests.agreement import strategies as some
from property_tests.model.model import Model
from reliable_tasks.store import values as v

__all__ = ["Turns", "process_of"]


def process_of(session: str) -> v.SessionInfo:
    """Whose session it is: two of the three processes are on one host."""
    number = some.SESSIONS.index(session)
    return v.SessionInfo(
        id=session,
        worker=f"w@{session}",
        host=f"host {number // 2}",
        pid=1 + number,
        queues=some.QUEUES,
    )


class Turns(RuleBasedStateMachine):
    """Who asks for a turn has it in both, or in neither."""

    store: Any
    model: Model

    @rule(session=st.sampled_from(some.SESSIONS), patient=st.booleans())
    def take_turn(self, session: str, patient: bool) -> None:
        asks = process_of(session)
        if any(s.pid != asks.pid for s in self.model.session_table.values()):  # it is not alone
            expected = self.model.take_turn(asks, patient=patient)
            assert self.store.take_turn(asks, patient=patient) == expected
