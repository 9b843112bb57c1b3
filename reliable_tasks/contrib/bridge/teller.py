"""Tells result backends how messages ended: the consumer of the queue that `tells` fills.

It claims like a worker, and commits what is told; so what a killed bridge had not told is told by
another. A backend that is away is waited for. An ending that the backend does not take while it
takes others is told in words, and is a dead letter if not even that goes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from reliable_tasks import events
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.outcome import Failed, Released, Retry, Succeeded
from reliable_tasks.core.texts import printable
from reliable_tasks.errors import CodecError, ReliableTasksError, StoreError
from reliable_tasks.store.values import ClaimRequest, Commit

from . import backends
from .beside import own_session
from .endings import Ending, ending_of, in_words
from .tells import QUEUE, About, about_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.outcome import Outcome
    from reliable_tasks.store.values import Claim, Record

    from .beside import Stop

__all__ = ["Teller"]

_AT_ONCE: Final = 100
_IDLE_S: Final = 1.0
_BEATS: Final = 4  # in the time of a lease
_STRIKES: Final = 5
"""So often an ending is refused while others are taken, before it is told in words."""
_BACKOFF: Final = Backoff(first_s=0.5, longest_s=30.0)


class ResultRefused(ReliableTasksError):
    """The result backend does not take the result of a message: it is in the store alone."""


class Teller:
    """Tells one backend.

    Args:
        app: whose store it reads.
        backend: the URL of the backend.
        broker: where `rpc://` answers.
        name: of the bridge, for its session and the log.

    Raises:
        ConfigError: a library that the backend needs is not installed.
    """

    def __init__(self, app: AppContext, backend: str, broker: str, name: str) -> None:
        self._app, self._name, self._place = app, name, mask_url(backend)
        options = backends.backend_options(app.conf)
        self._celery = backends.celery_app(
            backend, app.settings, options, broker, keeps_connections=True
        )
        self._lease_ms = round(app.settings.session_lease * 1000)
        self._session = ""
        self._failures = 0
        self._strikes: dict[str, int] = {}
        self._told = 0
        self._beat_at = 0.0

    def run(self, stop: Stop) -> None:
        """Tell until it is to stop; what is left is told by the next bridge."""
        failures = 0
        while not stop.is_set():
            try:
                self._serve(stop)
                failures = 0
            except StoreError as away:
                failures += 1
                pause_s = _BACKOFF.pause_s(failures)
                self._tell_of(self._app.store.location, away, pause_s)
                stop.wait(pause_s)

    def drain(self) -> int:
        """Tell what is there now; returns how many endings were told."""
        before = self._told
        self._open_session()
        try:
            commits: Sequence[Commit] = ()
            while not self._failures:
                claims = self._app.store.exchange(self._session, commits, _want()).claims
                if not claims:
                    return self._told - before
                commits = self._tell(claims)
            self._app.store.exchange(self._session, commits, None)
            return self._told - before
        finally:
            self._close_session()

    # The session ---------------------------------------------------------------------------------

    def _open_session(self) -> None:
        info = own_session(self._name, QUEUE)
        self._app.store.open_session(info, self._lease_ms)
        self._session = info.id

    def _close_session(self) -> None:
        """Give back what is not told; a store that is away takes it back when the lease is over."""
        session, self._session = self._session, ""
        if session:
            with contextlib.suppress(StoreError):
                self._app.store.close_session(session)

    def _beat(self) -> None:
        """Keep the session alive, and take back what dead ones held, if it is time for that."""
        now = clock.monotonic()
        if now >= self._beat_at:
            self._beat_at = now + self._lease_ms / _BEATS / 1000
            self._app.store.heartbeat([self._session], self._lease_ms)
            self._app.store.reap()

    def _serve(self, stop: Stop) -> None:
        """Claim and tell, until the session is lost or it is to stop."""
        self._open_session()
        store, commits = self._app.store, list[Commit]()
        try:
            while not stop.is_set():
                self._beat()
                if commits or self._failures:
                    reply = store.exchange(self._session, commits, _want())
                else:
                    reply = store.wait_then_claim(self._session, _want(), _IDLE_S)
                commits = []
                if reply.lost:
                    return
                if reply.claims:
                    commits = self._tell(reply.claims)
                if self._failures:
                    if commits:
                        store.exchange(self._session, commits, None)
                    commits = []
                    self._pause(stop)
            if commits:
                store.exchange(self._session, commits, None)
        finally:
            self._close_session()

    def _pause(self, stop: Stop) -> None:
        """Wait for a backend that is away; the session lives on."""
        until = clock.monotonic() + _BACKOFF.pause_s(self._failures)
        while not stop.is_set() and (left := until - clock.monotonic()) > 0:
            self._beat()
            stop.wait(min(left, _IDLE_S))

    def _tell_of(self, place: str, away: Exception, pause_s: float) -> None:
        said = str(away) or type(away).__name__
        about = {"bridge": self._name, "place": place, "error": said, "delay": pause_s}
        events.emit("bridge.not_told", **about)

    # Telling -------------------------------------------------------------------------------------

    def _tell(self, claims: Sequence[Claim]) -> list[Commit]:
        """Tell the endings of claims; after the first that the backend does not take, no more."""
        records = self._records(claims)
        commits = list[Commit]()
        refused = False
        for claim in claims:
            outcome: Outcome = Released()
            if not refused:
                self._beat()
                outcome = self._outcome(claim, records)
                refused = isinstance(outcome, Retry)
            commits.append(Commit(id=claim.id, fence=claim.fence, outcome=outcome))
        return commits

    def _records(self, claims: Sequence[Claim]) -> dict[str, Record]:
        """The records of messages that did not succeed, or whose result is too large to travel."""
        wanted = [
            claim.parent_id
            for claim in claims
            if claim.parent_id and not (claim.inputs and claim.inputs[0].ok)
        ]
        found = self._app.store.read(wanted) if wanted else ()
        return {record.id: record for record in found if record is not None}

    def _outcome(self, claim: Claim, records: dict[str, Record]) -> Outcome:
        about = about_of(claim.payload)
        if about is None:
            strange = ResultRefused(f"this tells of nothing: {QUEUE!r} is the bridges' own queue")
            return Failed(failure=encode_failure(strange))
        try:
            self._write(about, claim, records.get(about.id))
        except Exception as away:  # noqa: BLE001 - each driver has its own errors
            return self._refused(about, claim, away)
        self._failures = 0
        self._strikes.pop(claim.id, None)
        self._told += 1
        return Succeeded(keep=False)

    def _write(self, about: About, claim: Claim, record: Record | None) -> None:
        try:
            ending = ending_of(self._app, claim, record, backends.is_celerys)
            self._store(about, ending)
        except (CodecError, backends.Unfit) as unfit:
            self._store(about, self._in_words(about, unfit))

    def _store(self, about: About, ending: Ending) -> None:
        backends.store(
            self._celery,
            about.id,
            ending.status,
            ending.result,
            ending.traceback,
            backends.Request(about, ending.children),
        )

    def _in_words(self, about: About, why: Exception) -> Ending:
        return in_words(
            "FAILURE",
            ResultRefused(
                f"message {about.id} of task {about.task!r} has ended, but its result cannot be "
                f"kept by {self._place}: {why}; `reliable-tasks result {about.id}` shows it"
            ),
            backends.is_celerys,
        )

    def _refused(self, about: About, claim: Claim, away: Exception) -> Outcome:
        """What becomes of an ending that the backend has not taken.

        It is away, most likely. But if it took others since this one was refused last, it is this
        one that it does not take.
        """
        others = self._failures == 0
        self._failures += 1
        if others:
            self._strikes[claim.id] = self._strikes.get(claim.id, 0) + 1
        pause_s = _BACKOFF.pause_s(self._failures)
        said = printable(str(away) or type(away).__name__)
        if self._strikes.get(claim.id, 0) > _STRIKES:
            del self._strikes[claim.id]
            try:
                self._store(about, self._in_words(about, away))
            except Exception as again:  # noqa: BLE001 - as above: now it is for people to see
                refused = ResultRefused(f"{self._place} does not take it: {again}")
                about_it = {"bridge": self._name, "place": self._place, "id": about.id}
                events.emit("bridge.untold", **about_it, error=str(again))
                return Failed(failure=encode_failure(refused))
            self._failures = 0
            return Succeeded(keep=False)
        self._tell_of(self._place, away, pause_s)
        detail = msgspec.json.encode({"exception": type(away).__name__, "message": said[:1000]})
        return Retry(delay_ms=round(pause_s * 1000), failure=encode_failure(away), detail=detail)


def _want() -> ClaimRequest:
    return ClaimRequest(queues=(QUEUE,), limit=_AT_ONCE)
