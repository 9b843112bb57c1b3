"""An app whose messages the test itself claims and ends, in the place of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.store import values as v

if TYPE_CHECKING:
    from reliable_tasks import App, AsyncResult
    from reliable_tasks.core import outcome as oc

__all__ = ["Driver"]


class Driver:
    """An app and a worker's session on its store, worked by hand."""

    def __init__(self, app: App) -> None:
        self.app = app
        app.store.open_session(v.SessionInfo(id="s", worker="w@h", queues=("celery",)), 60_000)

    def call(self, *args: Any, **options: Any) -> AsyncResult[Any]:
        return self.app.send_task("add", args, **options)

    def claim(self) -> v.Claim:
        want = v.ClaimRequest(queues=("celery",), limit=1)
        (claim,) = self.app.store.exchange("s", (), want).claims
        return claim

    def commit(self, claim: v.Claim, outcome: oc.Outcome) -> None:
        commit = v.Commit(id=claim.id, fence=claim.fence, outcome=outcome)
        assert self.app.store.exchange("s", (commit,), None).verdicts == (v.Verdict.COMMITTED,)

    def end(self, outcome: oc.Outcome) -> None:
        """Claim the next message and commit its outcome."""
        self.commit(self.claim(), outcome)
