"""Names of Celery's `Task` beside its calls: hooks, requests, and those that mean nothing here."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from reliable_tasks.bodies.requests import RequestStack, request_of
from reliable_tasks.celery_names import no_attribute
from reliable_tasks.core import context
from reliable_tasks.core.request import Request as _Request
from reliable_tasks.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.bodies.models import Models

__all__ = ["CeleryNames", "NotHere"]


class NotHere:
    """A name of Celery's that means nothing here: to ask for it says what there is instead."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: object, owner: type | None = None) -> NoReturn:
        raise AttributeError(no_attribute("Task", "Task", self._name))


class CeleryNames:
    """What `Task` has for programs that were written for Celery."""

    OperationalError: ClassVar[type[Exception]] = StoreUnavailable
    """What enqueueing raises when the store cannot be reached."""

    compression: Any = None
    exchange: Any = None
    exchange_type: Any = None
    routing_key: str | None = None
    delivery_mode: Any = None
    acks_on_failure: bool = True
    acks_on_timeout: bool = True
    retry_on_worker_lost: bool | None = None
    send_events: bool = True
    store_eager_result: bool | None = None

    Request = NotHere()
    Strategy = NotHere()
    start_strategy = NotHere()
    send_event = NotHere()
    from_config = NotHere()

    name: str
    app: Any
    call_models: Models | None = None
    """What makes models of the arguments, with `pydantic=True` or `msgspec=True`."""

    # Hooks ---------------------------------------------------------------------------------------

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Called when a task of this class is registered with an app."""

    def shadow_name(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> str | None:
        """The name to show in logs for a call with these arguments; None for the task's own."""

    def on_replace(self, sig: Any) -> Any:
        """Let a signature take the running message's place; override it to see or change it."""
        return self.app.canvas.replace_running(self, sig)

    @classmethod
    def add_around(cls, attr: str, around: Callable[[Any], Any]) -> None:
        """Replace a method by what `around` makes of it; once more replaces that."""
        now = getattr(cls, attr)
        before = getattr(now, "__around__", now)
        made = around(before)
        made.__around__ = before
        static = isinstance(inspect.getattr_static(cls, attr), staticmethod)
        setattr(cls, attr, staticmethod(made) if static else made)

    # Requests ------------------------------------------------------------------------------------

    @property
    def request(self) -> _Request:
        """The attempt that runs this task here; `called_directly` outside of one."""
        return request_of(self)

    @property
    def request_stack(self) -> RequestStack:
        """The requests that were pushed here, with `top`, `push` and `pop`."""
        return RequestStack(self)

    def push_request(self, **fields: Any) -> None:
        """Let `self.request` have these fields, until `pop_request`: for tests of a body."""
        self.request_stack.push(_Request(**{**vars(self.request), **fields}))

    def pop_request(self) -> _Request:
        """Take away what was pushed last."""
        return self.request_stack.pop()

    def signature_from_request(
        self,
        request: _Request | None = None,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        **extra_options: Any,
    ) -> Any:
        """A call like the one that runs, as a new message: its arguments, queue and options.

        It has an id and callbacks of its own, and no place in the workflow of the running one.
        """
        request = self.request if request is None else request
        hard, soft = request.timelimit
        options = {
            "queue": queue or request.delivery_info.get("routing_key"),
            "priority": request.delivery_info.get("priority"),
            "time_limit": hard,
            "soft_time_limit": soft,
            **{name: getattr(request, name) for name in ("expires", "headers", "shadow")},
            "ignore_result": request.ignore_result or None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        call = request.args if args is None else args, request.kwargs if kwargs is None else kwargs
        make: Any = self
        return make.signature(*call, **{**given, **extra_options})

    subtask_from_request = signature_from_request

    def add_trail(self, result: Any) -> Any:
        """Note a message that the body has started; calls note theirs by themselves."""
        return context.noted_child(result, {})

    @property
    def backend(self) -> Any:
        """Where the app's results are."""
        return self.app.backend

    @property
    def __name__(self) -> str:
        return type(self).__qualname__.rpartition(".")[2]
