"""The canvases that call one task with many arguments: map, starmap and chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic

from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ConfigError

from .primitives import Canvas, app_of, group
from .signatures import SHOWN, Signature, maybe_signature

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext

__all__ = ["chunks", "xmap", "xstarmap"]


class _Mapped(Canvas[list[R]]):
    """A task and many arguments for it."""

    _separator: ClassVar[str] = ""

    def __init__(self, task: Any, it: Any, app: AppContext | None = None, **options: Any) -> None:
        sig = maybe_signature(task if isinstance(task, dict) else Signature(task), app)
        self._set_up({"task": sig, "it": list(it)}, options, app or app_of([sig]))
        self.immutable = True

    def _adopt(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], self._app)

    def __repr__(self) -> str:
        return f"[{self.kwargs['task'].task}({self._separator}x) for x in {self._items()}]"

    def _items(self) -> str:
        shown, more = self.kwargs["it"][:SHOWN], len(self.kwargs["it"]) > SHOWN
        return repr(shown) if not more else repr(shown)[:-1] + ", …]"


@Signature.register_type("xmap")
class xmap(_Mapped[R]):  # noqa: N801 - Celery's name
    """One message that calls a task with each value, and gives the list of what it returned."""

    kind = "xmap"


@Signature.register_type("xstarmap")
class xstarmap(_Mapped[R]):  # noqa: N801 - Celery's name
    """One message that calls a task with each tuple of arguments."""

    kind = "xstarmap"
    _separator = "*"


@Signature.register_type("chunks")
class chunks(Canvas[list[list[R]]], Generic[R]):  # noqa: N801 - Celery's name
    """A group of messages, each of which calls a task with `n` of the tuples of arguments."""

    kind = "chunks"

    def __init__(
        self, task: Any, it: Any, n: int, app: AppContext | None = None, **options: Any
    ) -> None:
        if not isinstance(n, int) or n < 1:
            raise ConfigError(f"chunks of {n!r} calls: n must be a whole number from 1")
        sig = maybe_signature(task if isinstance(task, dict) else Signature(task), app)
        parts = {"task": sig, "it": list(it), "n": n}
        self._set_up(parts, options, app or app_of([sig]))

    def _adopt(self) -> None:
        self.kwargs["task"] = maybe_signature(self.kwargs["task"], self._app)

    def group(self) -> group[list[R]]:
        """The group that it stands for."""
        task, it, n = self.kwargs["task"], self.kwargs["it"], self.kwargs["n"]
        starts = range(0, len(it), n)
        parts = [xstarmap(task.clone(), it[at : at + n], app=self._app) for at in starts]
        return group(parts, app=self._app, **self.options)

    @classmethod
    def apply_chunks(cls, task: Any, it: Any, n: int, app: AppContext | None = None) -> Any:
        """Enqueue the chunks of these calls."""
        return cls(task, it, n, app=app).apply_async()

    def __repr__(self) -> str:
        task, count = self.kwargs["task"].task, len(self.kwargs["it"])
        return f"{task}.chunks({count} calls, {self.kwargs['n']})"
