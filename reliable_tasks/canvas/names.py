"""What else Celery calls a signature's: ways to look at it, and to change its lists of options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ConfigError

from . import stamping
from .fields import listed
from .running import Runnable

if TYPE_CHECKING:
    from reliable_tasks.results.result import AsyncResult

__all__ = ["CeleryNames"]

_LINKS = ("link", "link_error")


class CeleryNames(Runnable[R]):
    """Names of Celery's signatures that no part of this package needs."""

    if TYPE_CHECKING:
        options: Any

        def clone(self) -> Any:
            """Copy it."""

        def _append(self, option: str, value: Any) -> Any: ...

    def AsyncResult(self, task_id: Any, **kwargs: Any) -> AsyncResult[R]:  # noqa: N802 - Celery's
        """The handle on the message with this id."""
        result: AsyncResult[R] = self.app.AsyncResult(task_id, **kwargs)
        return result

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Add one value to an option that is a list, such as `link`; returns the value."""
        if key in _LINKS:
            return self._append(key, value)
        held = self.options[key] = listed(self.options.get(key, []))
        if value not in held:
            held.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add one value, or several, to an option that is a list."""
        for each in listed(value):
            self.append_to_list_option(key, each)

    def flatten_links(self) -> list[Any]:
        """Itself, its callbacks, theirs, and so on."""
        found: list[Any] = [self]
        for link in self.options.get("link", ()):
            found += link.flatten_links()
        return found

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """Its call as text, with these arguments before its own."""
        merged, named, _ = self._merge(args, kwargs, None, force=True)
        shown = self.clone()
        shown.update(args=merged, kwargs=named)
        return repr(shown)

    def stamp(self, visitor: Any = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Put stamps on it, on all its parts and on its callbacks: `request.stamps` has them.

        Args:
            visitor: a `StampingVisitor`, which says what to put where.
            append_stamps: put a stamp that is there already into one list with the new one.
            **headers: stamps for each part.

        Raises:
            ConfigError: the visitor is none, or returns what is no dictionary.
        """
        stamping.stamp(self, visitor, append_stamps, headers)
        return self

    def stamp_links(self, visitor: Any, append_stamps: bool = False, **headers: Any) -> None:
        """Put stamps on its callbacks and errbacks alone."""
        stamping.stamp_links(self, visitor, append_stamps, headers)

    def election(self) -> NoReturn:
        """Celery lets its workers elect who runs it; not here.

        Raises:
            ConfigError: always; it says what does the same.
        """
        raise ConfigError(
            "there are no elections here: every message is run by one worker; if several processes "
            "may enqueue the same call and one is enough, make its task a once-task "
            "(@app.task(base=OnceTask))"
        )
