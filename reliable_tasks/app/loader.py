"""`app.loader`: imports the modules of tasks, under the names of Celery's loaders."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from reliable_tasks.core.context import AppContext

__all__ = ["Loader"]


class Loader:
    """Imports what an app names.

    Args:
        app: whose modules.
    """

    def __init__(self, app: AppContext) -> None:
        self.app = app

    @property
    def conf(self) -> Any:
        """The app's settings."""
        return self.app.conf

    def import_default_modules(self) -> None:
        """Import what `include` and `imports` name."""
        self.app.import_modules()

    def import_module(self, module: str, package: str | None = None) -> ModuleType:
        """Import one module."""
        return importlib.import_module(module, package)

    import_task_module = import_from_cwd = import_module
