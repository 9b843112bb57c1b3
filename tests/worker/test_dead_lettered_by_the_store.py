"""A message that no worker could dead-letter: its processes died in its hooks as well."""

import pytest

from reliable_tasks import App
from reliable_tasks.errors import WorkerLostError
from reliable_tasks.store import values as v

_ROUNDS = 10


def test_get_says_that_its_workers_were_lost() -> None:
    with App("dead-lettered", broker="sqlite://", set_as_current=False) as app:
        app.conf.max_deliveries = 2
        result = app.task(name="dies")(lambda: None).delay()
        for number in range(_ROUNDS):
            session = f"s{number}"
            app.store.open_session(v.SessionInfo(id=session, worker="w"), 60_000)
            app.store.exchange(session, (), v.ClaimRequest(queues=("celery",), limit=1))
            app.store.reap((session,))
            if result.ready():
                break
        with pytest.raises(WorkerLostError, match=f"died in each .* message {result.id}"):
            result.get(timeout=0)
