"""`app.control`: Celery's remote control, done through the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from reliable_tasks.celery_names import no_attribute
from reliable_tasks.core.checks import message_id, signal_name
from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import State, decode_headers

from .errors import UnknownResult
from .store.values import MessageQuery, every_of

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext

    from .store.values import Record

__all__ = ["Control", "Inspect"]


class Control:
    """Revoke, purge, ping and inspect.

    Nothing is broadcast. A revocation changes the message's own record, so it also reaches workers
    that are down now.
    """

    def __init__(self, app: AppContext) -> None:
        self._app = app

    def revoke(
        self,
        task_id: str | Iterable[str],
        terminate: bool = False,
        signal: str = "SIGTERM",
        **_: Any,
    ) -> dict[str, str]:
        """Revoke messages by id; return what was found for each.

        Args:
            task_id: one id, or several.
            terminate: stop those that run.
            signal: what the process of a body gets; see `AsyncResult.revoke`.

        Raises:
            ConfigError: there is no such signal.
        """
        by = signal_name(signal)
        lone = isinstance(task_id, str | bytes) or not isinstance(task_id, Iterable)
        wanted = [message_id("task_id", each) for each in ([task_id] if lone else task_id)]
        replies = self._app.store.revoke(wanted, terminate=terminate, signal=by)
        return {reply.id: reply.found for reply in replies}

    def terminate(self, task_id: str | Iterable[str], signal: str = "SIGTERM") -> dict[str, str]:
        """Revoke messages and stop those that run."""
        return self.revoke(task_id, terminate=True, signal=signal)

    def purge(self, *queues: str) -> int:
        """Revoke everything that waits on these queues (the default one if none is named)."""
        count = 0
        for queue in queues or (self._app.settings.task_default_queue,):
            while done := self._app.store.purge(queue):
                count += done  # what waited for the key of one that is gone may be queued now
        return count

    discard_all = purge

    def ping(self, **_: Any) -> list[dict[str, dict[str, str]]]:
        """The workers whose sessions are alive."""
        store = self._app.store
        now = store.now_ms()
        alive = {s.worker for s in store.sessions() if s.lease_until_ms > now}
        return [{worker: {"ok": "pong"}} for worker in sorted(alive)]

    def inspect(self, *_: Any, **__: Any) -> Inspect:
        """Return what can be asked about running and waiting messages."""
        return Inspect(self._app)

    if not TYPE_CHECKING:  # it would hide mistakes from type checkers

        def __getattr__(self, name: str) -> Any:
            """Say what is here instead of a name of Celery's."""
            raise AttributeError(no_attribute("app.control", "Control", name))


class Inspect:
    """What the store knows, by worker, in the shape of Celery's replies."""

    def __init__(self, app: AppContext) -> None:
        self._app = app

    def _by_worker(self, state: State) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        query = MessageQuery(state=state, full=True)
        for record in every_of(self._app.store.find, query):
            found.setdefault(record.worker or "", []).append(self._described(record))
        return found

    def _described(self, record: Record) -> dict[str, Any]:
        headers = decode_headers(record.headers)
        args: Any = None
        kwargs: Any = None
        if record.payload is not None:
            accept = self._app.accept_content
            args, kwargs = loads_call(record.payload, headers.serializer, accept)
        return {
            "id": record.id,
            "name": record.task,
            "args": args,
            "kwargs": kwargs,
            "hostname": record.worker,
            "time_start": record.started_ms and record.started_ms / 1000,
            "eta": record.due_ms and record.due_ms / 1000,
            "priority": record.priority,
            "queue": record.queue,
        }

    def active(self) -> dict[str, list[dict[str, Any]]]:
        """What runs, by worker."""
        return self._by_worker(State.RUNNING)

    def scheduled(self) -> dict[str, list[dict[str, Any]]]:
        """What is scheduled for later; no worker has it yet."""
        return self._by_worker(State.SCHEDULED)

    def reserved(self) -> dict[str, list[dict[str, Any]]]:
        """What is queued; no worker has it yet."""
        return self._by_worker(State.QUEUED)

    def registered(self) -> list[str]:
        """The tasks that this app knows."""
        return sorted(self._app.tasks)

    def active_queues(self) -> dict[str, list[str]]:
        """The queues that each worker consumes."""
        return {s.worker: list(s.queues) for s in self._app.store.sessions()}

    def query_task(self, task_id: str) -> dict[str, Any]:
        """One message.

        Raises:
            UnknownResult: the store does not know it.
        """
        record = self._app.store.read([task_id], full=True)[0]
        if record is None:
            raise UnknownResult(f"the store knows no message {task_id!r}")
        return self._described(record)

    if not TYPE_CHECKING:  # it would hide mistakes from type checkers

        def __getattr__(self, name: str) -> Any:
            """Say what is here instead of a name of Celery's."""
            raise AttributeError(no_attribute("app.control.inspect()", "Inspect", name))
