"""`Signature`: a call of a task as a value, which can be kept, sent, changed and combined."""

from __future__ import annotations

import copy
import reprlib
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from reliable_tasks.core import context
from reliable_tasks.core.texts import shown
from reliable_tasks.core.typevars import R, T
from reliable_tasks.errors import ConfigError, suggest
from reliable_tasks.tasks import calls
from reliable_tasks.tasks.task import Task

from .fields import Field, linked, over
from .names import CeleryNames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.core.context import AppContext

    from .primitives import chain, group
    from .typed import ChainToGroup

__all__ = ["SHOWN", "Signature", "maybe_signature", "signature", "subtask"]

C = TypeVar("C", bound="type[Signature]")

_KINDS: dict[str, type[Signature]] = {}
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 120
_SHORT.maxtuple = _SHORT.maxlist = _SHORT.maxdict = 10
SHOWN = 10


class Signature(CeleryNames[R]):
    """A call of a task as a value: a dictionary that survives JSON.

    Arguments given later come before those it holds; keyword arguments given later win. An
    immutable one takes neither.

    Args:
        task: a task, its name, or a dictionary that was a signature.
        args: positional arguments.
        kwargs: keyword arguments.
        options: options of `apply_async`; None among them means not given.
        type: the task, where `task` is its name.
        subtask_type: "chain", "group", …; None for a plain call.
        immutable: take no arguments later.
        app: whose task it is; the current app by default.
        **ex: more options.
    """

    task = Field[str]("task")
    args = Field[tuple[Any, ...]]("args")
    kwargs = Field[dict[str, Any]]("kwargs")
    options = Field[dict[str, Any]]("options")
    subtask_type = Field[str | None]("subtask_type")
    immutable = Field[bool]("immutable")
    id = Field[str | None]("options", "task_id")
    parent_id = Field[str | None]("options", "parent_id")
    root_id = Field[str | None]("options", "root_id")

    TYPES: ClassVar = _KINDS
    """The classes of canvases by their `subtask_type`."""

    _app: AppContext | None
    _type: Task[Any, Any] | None

    def __init__(
        self,
        task: Any = None,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        type: Task[Any, Any] | None = None,  # noqa: A002 - Celery's name
        subtask_type: str | None = None,
        immutable: bool = False,
        app: AppContext | None = None,
        **ex: Any,
    ) -> None:
        self._app, self._type = app, type
        name = task
        if not isinstance(task, str):
            name = getattr(task, "name", None)
            self._type = self._type or task
            self._app = app or getattr(task, "app", None)
        if not name:
            raise ConfigError(f"a signature needs a task or a task's name, not {task!r}")
        super().__init__(
            task=name,
            args=calls.call_args(args),
            kwargs=dict(kwargs or {}),
            options=_clean({**(options or {}), **ex}) if options or ex else {},
            subtask_type=subtask_type,
            immutable=bool(immutable),
        )

    @classmethod
    def of_task(
        cls,
        task: Task[Any, Any],
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **ex: Any,
    ) -> Signature:
        """A call of `task`; `ex` may hold `immutable` and options."""
        return Signature(task, args, kwargs, options, app=task.app, **ex)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: AppContext | None = None) -> Signature:
        """A signature from the dictionary that it was, such as JSON gives it back.

        Raises:
            ConfigError: it is not such a dictionary.
        """
        kind = d.get("subtask_type")
        if not isinstance(d.get("task"), str) or kind not in {None, *_KINDS}:
            raise ConfigError(
                f"{reprlib.repr(dict(d))} is not a signature: it needs a task's name, and "
                f"subtask_type must be one of {', '.join(_KINDS)} or nothing"
                + suggest(str(kind), _KINDS)
            )
        sig = (_KINDS[kind] if kind else Signature)._bare(app)  # noqa: SLF001 - one class
        dict.update(
            sig,
            task=d["task"],
            args=calls.call_args(d.get("args")),
            kwargs=dict(d.get("kwargs") or {}),
            options=_clean(d.get("options") or {}, app),
            subtask_type=kind,
            immutable=bool(d.get("immutable")),
        )
        sig._adopt()  # noqa: SLF001
        return sig

    @classmethod
    def _bare(cls, app: AppContext | None) -> Self:
        sig = cls.__new__(cls)
        sig._app, sig._type = app, None  # noqa: SLF001
        return sig

    def cleaned(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options for it, without those that are not given, checked."""
        return _clean(options, self.app)

    def _adopt(self) -> None:
        """Make signatures of the dictionaries inside; canvases have some."""

    @classmethod
    def register_type(cls, kind: str) -> Callable[[C], C]:
        """A decorator: this class is the one for `subtask_type=kind`."""

        def register(subclass: C) -> C:
            _KINDS[kind] = subclass
            return subclass

        return register

    # What it is ----------------------------------------------------------------------------------

    @property
    def app(self) -> AppContext:
        """The app whose task it is."""
        return self._app or context.get_current_app()

    @property
    def type(self) -> Task[Any, Any]:
        """The task.

        Raises:
            NotRegistered: its name is not registered here.
        """
        return self._type or self.app.tasks[self.task]

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.task

    def __repr__(self) -> str:
        shown = [_SHORT.repr(arg) for arg in self.args[:SHOWN]]
        shown += [f"{name}={_SHORT.repr(value)}" for name, value in self.kwargs.items()]
        return f"{self.task}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        return signature, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature:
        fresh = self.clone()
        memo[id(self)] = fresh
        return fresh

    # Changing it ---------------------------------------------------------------------------------

    def _merge(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        merged = over(self.options, _clean(options or {}))
        if self.immutable and not force:
            return self.args, dict(self.kwargs), merged
        return calls.call_args(args) + self.args, {**self.kwargs, **(kwargs or {})}, merged

    def clone(self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **opts: Any) -> Self:
        """A copy, with more arguments and options; what it holds is copied along."""
        immutable = opts.pop("immutable", self.immutable)
        merged_args, merged_kwargs, merged = self._merge(args, kwargs, opts)
        fresh = self._bare(self._app)
        fresh._type = self._type  # noqa: SLF001 - one of this class
        dict.update(
            fresh,
            self,
            args=merged_args,
            kwargs=_copied(merged_kwargs),
            options=_copied(merged),
            immutable=immutable,
        )
        return fresh

    partial = clone

    def replace(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """A copy with other arguments or options in the place of those it holds."""
        fresh = self.clone()
        if args is not None:
            fresh.args = calls.call_args(args)
        if kwargs is not None:
            fresh.kwargs = dict(kwargs)
        if options is not None:
            fresh.options = _clean(options, self._app)
        return fresh

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Set options; returns itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options = over(self.options, _clean(options, self._app))
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Let it take arguments later, or not."""
        self.immutable = immutable

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: str | None = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,  # noqa: ARG002 - Celery's position
    ) -> Any:
        """Give it the id that its message will have, and return the result's handle."""
        given = {"group_id": group_id, "chord": chord, "root_id": root_id, "parent_id": parent_id}
        self.options.update(_clean(given))
        return self.app.canvas.freeze(self, _id)

    _freeze = freeze

    # Callbacks -----------------------------------------------------------------------------------

    def link(self, callback: Any) -> Any:
        """Run `callback` with the result once it has succeeded; returns `callback`."""
        return self._append("link", callback)

    def link_error(self, errback: Any) -> Any:
        """Run `errback` once it has failed; returns `errback`."""
        return self._append("link_error", errback)

    def on_error(self, errback: Any) -> Self:
        """The same as `link_error`, but returns itself."""
        self.link_error(errback)
        return self

    def _append(self, option: str, value: Any) -> Any:
        sig = maybe_signature(value, self._app)
        held = self.options.setdefault(option, [])
        if sig not in held:
            held.append(sig)
        return value

    # Combining -----------------------------------------------------------------------------------

    @overload  # type: ignore[override] # a dictionary's merges
    def __or__(self, other: group[T]) -> ChainToGroup[T]: ...

    @overload
    def __or__(self, other: Signature[T]) -> chain[T]: ...

    def __or__(self, other: Any) -> Any:
        """`a | b`: a chain, whose parts start when the ones before have succeeded."""
        if not isinstance(other, dict) and _task(other) is None:
            return NotImplemented
        return _KINDS["chain"].joined(self, maybe_signature(other, self._app))

    def __ror__(self, other: Any) -> Any:
        if not isinstance(other, dict) and _task(other) is None:
            return NotImplemented
        return maybe_signature(other, self._app) | self

    @classmethod
    def joined(cls, first: Signature, then: Signature) -> Signature:
        """The chain of two; its own class knows how."""
        raise NotImplementedError

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        return self | other


