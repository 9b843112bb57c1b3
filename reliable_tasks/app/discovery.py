"""Where an app's tasks are: the modules of its settings, of packages, of a web framework's apps."""

from __future__ import annotations

import importlib
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from reliable_tasks import signals
from reliable_tasks.config.configured import Configured
from reliable_tasks.core import frameworks
from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from reliable_tasks.core.frameworks import Framework

__all__ = ["Discovery"]


class _Search(NamedTuple):
    packages: Iterable[str] | Callable[[], Iterable[str]] | None
    related_name: str | None
    place: str


class Discovery(Configured):
    """The modules that have an app's tasks, and the framework whose apps they may be.

    Attributes:
        framework: the web framework that this program is part of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.framework: Framework | None = frameworks.find()
        self._searches: list[_Search] = []
        self._told = False

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Load settings from a module, an object, a dict, or the dotted name of one.

        What a test overrides in Django's settings holds for the app as long as it does there.

        Raises:
            ConfigError: it cannot be imported (unless `silent`), or a setting in it is not valid.
        """
        super().config_from_object(obj, silent, force, namespace)
        if self.framework is not None:
            self.framework.configures(self.conf, obj, namespace)

    def set_up(self) -> None:
        """Make the web framework ready, where there is one; workers, beats and commands do."""
        if self.framework is not None:
            self.framework.set_up()

    def import_modules(self) -> None:
        """Import what `autodiscover_tasks`, `include` and `imports` name, to register the tasks.

        Raises:
            ConfigError: a package is not there.
            ImportError: a module that is named is not there, or imports one that is not.
        """
        self.set_up()
        if not self._told:
            self._told = True
            for _, answer in signals.import_modules.send(self):
                if isinstance(answer, BaseException):  # without its modules nothing may start
                    raise answer
        for search in self._searches:
            self._found(search)
        for module in (*self.settings.include, *self.settings.imports):
            importlib.import_module(module)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> list[str]:
        """Have `<package>.tasks` imported of each package that has one, once tasks are needed.

        That is when a worker or a beat starts, or a command needs to know the tasks: Django's apps
        are not there yet while its settings are being loaded.

        Args:
            packages: their names, or a function that gives them; under Django, the installed apps
                by default. An entry of `INSTALLED_APPS` may name an AppConfig.
            related_name: the module of each; None imports the packages themselves.
            force: import them here and now.

        Returns:
            the names of the modules that were imported: those found with `force`, else none yet.

        Raises:
            ConfigError: no packages are given, and this is not a Django project; or (where they
                are imported) one of them is not there.
        """
        caller = traceback.extract_stack(limit=2)[0]
        place = f"{caller.filename}:{caller.lineno}"
        if isinstance(packages, str):
            raise ConfigError(
                f"autodiscover_tasks({packages!r}) takes a list of packages: [{packages!r}]"
            )
        self.framework = self.framework or frameworks.find()
        if packages is None and self.framework is None:
            raise ConfigError(
                "autodiscover_tasks() without packages looks in Django's INSTALLED_APPS, and this "
                "is no Django project: set DJANGO_SETTINGS_MODULE before App(…) is made (and "
                "install Django), or name packages: autodiscover_tasks(['shop'])"
            )
        search = _Search(packages, related_name, place)
        if force:
            return self._found(search)
        self._searches.append(search)
        return []

    def _found(self, search: _Search) -> list[str]:
        given, framework = search.packages, self.framework
        entries = given() if callable(given) else given
        if entries is None:
            entries = framework.packages() if framework is not None else ()
        elif framework is not None:
            entries = [framework.package_of(entry) for entry in entries]
        found = []
        for entry in entries:
            module = _related(entry, search)
            if module is not None:
                found.append(module.__name__)
        return found


def _related(entry: str, search: _Search) -> ModuleType | None:
    """The related module of a package; None if it has none."""
    package = _package(entry, search)
    if not search.related_name:
        return package
    name = f"{package.__name__}.{search.related_name}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise
        return None


def _package(entry: str, search: _Search) -> ModuleType:
    """Import a package; of `shop.apps.ShopConfig`, or of a module of it, it is `shop`."""
    name = entry
    while isinstance(name, str) and name:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
                raise
        else:
            if hasattr(module, "__path__") or not search.related_name:
                return module
        name = name.rpartition(".")[0]
    raise ConfigError(
        f"autodiscover_tasks at {search.place}: there is no package {shown(entry)} to import"
    )
