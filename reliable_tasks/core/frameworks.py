"""The web framework that a program may be part of, and what an app asks of it.

The package announces the frameworks that it knows; an app, which stands below them, only asks.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reliable_tasks.store.values import Batch

__all__ = ["Framework", "announce", "find"]


class Framework(Protocol):
    """What an app asks of the web framework around it."""

    Task: type[Any]
    """The class of tasks without a `base`."""

    def configure_default(self, app: Any) -> None:
        """Configure the app that is made where the program has made none.

        Raises:
            ConfigError: the program should have made one.
        """
        ...

    def configures(self, conf: Any, source: Any, namespace: str | None) -> None:
        """Hear what an app's settings are loaded from: the framework's may change."""
        ...

    def set_up(self) -> None:
        """Make ready for bodies what they use of the framework; may be called again."""
        ...

    def packages(self) -> list[str]:
        """The packages in which `autodiscover_tasks()` looks."""
        ...

    def package_of(self, entry: str) -> str:
        """The package that an entry of the framework's list of apps stands for."""
        ...

    def queues(self) -> Iterable[str]:
        """The queues that a worker serves besides those of the settings."""
        ...

    def around(self, run: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
        """A body with what the framework needs done before and after it."""
        ...

    def defer(self, app: Any, batch: Batch, publish: Callable[[], object]) -> bool:
        """Whether a batch is published later, at the end of the transaction around the call."""
        ...


_announced: dict[str, tuple[str, Callable[[], Framework | None]]] = {}


def announce(variable: str, module: str, load: Callable[[], Framework | None]) -> None:
    """Say how to reach a framework.

    Args:
        variable: of the environment, which is set where the framework is used.
        module: that of the framework's settings, whose `settings.configured` says so as well.
        load: gives the framework; None where it is not installed.
    """
    _announced[variable] = module, load


def find() -> Framework | None:
    """The framework that this program is part of."""
    for variable, (module, load) in _announced.items():
        settings = getattr(sys.modules.get(module), "settings", None)
        if os.environ.get(variable) or getattr(settings, "configured", False):
            return load()
    return None