def _clean(options: Mapping[str, Any], app: AppContext | None = None) -> dict[str, Any]:
    """Options without those that are not given, checked; callbacks as lists of signatures."""
    links = {name: options.get(name) for name in ("link", "link_error")}
    clean = calls.checked({name: value for name, value in options.items() if name not in links})
    for name, value in links.items():
        if value is not None:
            clean[name] = linked(name, value, lambda each: maybe_signature(each, app))
    return clean


def _copied(value: Any) -> Any:
    """A copy of containers and signatures; the user's own objects are shared."""
    if isinstance(value, Signature):
        return value.clone()
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if type(value) is dict:
        return {name: _copied(each) for name, each in value.items()}
    return copy.copy(value) if isinstance(value, set) else value


def _task(value: Any) -> Task[Any, Any] | None:
    """The task that a value is or, as a shared task, stands for."""
    if isinstance(value, context.Proxy):
        value = value.resolved()
    return value if isinstance(value, Task) else None


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature:
    """A signature of a task, of a task's name, or of a dictionary that was one.

    A signature gives a copy of itself. The other arguments are those of `Signature`.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, dict):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


subtask = signature


def maybe_signature(d: Any, app: AppContext | None = None) -> Any:
    """A signature of a dictionary or a task; a signature as it is; None for None.

    Raises:
        ConfigError: it is none of these.
    """
    if d is None:
        return None
    if (task := _task(d)) is not None:
        return task.s()
    if not isinstance(d, Signature):
        if not isinstance(d, dict):
            raise ConfigError(f"{shown(d)} is not a signature; write task.s(…) instead of task(…)")
        d = Signature.from_dict(d, app=app)
    if app is not None and d._app is None:  # noqa: SLF001 - one module
        d._app = app  # noqa: SLF001
    return d
