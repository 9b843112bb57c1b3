"""The chord: a group, and a call that waits for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, overload

from reliable_tasks.core.typevars import R, T
from reliable_tasks.errors import ConfigError
from reliable_tasks.tasks import calls

from .fields import Field
from .primitives import Canvas, app_of, group
from .signatures import Signature, maybe_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.results.result import AsyncResult

__all__ = ["chord"]


@Signature.register_type("chord")
class chord(Canvas[R]):  # noqa: N801 - Celery's name
    """A group and a body that starts when all of it has succeeded, with the list of its results.

    The result is the body's; its `.parent` is the `GroupResult` of the header.
    """

    kind = "chord"
    header = Field[group[Any]]("kwargs", "header")
    body = Field[Signature | None]("kwargs", "body")

    @overload
    def __init__(
        self: chord[T], header: Any, body: Signature[T], task: str = "", **options: Any
    ) -> None: ...

    @overload
    def __init__(
        self: chord[Any], header: Any, body: Any = None, task: str = "", **options: Any
    ) -> None: ...

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
        known = app or app_of([members, *([end] if end else ())])
        self._set_up({"header": members, "body": end}, options, known)
        self.args = calls.call_args(args)

    def _adopt(self) -> None:
        header = self.kwargs["header"]
        as_group = isinstance(header, dict)
        self.header = maybe_signature(header, self._app) if as_group else group(header)
        self.body = maybe_signature(self.kwargs.get("body"), self._app)

    def _parts(self) -> Iterable[Signature]:
        return [self.header, *([self.body] if self.body else ())]

    @property
    def tasks(self) -> list[Signature]:
        """The members of the header."""
        return self.header.tasks

    @overload
    def __call__(
        self, body: Signature[T], *partial_args: Any, **options: Any
    ) -> AsyncResult[T]: ...

    @overload
    def __call__(self, body: Any = None, *partial_args: Any, **options: Any) -> AsyncResult[R]: ...

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
    ) -> AsyncResult[R]:
        """Enqueue it. Arguments, `countdown` and `eta` are for the header.

        `task_id`, `link` and `link_error` are for the body, all other options for every part.

        Raises:
            ConfigError: it has no body.
        """
        if body is not None:
            return self._with(body).apply_async(args, kwargs, route_name, **options)
        return super().apply_async(args, kwargs, route_name, **options)

    def run(
        self, header: Any, body: Any, partial_args: Any = (), **options: Any
    ) -> AsyncResult[Any]:
        """Enqueue a chord of this header and this body."""
        return chord(header, body, app=self._app).apply_async(partial_args, **options)

    def set_immutable(self, immutable: bool) -> None:
        """Let the members of its header take arguments later, or not."""
        self.header.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Run `callback` with the body's result."""
        return self._append("link", callback)

    def __repr__(self) -> str:
        return f"chord({self.header!r}, {self.body!r})"
