"""structlog: its rendering for people, and its loggers in bodies, whose lines end up in our log.

It takes several MiB and a tenth of a second to import, so only who uses it has it.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["console_renderer", "take_in"]

_NAME = "structlog"


def console_renderer(colour: bool) -> Callable[[Any, str, dict[str, Any]], str]:
    """What makes a line for people of its fields."""
    from structlog.dev import ConsoleRenderer, plain_traceback  # noqa: PLC0415 - heavy

    return ConsoleRenderer(colors=colour, sort_keys=False, exception_formatter=plain_traceback)


def take_in() -> Callable[[], None]:
    """Let structlog loggers end up in the standard library's, unless the program sets them up.

    At once where structlog is loaded, otherwise when it is imported, if it ever is.

    Returns:
        a function that ends the waiting for it.
    """
    if _NAME in sys.modules:
        _set_up()
        return lambda: None
    finder = _WhenImported()
    sys.meta_path.insert(0, finder)
    return finder.forget


def _set_up() -> None:
    import structlog  # noqa: PLC0415 - heavy

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.filter_by_level,
                structlog.stdlib.PositionalArgumentsFormatter(),
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


class _WhenImported:
    """A finder that waits for structlog; everything else it leaves to the others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name != _NAME:
            return None
        self.forget()
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _set_up()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def forget(self) -> None:
        """Wait no longer."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
