"""`EagerResult`: the handle on a call that has run here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.typevars import R
from reliable_tasks.results.result import AsyncResult
from reliable_tasks.results.states import PROPAGATED, raised_by_get
from reliable_tasks.results.wait import wait_span

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext


__all__ = ["EagerResult"]


class EagerResult(AsyncResult[R]):
    """The result of a call that was run here and now."""

    stored = False
    supports_native_join = False

    def __init__(
        self,
        id: str | None,  # noqa: A002 - Celery's name
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
        app: AppContext | None = None,
    ) -> None:
        super().__init__(id or "eager", task_name=name, app=app)
        self._value = ret_value
        self._state = state
        self._traceback = traceback

    @property
    def state(self) -> str:
        """How it ended."""
        return self._state

    status = state

    @property
    def result(self) -> Any:
        """What the body returned or raised."""
        return self._value

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of the failure, as text."""
        return self._traceback

    def ready(self) -> bool:
        """It has ended."""
        return True

    def successful(self) -> bool:
        """Whether it ended in success."""
        return self._state == "SUCCESS"

    def failed(self) -> bool:
        """Whether it ended in failure."""
        return self._state == "FAILURE"

    def get(  # type: ignore[override]
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        follow_parents: bool = True,
        **_: Any,
    ) -> R:
        """What the body returned; raises what it raised. There is nothing to wait for."""
        wait_span(timeout)
        if propagate and self._state in PROPAGATED:
            raise raised_by_get(self._value, follow_parents and self._parent is not None)
        value: R = self._value
        return value

    wait = get  # type: ignore[assignment]

    def maybe_throw(self, propagate: bool = True, callback: Any = None) -> Any:
        """The value; raises it if it is an exception that ended the call."""
        value = self.get(propagate=propagate, follow_parents=False)
        if callback is not None:
            callback(self.id, value)
        return value

    def forget(self) -> None:
        """Nothing is stored of it."""

    def revoke(self, *_: Any, **__: Any) -> str:
        """It has ended already."""
        return "ended"

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def __reduce__(self) -> Any:
        return EagerResult, (self.id, self._value, self._state, self._traceback, self._task_name)
