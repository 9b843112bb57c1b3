"""The current app, and the attempt that this thread (or coroutine) runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping

    from reliable_tasks.config.conf import Conf, Settings
    from reliable_tasks.core.codec.exceptions import SafeExceptions
    from reliable_tasks.core.frameworks import Framework
    from reliable_tasks.core.message import Message
    from reliable_tasks.core.request import AttemptContext
    from reliable_tasks.store.protocol import Store
    from reliable_tasks.store.values import Batch, Enqueued, Receipt

__all__ = [
    "AppContext",
    "Proxy",
    "app_made",
    "attempts",
    "current_attempt",
    "forbid_waiting",
    "get_current_app",
    "make_default_app",
    "noted_child",
    "on_each_app",
    "refuse_waiting",
    "set_current_app",
    "waiting_forbidden",
]

T = TypeVar("T")


class AppContext(Protocol):
    """What tasks, results and canvases know of the app that they belong to.

    The app is built of them, so they do not import it. What they need of rooms above their own
    they ask of it, and it calls downward on their behalf: `canvas`, `apply_eagerly`.
    """

    main: str | None
    strict_typing: bool
    conf: Conf
    exceptions: SafeExceptions
    commons: dict[str, Any]
    gathering: Any
    notes: list[str]
    served: frozenset[str] | None
    Task: type[Any]
    on_after_configure: Any
    on_after_finalize: Any
    on_after_fork: Any
    framework: Framework | None

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - see App, as all the others are
    @property
    def timezone(self) -> dt.tzinfo: ...  # noqa: D102
    @property
    def result_ttl_ms(self) -> int: ...  # noqa: D102
    @property
    def failure_ttl_ms(self) -> int: ...  # noqa: D102
    @property
    def accept_content(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def accept_results(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def annotations(self) -> tuple[Any, ...]: ...  # noqa: D102
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def tasks(self) -> Any: ...  # noqa: D102
    @property
    def canvas(self) -> Any: ...  # noqa: D102
    @property
    def backend(self) -> Any: ...  # noqa: D102
    @property
    def control(self) -> Any: ...  # noqa: D102
    @property
    def schedules(self) -> Any: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def route(  # noqa: D102
        self,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        task: Any = None,
    ) -> Mapping[str, Any]: ...
    @property
    def task(self) -> Any: ...  # noqa: D102
    def register_task(self, task: Any) -> Any: ...  # noqa: D102
    def gen_task_name(self, name: str, module: str) -> str: ...  # noqa: D102
    def set_up(self) -> None: ...  # noqa: D102
    def import_modules(self) -> None: ...  # noqa: D102
    def send_task(  # noqa: D102
        self, name: str, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any: ...
    def send_message(self, message: Message, options: Mapping[str, Any]) -> Any: ...  # noqa: D102
    def send_plain(self, task: Any, args: Any, kwargs: Any) -> Any: ...  # noqa: D102
    def plain_call(self, task: Any, args: Any, kwargs: Any) -> Any: ...  # noqa: D102
    def store_plain(  # noqa: D102
        self, kind: Any, made: Any, payloads: Any, options: Mapping[str, Any]
    ) -> Any: ...
    def send_many(self, task: Any, arguments: Any, options: Any) -> list[Any]: ...  # noqa: D102
    def check_receipt(  # noqa: D102
        self, receipt: Receipt, message: Message, options: Mapping[str, Any]
    ) -> None: ...
    def enqueue(  # noqa: D102
        self,
        batch: Batch,
        options: Mapping[str, Any] | None = None,
        *,
        announced: bool = False,
    ) -> Enqueued: ...
    def enqueue_many(self, signatures: Iterable[Any]) -> list[Any]: ...  # noqa: D102
    async def asend_call(  # noqa: D102
        self, task: Any, args: Any, kwargs: Any, options: dict[str, Any], links: Mapping[str, Any]
    ) -> Any: ...
    async def aenqueue_many(self, signatures: Iterable[Any]) -> list[Any]: ...  # noqa: D102
    async def asend_message(self, message: Message, options: Mapping[str, Any]) -> Any: ...  # noqa: D102
    def apply_eagerly(  # noqa: D102
        self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any], **how: Any
    ) -> Any: ...
    def signature(self, *args: Any, **kwargs: Any) -> Any: ...  # noqa: D102
    def AsyncResult(self, id: Any = None, **kwargs: Any) -> Any: ...  # noqa: A002, D102, N802
    def GroupResult(  # noqa: D102, N802
        self,
        id: str | None = None,  # noqa: A002
        results: Any = None,
        **kwargs: Any,
    ) -> Any: ...


current_attempt: ContextVar[AttemptContext | None] = ContextVar("attempt", default=None)
"""The attempt whose body runs here."""

attempts: dict[str, AttemptContext] = {}
"""The attempts that run in this process by message id, for threads that bodies start."""

forbid_waiting: ContextVar[bool | None] = ContextVar("forbid_waiting", default=None)
"""Whether waiting for a result is refused here; None: as the attempt says that runs here."""


def noted_child(result: T, options: Mapping[str, Any]) -> T:
    """Tell the body that runs here, if any, what it has just enqueued: `request.children`."""
    running = current_attempt.get()
    if running is not None and running.task.trail and options.get("add_to_parent") is not False:
        running.request.add_child(result)
    return result


_current_app: AppContext | None = None
_default_app: Callable[[], AppContext] | None = None
_on_app: list[Callable[[AppContext], object]] = []


def waiting_forbidden() -> bool:
    """Whether this is a body that a worker runs: waiting for another result may never end."""
    forbidden, running = forbid_waiting.get(), current_attempt.get()
    if forbidden is None:
        return running is not None and running.forbids_waiting
    return forbidden


def refuse_waiting() -> None:
    """Raise RuntimeError inside a body, where waiting for a result is refused."""
    if waiting_forbidden():
        raise RuntimeError(
            "Never call result.get() within a task! It can wait for its own worker for ever; "
            "use a chain or a chord, or `with allow_join_result():` if you know it cannot."
        )


def set_current_app(app: AppContext) -> None:
    """Make `app` the current one, and hand it the shared tasks declared so far."""
    global _current_app  # noqa: PLW0603 - there is one current app in a process
    _current_app = app
    for register in _on_app:
        register(app)


def get_current_app() -> AppContext:
    """The current app; one with default settings is made where there is none."""
    if _current_app is not None:
        return _current_app
    if _default_app is None:
        raise ConfigError("there is no app in this process: make one with reliable_tasks.App(…)")
    app = _default_app()
    set_current_app(app)
    return app


def app_made() -> AppContext | None:
    """The current app; None where no app was made."""
    return _current_app


def make_default_app(make: Callable[[], AppContext]) -> None:
    """Say how to make the current app where there is none: the app's own module does."""
    global _default_app  # noqa: PLW0603 - there is one way
    _default_app = make


def on_each_app(register: Callable[[AppContext], object]) -> None:
    """Call `register` with the current app, if any, and with every app that becomes current."""
    _on_app.append(register)
    if _current_app is not None:
        register(_current_app)


class Proxy(Generic[T]):
    """A stand-in for an object that is looked up at each use."""

    __slots__ = ("_lookup",)

    def __init__(self, lookup: Callable[[], T]) -> None:
        object.__setattr__(self, "_lookup", lookup)

    def resolved(self) -> T:
        """Look up the object itself."""
        return self._lookup()  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lookup(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._lookup(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object."""
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
