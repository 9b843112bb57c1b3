"""Canvases, which are signatures made of signatures: chain and group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self, overload

from reliable_tasks.core.typevars import R, T
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks.task import Task

from .fields import Field
from .lazy import LazyMembers, pulled
from .shared_parts import SharedParts
from .signatures import SHOWN, Signature, maybe_signature

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.groups import GroupResult
    from reliable_tasks.results.result import AsyncResult

    from .typed import ChainToGroup

__all__ = ["Canvas", "app_of", "chain", "group"]


class Canvas(Signature[R]):
    """What canvases have in common."""

    kind: ClassVar[str] = ""

    def _set_up(
        self, parts: Mapping[str, Any], options: Mapping[str, Any], app: AppContext | None
    ) -> None:
        """The common end of the constructors."""
        Signature.__init__(
            self,
            f"reliable_tasks.{self.kind}",
            kwargs=parts,
            options=options,
            subtask_type=self.kind,
            app=app,
        )

    @property
    def app(self) -> AppContext:
        """The app of its parts: the first that knows its own."""
        if self._app is None:
            self._app = self._app_of_parts()
        return super().app

    def _app_of_parts(self) -> AppContext | None:
        for part in self._parts():
            inner = part._app_of_parts() if isinstance(part, Canvas) else None  # noqa: SLF001
            if found := part._app or inner:  # noqa: SLF001 - one package
                return found
        return None

    def _parts(self) -> Iterable[Signature]:
        """The signatures that it is made of."""
        return self.kwargs.get("tasks") or ()

    @property
    def type(self) -> Task[Any, Any]:
        """A canvas is no task."""
        raise ConfigError(f"a {self.kind} is not a call of one task; its parts are")

    def __call__(self, *partial_args: Any, **options: Any) -> AsyncResult[R]:
        """Enqueue it, as `apply_async` does."""
        return self.apply_async(partial_args, **options)

    def _merge(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        if kwargs:
            raise ConfigError(f"give keyword arguments to apply_async, not to a copy of {self!r}")
        return super()._merge(args, None, options, force)


def _signatures(tasks: tuple[Any, ...], app: AppContext | None) -> list[Signature]:
    """The members given as arguments, or as one list, iterator or group of them."""
    if len(tasks) == 1:
        only = tasks[0]
        if isinstance(only, group):
            return [member.clone() for member in only.tasks]
        if isinstance(only, Iterable) and not isinstance(only, dict | str | Task):
            return pulled(only, app)
    return pulled(tasks, app)


def _shown(tasks: list[Signature], between: str) -> str:
    more = f"{between}… {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    return between.join(repr(each) for each in tasks[:SHOWN]) + more


def app_of(members: list[Signature]) -> AppContext | None:
    """The app of the first of these that knows its own."""
    return next((m._app for m in members if m._app is not None), None)  # noqa: SLF001 - one package


class _Chain(Canvas[R]):
    kind = "chain"
    tasks = Field[list[Signature]]("kwargs", "tasks")

    def __init__(self, *tasks: Any, app: AppContext | None = None, **options: Any) -> None:
        if len(tasks) == 1 and isinstance(tasks[0], group):
            members: list[Signature] = [tasks[0]]
        else:
            members = _signatures(tasks, app)
        self._set_up({"tasks": members}, options, app or app_of(members))

    def _adopt(self) -> None:
        self.tasks = [maybe_signature(each, self._app) for each in self.tasks]

    @classmethod
    def joined(cls, first: Signature, then: Signature) -> Signature:
        """The chain of two; chains without options of their own dissolve in it."""
        joined = cls(app=app_of([first, then]))
        joined.tasks = SharedParts(_parts(first) + _parts(then))
        return joined

    def unchain_tasks(self) -> list[Signature]:
        """Copies of its parts."""
        return [part.clone() for part in self.tasks]

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue it. Arguments, `countdown` and `eta` are for its first part.

        `task_id` and `link` are for the last part, all other options for every part. Returns what
        the last part would: a `GroupResult` if that is a group.
        """
        return super().apply_async(args, kwargs, route_name, **options)

    def run(self, args: Any = None, kwargs: Any = None, **options: Any) -> AsyncResult[R]:
        """Enqueue it, as `apply_async` does."""
        return self.apply_async(args, kwargs, **options)

    def prepare_steps(self, *_: Any, **__: Any) -> NoReturn:
        """Celery makes a chain's messages with it; not here.

        Raises:
            ConfigError: always; it says what there is instead.
        """
        raise ConfigError(
            "a chain is compiled as a whole when it is enqueued; its parts are chain.tasks, and "
            "chain.freeze() gives them their ids"
        )

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return _shown(self.tasks, " | ") or "chain()"


