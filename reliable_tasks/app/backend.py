"""`app.backend`: results by their id, under the names of Celery's backends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.celery_names import no_attribute
from reliable_tasks.config.masks import mask_url

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext

__all__ = ["Backend"]


class Backend:
    """What a store knows of results. They live with the messages, so nothing is written here.

    Args:
        app: whose results.
    """

    def __init__(self, app: AppContext) -> None:
        self.app = app

    if not TYPE_CHECKING:  # it would hide mistakes from type checkers

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(no_attribute("app.backend", "backend", name))

    @property
    def url(self) -> str:
        """Where the store is."""
        return self.app.settings.broker_url

    def as_uri(self, include_password: bool = False) -> str:
        """The store's URL, with its password covered unless it is asked for."""
        return self.url if include_password else mask_url(self.url)

    def get_state(self, task_id: str) -> str:
        """The state of a message."""
        state: str = self.app.AsyncResult(task_id).state
        return state

    get_status = get_state

    def get_result(self, task_id: str) -> Any:
        """What a message ended with, or the metadata of its progress."""
        return self.app.AsyncResult(task_id).result

    def get_traceback(self, task_id: str) -> str | None:
        """The traceback of a message that failed."""
        found: str | None = self.app.AsyncResult(task_id).traceback
        return found

    def get_task_meta(self, task_id: str) -> dict[str, Any]:
        """State, result and the rest of what is known of a message, as a dict."""
        result = self.app.AsyncResult(task_id)
        names = ("task_id", "status", "result", "traceback", "children", "date_done")
        extended = ("name", "args", "kwargs", "worker", "retries", "queue")
        return {name: getattr(result, name) for name in (*names, *extended)}

    def wait_for(self, task_id: str, timeout: float | None = None) -> dict[str, Any]:
        """Wait for a message to end, and return what `get_task_meta` does.

        Raises:
            TimeoutError: it has not ended in time.
        """
        self.app.AsyncResult(task_id).get(timeout=timeout, propagate=False)
        return self.get_task_meta(task_id)

    def forget(self, task_id: str) -> None:
        """Drop a message's result."""
        self.app.AsyncResult(task_id).forget()

    def cleanup(self) -> None:
        """Drop what has expired; workers do so all the time."""
        while self.app.store.reap().more:
            pass
