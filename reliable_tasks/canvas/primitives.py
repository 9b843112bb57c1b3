"""The canvases (chain, group, chord, …): signatures made of signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks import calls

from .fields import Field
from .shared_parts import SharedParts
from .signatures import SHOWN, Signature, maybe_signature

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.tasks.task import Task

__all__ = ["chain", "chord", "chunks", "group", "xmap", "xstarmap"]


class _Canvas(Signature):
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
    def type(self) -> Task[Any, Any]:
        """A canvas is no task."""
        raise ConfigError(f"a {self.kind} is not a call of one task; its parts are")

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        """Enqueue it, as `apply_async` does."""
        return self.apply_async(partial_args, **options)

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Enqueue it with these arguments for its first parts."""
        return self.apply_async(partial_args, partial_kwargs)

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
        if isinstance(only, Iterable) and not isinstance(only, dict | str):
            tasks = tuple(only)
    return [maybe_signature(each, app) for each in tasks]


def _shown(tasks: list[Signature], between: str) -> str:
    more = f"{between}… {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    return between.join(repr(each) for each in tasks[:SHOWN]) + more


def _app_of(members: list[Signature]) -> AppContext | None:
    return next((m._app for m in members if m._app is not None), None)  # noqa: SLF001 - one package


@Signature.register_type("chain")
class chain(_Canvas):  # noqa: N801 - Celery's name
    """Calls one after another: each gets the result of the one before as its first argument.

    Its result is that of the last one, and `.parent` leads back from it.
    """

    kind = "chain"
    tasks = Field[list[Signature]]("kwargs", "tasks")

    def __init__(self, *tasks: Any, app: AppContext | None = None, **options: Any) -> None:
        if len(tasks) == 1 and isinstance(tasks[0], group):
            members: list[Signature] = [tasks[0]]
        else:
            members = _signatures(tasks, app)
        self._set_up({"tasks": members}, options, app or _app_of(members))

    def _adopt(self) -> None:
        self.tasks = [maybe_signature(each, self._app) for each in self.tasks]

    @classmethod
    def joined(cls, first: Signature, then: Signature) -> Signature:
        """The chain of two; chains without options of their own dissolve in it."""
        joined = cls(app=_app_of([first, then]))
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
    ) -> Any:
        """Enqueue it. Arguments, `countdown` and `eta` are for its first part.

        `task_id` and `link` are for the last part, all other options for every part. Returns what
        the last part would: a `GroupResult` if that is a group.
        """
        return super().apply_async(args, kwargs, route_name, **options)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return _shown(self.tasks, " | ") or "chain()"


def _parts(sig: Signature) -> list[Signature]:
    if not isinstance(sig, chain) or sig.options or sig.args:
        return [sig.clone()]
    tasks = sig.tasks
    unseen = tasks.unseen() if isinstance(tasks, SharedParts) else None
    return sig.unchain_tasks() if unseen is None else unseen