@Signature.register_type("chain")
class chain(_Chain[R]):  # noqa: N801 - Celery's name
    """Calls one after another: each gets the result of the one before as its first argument.

    Its result is that of the last one, and `.parent` leads back from it.
    """

    if TYPE_CHECKING:  # what the last part is says what the result is

        @overload
        def __new__(
            cls, *tasks: *tuple[*tuple[Any, ...], group[T]], app: Any = ..., **options: Any
        ) -> ChainToGroup[T]: ...

        @overload
        def __new__(
            cls, *tasks: *tuple[*tuple[Any, ...], Signature[T]], app: Any = ..., **options: Any
        ) -> chain[T]: ...

        @overload
        def __new__(cls, *tasks: Any, app: Any = ..., **options: Any) -> chain[Any]: ...

        def __new__(cls, *tasks: Any, **options: Any) -> Any:  # type: ignore[misc]
            """Make a chain of its parts."""


def _parts(sig: Signature) -> list[Signature]:
    if not isinstance(sig, chain) or sig.options or sig.args:
        return [sig.clone()]
    tasks = sig.tasks
    unseen = tasks.unseen() if isinstance(tasks, SharedParts) else None
    return sig.unchain_tasks() if unseen is None else unseen


@Signature.register_type("group")
class group(Canvas[list[R]], LazyMembers[list[R]], Generic[R]):  # noqa: N801 - Celery's name
    """Calls side by side: the result is the list of their results, in their order.

    A generator of members is read when the group is enqueued, or looked into before.
    """

    kind = "group"
    tasks = Field[list[Signature]]("kwargs", "tasks")

    @overload
    def __init__(
        self: group[T], tasks: Iterable[Signature[T]], /, *, app: Any = ..., **options: Any
    ) -> None: ...

    @overload
    def __init__(self: group[T], *tasks: Signature[T], app: Any = ..., **options: Any) -> None: ...

    @overload
    def __init__(self: group[Any], *tasks: Any, app: Any = ..., **options: Any) -> None: ...

    def __init__(  # type: ignore[misc]
        self, *tasks: Any, app: AppContext | None = None, **options: Any
    ) -> None:
        if len(tasks) == 1 and isinstance(tasks[0], Iterator):
            self._set_up({"tasks": []}, options, app)
            self._pending = tasks[0]
            return
        members = _signatures(tasks, app)
        self._set_up({"tasks": members}, options, app or app_of(members))

    def _adopt(self) -> None:
        self.tasks = [maybe_signature(each, self._app) for each in self.tasks]

    def apply_async(  # type: ignore[override] # a group's handle is no kind of a message's
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        add_to_parent: bool = True,
        link: Any = None,
        **options: Any,
    ) -> GroupResult[R]:
        """Enqueue it: arguments and options are for every member, `task_id` for the group.

        Raises:
            TypeError: `link` was given; a chord does what is meant.
        """
        if link is not None:
            raise TypeError("Cannot add link to group: use a chord")
        if not add_to_parent:
            options["add_to_parent"] = False
        handle: Any = super().apply_async(args, kwargs, route_name, **options)
        return handle  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self, *partial_args: Any, **options: Any
        ) -> GroupResult[R]:
            """Enqueue it, as `apply_async` does."""

        def delay(  # type: ignore[override]
            self, *partial_args: Any, **partial_kwargs: Any
        ) -> GroupResult[R]:
            """Enqueue it with these arguments for its members."""

        async def adelay(  # type: ignore[override]
            self, *partial_args: Any, **partial_kwargs: Any
        ) -> GroupResult[R]:
            """Enqueue it, from a coroutine."""

        async def aapply_async(  # type: ignore[override]
            self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult[R]:
            """Enqueue it, from a coroutine."""

        def apply(  # type: ignore[override]
            self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
        ) -> GroupResult[R]:
            """Run it here and now."""

    def link(self, callback: Any) -> Any:
        """Run `callback`, without arguments, once all members have succeeded."""
        sig = maybe_signature(callback, self._app).clone()
        sig.set_immutable(True)
        self._append("link", sig)
        return callback

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Delay its members: the first by `start` seconds, each by `step` more, up to `stop`."""
        countdown = start
        for member in self.tasks:
            member.set(countdown=countdown if stop is None else min(countdown, stop))
            countdown += step
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Let its members take arguments later, or not."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        if self.is_pending:  # looking at it leaves the generator alone
            return f"group({self._pending!r})"
        return f"group([{_shown(self.tasks, ', ')}])"
