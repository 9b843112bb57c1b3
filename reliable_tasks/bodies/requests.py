"""Requests beside that of the attempt: of a direct call, or pushed by `task.push_request()`.

They are pushed in a context (`contextvars`), so that each thread and coroutine has its own. One
counts as long as the attempt runs, or none does, in which it was pushed.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.context import current_attempt
from reliable_tasks.core.request import AttemptContext, Request
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RequestStack", "attempt_of", "call_directly", "innermost_task", "request_of"]


class _Pushed:
    """A request that was pushed, or the call that one is made of when it is first asked for."""

    __slots__ = ("_call", "_request", "attempt", "task")

    def __init__(
        self, task: Any, attempt: AttemptContext | None, call: Any, request: Request | None = None
    ) -> None:
        self.task = task
        self.attempt = attempt
        self._call = call
        self._request = request

    @property
    def request(self) -> Request:
        """The request."""
        if self._request is None:
            args, kwargs = self._call
            self._request = Request(task=self.task.name, args=args, kwargs=kwargs)
        return self._request


_pushed: ContextVar[tuple[_Pushed, ...]] = ContextVar("pushed_requests", default=())


def _top(task: Any) -> Request | None:
    stack = _pushed.get()
    if not stack:
        return None
    running = current_attempt.get()
    of_task = (x.request for x in reversed(stack) if x.task is task and x.attempt is running)
    return next(of_task, None)


def request_of(task: Any) -> Request:
    """The request that a task sees here; one that says `called_directly` if it does not run."""
    pushed = _top(task)
    if pushed is not None:
        return pushed
    running = current_attempt.get()
    if running is None or running.task is not task:
        return Request(task=task.name)
    return running.request


def attempt_of(task: Any) -> AttemptContext | None:
    """The attempt of a task that runs here, or what a pushed request stands for; None if neither.

    A request that was pushed with `called_directly=False`, as tests of bodies do, stands for one.
    """
    running = current_attempt.get()
    if running is not None and running.task is task:
        return running
    pushed = _top(task)
    if pushed is None or pushed.called_directly:
        return None
    return AttemptContext(task, pushed, None)


def innermost_task() -> Any:
    """The task whose body runs here, be it by a direct call; None outside of one."""
    running, stack = current_attempt.get(), _pushed.get()
    if stack and stack[-1].attempt is running:
        return stack[-1].task
    return running.task if running else None


def call_directly(task: Any, run: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
    """Call a body as a plain function, with a request that says so.

    Inside the task's own attempt the request stays: it is the attempt that calls its body.
    """
    running = current_attempt.get()
    if running is not None and running.task is task:
        return run(*args, **kwargs)
    token = _pushed.set((*_pushed.get(), _Pushed(task, running, (args, kwargs))))
    try:
        return run(*args, **kwargs)
    finally:
        _pushed.reset(token)


class RequestStack:
    """The requests of one task that are pushed here: Celery's `task.request_stack`."""

    def __init__(self, task: Any) -> None:
        self._task = task

    @property
    def top(self) -> Request | None:
        """The request that was pushed last, else that of the task's running attempt."""
        running = attempt_of(self._task)
        return _top(self._task) or (running.request if running else None)

    def push(self, request: Request) -> None:
        """Let the task see this request, here, until `pop`."""
        _pushed.set((*_pushed.get(), _Pushed(self._task, current_attempt.get(), None, request)))

    def pop(self) -> Request:
        """Take the task's request that was pushed last away again, and return it.

        Raises:
            ConfigError: none was pushed here.
        """
        stack = _pushed.get()
        at = max((i for i, x in enumerate(stack) if x.task is self._task), default=None)
        if at is None:
            raise ConfigError(f"pop_request(): no request of {self._task.name} was pushed here")
        _pushed.set(stack[:at] + stack[at + 1 :])
        return stack[at].request