@Signature.register_type("group")
class group(_Canvas):  # noqa: N801 - Celery's name
    """Calls side by side: the result is the list of their results, in their order."""

    kind = "group"
    tasks = Field[list[Signature]]("kwargs", "tasks")

    def __init__(self, *tasks: Any, app: AppContext | None = None, **options: Any) -> None:
        members = _signatures(tasks, app)
        self._set_up({"tasks": members}, options, app or _app_of(members))

    def _adopt(self) -> None:
        self.tasks = [maybe_signature(each, self._app) for each in self.tasks]

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        add_to_parent: bool = True,  # noqa: ARG002 - Celery's
        link: Any = None,
        **options: Any,
    ) -> Any:
        """Enqueue it: arguments and options are for every member, `task_id` for the group.

        Raises:
            TypeError: `link` was given; a chord does what is meant.
        """
        if link is not None:
            raise TypeError("Cannot add link to group: use a chord")
        return super().apply_async(args, kwargs, route_name, **options)

    def link(self, callback: Any) -> Any:
        """Run `callback`, without arguments, once all members have succeeded."""
        sig = maybe_signature(callback, self._app).clone()
        sig.set_immutable(True)
        self._append("link", sig)
        return callback

    def set_immutable(self, immutable: bool) -> None:
        """Let its members take arguments later, or not."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"group([{_shown(self.tasks, ', ')}])"


@Signature.register_type("chord")
class chord(_Canvas):  # noqa: N801 - Celery's name
    """A group and a body that starts when all of it has succeeded, with the list of its results.

    The result is the body's; its `.parent` is the `GroupResult` of the header.
    """

    kind = "chord"
    header = Field[group]("kwargs", "header")
    body = Field[Signature | None]("kwargs", "body")

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "",  # noqa: ARG002 - Celery's position
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        app: AppContext | None = None,
        **options: Any,
    ) -> None:
        if kwargs:
            raise ConfigError("a chord takes keyword arguments in apply_async only")
        members = header if isinstance(header, group) else group(header, app=app)
        end = maybe_signature(body, app)
        known = app or _app_of([members, *([end] if end else ())])
        self._set_up({"header": members, "body": end}, options, known)
        self.args = calls.call_args(args)

    def _adopt(self) -> None:
        header = self.kwargs["header"]
        as_group = isinstance(header, dict)
        self.header = maybe_signature(header, self._app) if as_group else group(header)
        self.body = maybe_signature(self.kwargs.get("body"), self._app)

    @property
    def tasks(self) -> list[Signature]:
        """The members of the header."""
        return self.header.tasks

    def __call__(self, body: Any = None, *partial_args: Any, **options: Any) -> Any:
        """Enqueue it; `chord(header)(body)` gives it its body."""
        return self._with(body).apply_async(partial_args, **options)

    def _with(self, body: Any) -> Self:
        if body is None:
            return self
        fresh = self.clone()
        fresh.body = maybe_signature(body, self._app)
        return fresh

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        route_name: str | None = None,
        body: Any = None,
        **options: Any,
    ) -> Any:
        """Enqueue it. Arguments, `countdown` and `eta` are for the header.

        `task_id`, `link` and `link_error` are for the body, all other options for every part.

        Raises:
            ConfigError: it has no body.
        """
        if body is not None:
            return self._with(body).apply_async(args, kwargs, route_name, **options)
        return super().apply_async(args, kwargs, route_name, **options)

    def set_immutable(self, immutable: bool) -> None:
        """Let the members of its header take arguments later, or not."""
        self.header.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Run `callback` with the body's result."""
        return self._append("link", callback)

    def __repr__(self) -> str:
        return f"chord({self.header!r}, {self.body!r})"


class _Mapped(_Canvas):
    """A task and many arguments for it."""

    _separator: ClassVar[str] = ""

    def __init__(self, task: Any, it: Any, app: AppContext | None = None, **options: Any) -> None:
        sig = task if isinstance(task, dict) else Signature(task)
        sig = maybe_signature(sig, app)
        self._set_up({"task": sig, "it": list(it)}, options, app or _app_of([sig]))
        self.immutable = True

    def _adopt(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], self._app)

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}({self._separator}x) for x in {self._items()}]"

    def _items(self) -> str:
        shown, more = self.kwargs["it"][:SHOWN], len(self.kwargs["it"]) > SHOWN
        return repr(shown) if not more else repr(shown)[:-1] + ", …]"


@Signature.register_type("xmap")
class xmap(_Mapped):  # noqa: N801 - Celery's name
    """One message that calls a task with each value, and gives the list of what it returned."""

    kind = "xmap"


@Signature.register_type("xstarmap")
class xstarmap(_Mapped):  # noqa: N801 - Celery's name
    """One message that calls a task with each tuple of arguments."""

    kind = "xstarmap"
    _separator = "*"


@Signature.register_type("chunks")
class chunks(_Canvas):  # noqa: N801 - Celery's name
    """A group of messages, each of which calls a task with `n` of the tuples of arguments."""

    kind = "chunks"

    def __init__(
        self, task: Any, it: Any, n: int, app: AppContext | None = None, **options: Any
    ) -> None:
        if not isinstance(n, int) or n < 1:
            raise ConfigError(f"chunks of {n!r} calls: n must be a whole number from 1")
        sig = maybe_signature(task if isinstance(task, dict) else Signature(task), app)
        parts = {"task": sig, "it": list(it), "n": n}
        self._set_up(parts, options, app or _app_of([sig]))

    def _adopt(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], self._app)

    def group(self) -> group:
        """The group that it stands for."""
        task, it, n = self.kwargs["task"], self.kwargs["it"], self.kwargs["n"]
        starts = range(0, len(it), n)
        parts = [xstarmap(task.clone(), it[at : at + n], app=self._app) for at in starts]
        return group(parts, app=self._app, **self.options)

    def __repr__(self) -> str:
        task, count = self.kwargs["task"].task, len(self.kwargs["it"])
        return f"{task}.chunks({count} calls, {self.kwargs['n']})"
