"""Settings for a while: what a name was set to before, and that put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.config.sources import one_spelling

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.config.own import OwnValues
    from reliable_tasks.config.settings import Settings

__all__ = ["Overriding"]


class Overriding:
    """Puts back what was set before; a part of `Conf`."""

    if TYPE_CHECKING:
        _values: dict[str, Any]
        _own: OwnValues
        _pending: list[Callable[[], None]]
        _snapshot: Settings | None

        def _load_pending(self) -> None: ...

    @property
    def loaded(self) -> bool:
        """Whether all sources have been read that were to be read when needed."""
        return not self._pending

    def set_now(self, spelling: str, namespace: str | None = None) -> tuple[Any, ...]:
        """What a name was set to, the environment apart: one value, or none.

        Raises:
            ConfigError: the name is almost that of a setting.
        """
        self._load_pending()
        place, name = self._place(spelling, namespace)
        return (place[name],) if name in place else ()

    def put_back(self, spelling: str, namespace: str | None, before: tuple[Any, ...]) -> None:
        """Undo what has set a name since `set_now` gave `before`; `()` is nothing."""
        place, name = self._place(spelling, namespace)
        place.pop(name, None)
        if before:
            (place[name],) = before
        if name not in self._own:
            self._own.told.pop(name, None)
        self._snapshot = None

    def _place(self, spelling: str, namespace: str | None) -> tuple[dict[str, Any], str]:
        spelled, own = one_spelling([(spelling, None)], namespace)
        return (self._own, next(iter(own))) if own else (self._values, next(iter(spelled)))
