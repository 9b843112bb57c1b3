"""What is current: the app, and the attempt that this thread (or coroutine) is running."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.app import App
    from reliable_tasks.tasks.request import Running

__all__ = [
    "Proxy",
    "attempts",
    "current_attempt",
    "forbid_waiting",
    "get_current_app",
    "on_each_app",
    "refuse_waiting",
    "set_current_app",
]

T = TypeVar("T")

current_attempt: ContextVar[Running | None] = ContextVar("attempt", default=None)
"""The attempt whose body runs here."""

attempts: dict[str, Running] = {}
"""The attempts that run in this process, by their message's id: for threads that bodies start."""

forbid_waiting: ContextVar[bool] = ContextVar("forbid_waiting", default=False)
"""True inside a body that a worker runs: waiting for another result there may wait for ever."""

_current_app: App | None = None
_on_app: list[Callable[[App], object]] = []


def refuse_waiting() -> None:
    """Raise RuntimeError where waiting for a result is refused."""
    if forbid_waiting.get():
        raise RuntimeError(
            "Never call result.get() within a task! It can wait for its own worker for ever; "
            "use a chain or a chord, or `with allow_join_result():` if you know it cannot."
        )


def set_current_app(app: App) -> None:
    """Make `app` the current one, and hand it the shared tasks declared so far."""
    global _current_app  # noqa: PLW0603 - there is one current app in a process
    _current_app = app
    for register in _on_app:
        register(app)


def get_current_app() -> App:
    """The current app; one with default settings is made where there is none."""
    if _current_app is None:
        from reliable_tasks.app import App  # noqa: PLC0415 - the app is built of what imports this module

        App("default", set_as_current=True)
    assert _current_app is not None  # noqa: S101 - the constructor set it
    return _current_app


def on_each_app(register: Callable[[App], object]) -> None:
    """Call `register` with the current app, if any, and with every app that becomes current."""
    _on_app.append(register)
    if _current_app is not None:
        register(_current_app)


class Proxy(Generic[T]):
    """Stands for an object that is looked up at each use."""

    __slots__ = ("_lookup",)

    def __init__(self, lookup: Callable[[], T]) -> None:
        object.__setattr__(self, "_lookup", lookup)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lookup(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._lookup(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What it stands for, called."""
        target: Any = self._lookup()
        return target(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(self._lookup())

    def __eq__(self, other: object) -> bool:
        return bool(self._lookup() == other)

    def __hash__(self) -> int:
        return hash(self._lookup())

    def __bool__(self) -> bool:
        return bool(self._lookup())
