"""What Celery's users ask of `app.conf` besides single settings: tables and layers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reliable_tasks.config.masks import masked
from reliable_tasks.core.texts import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Readers"]

_HIDDEN = re.compile(r"(?i)api|token|key|secret|pass|profanities_list|signature|database")
_WIDTH = 200


class Readers:
    """Reads many settings at once; a part of `Conf`."""

    if TYPE_CHECKING:

        def __getitem__(self, name: str) -> Any: ...
        def __iter__(self) -> Iterator[str]: ...
        def update(self, *sources: Mapping[str, Any], **values: Any) -> None:
            """Set several settings."""

        def given(self) -> list[str]:
            """The names that a program has set, by what they are called here."""

        def name_of(self, name: str) -> str | None:
            """What a setting, or a value of the program's own, is called here."""

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Set this unless it was set; returns its value."""
        if not self.value_set_for(name):
            self.update({name: default})
        return self[name]

    def without_defaults(self) -> dict[str, Any]:
        """What the program, its sources and the environment have set, by present names."""
        return {name: self[name] for name in self.given()}

    def value_set_for(self, name: str) -> bool:
        """Whether anything has set this."""
        return self.name_of(name) in self.given()

    def first(self, *names: str) -> Any:
        """The first of these that is something; None if none is."""
        known = (self[name] for name in names if self.name_of(name) is not None)
        return next((value for value in known if value is not None), None)

    def get_by_parts(self, *parts: str) -> Any:
        """A setting by the parts of its name: `("worker", "concurrency")`."""
        return self["_".join(part for part in parts if part)]

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """Settings and their values: those that were set, or all; secrets are covered."""
        names = [*self] if with_defaults else self.given()
        shown = {name: self[name] for name in names}
        if not censored:
            return shown
        return {
            name: "********" if value and _HIDDEN.search(name) else masked(value, name)
            for name, value in shown.items()
        }

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """The table as text, a line each."""
        table: Mapping[str, Any] = self.table(with_defaults, censored)
        return "\n".join(f"{name}: {said(value):.{_WIDTH}}" for name, value in table.items())
