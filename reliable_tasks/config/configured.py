"""What an app knows by its settings alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from reliable_tasks.config.backend import check_places
from reliable_tasks.config.conf import Conf, Settings
from reliable_tasks.config.importing import import_object
from reliable_tasks.config.routes import find_route
from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

__all__ = ["Configured", "exception_classes"]


class Configured:
    """The settings of an app, and what follows from them.

    Attributes:
        conf: the settings, as they are set and changed.
        exceptions: the exception classes that stored failures may come back as.
        remarks: what the app itself has to say, for its notes.
        notes: what there is to know about the settings in force, beside `conf.notes`.
    """

    def __init__(self) -> None:
        self.conf = Conf()
        self.conf.load_env(os.environ)
        self.exceptions = SafeExceptions()
        self.notes: list[str] = []
        self.remarks: list[str] = []
        self._checked: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force, frozen.

        Raises:
            ConfigError: they contradict each other.
        """
        conf, settings = self.conf, self._checked
        # Asked several times in each call: where nothing can have changed, nothing is looked up.
        if settings is conf._snapshot and not (conf._seen or conf._pending) and settings:  # noqa: SLF001
            return settings
        settings = conf.settings()
        if settings is not self._checked:
            places = (settings.broker_url, settings.store_url, settings.result_backend)
            note = check_places(*places)
            self.notes = [*self.remarks, *([note] if note else [])]
            for cls in exception_classes(settings):
                self.exceptions.register(cls)
            before, self._checked = self._checked, settings
            try:
                self.settings_changed(settings)
            except BaseException:
                self._checked = before  # the next use says so again
                raise
        return settings

    def settings_changed(self, settings: Settings) -> None:
        """Follow settings that have come into force."""

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Load settings from a module, an object, a dict, or the dotted name of one.

        Raises:
            ConfigError: it cannot be imported (unless `silent`), or a setting in it is not valid.
        """
        self.conf.load(obj, namespace=namespace, force=force, silent=silent)

    def config_from_envvar(
        self, variable_name: str, silent: bool = False, force: bool = False
    ) -> bool:
        """Load settings from the module that an environment variable names.

        Raises:
            ConfigError: the variable is not set (unless `silent`).
        """
        return self.conf.load_envvar(variable_name, os.environ, force=force, silent=silent)

    @property
    def timezone(self) -> dt.tzinfo:
        """The time zone of naive datetimes and of schedules."""
        return ZoneInfo(self.settings.timezone)

    @timezone.setter
    def timezone(self, zone: str | dt.tzinfo) -> None:
        self.conf.timezone = zone if isinstance(zone, str) else getattr(zone, "key", str(zone))

    def uses_utc_timezone(self) -> bool:
        """Whether the time zone is UTC."""
        return self.settings.timezone == "UTC"

    @property
    def result_ttl_ms(self) -> int:
        """How long results stay; 0 for ever."""
        return round((self.settings.result_expires or 0) * 1000)

    @property
    def failure_ttl_ms(self) -> int:
        """How long dead letters stay; 0 for ever."""
        return round((self.settings.dead_letter_expires or 0) * 1000)

    def route(
        self,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        task: Any = None,
    ) -> Mapping[str, Any]:
        """What `task_routes` says of a call; see `find_route`."""
        routers = self.settings.task_routes
        return find_route(routers, name, args, kwargs or {}, options or {}, task)

    @property
    def accept_content(self) -> frozenset[str]:
        """The codecs in which arguments are accepted."""
        settings = self.settings
        return frozenset({*settings.accept_content, settings.task_serializer})

    @property
    def accept_results(self) -> frozenset[str]:
        """The codecs in which results are accepted."""
        settings = self.settings
        accepted = settings.result_accept_content or settings.accept_content
        return frozenset({*accepted, settings.result_serializer})


def exception_classes(settings: Settings) -> tuple[type[BaseException], ...]:
    """Return the classes of `result_exceptions`, importing those given by name.

    Raises:
        ConfigError: a name cannot be imported, or is not that of an exception class.
    """
    return tuple(
        _exception(item) if isinstance(item, str) else item for item in settings.result_exceptions
    )


def _exception(dotted: str) -> type[BaseException]:
    found = import_object(dotted if ":" in dotted else ":".join(dotted.rsplit(".", 1)))
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    raise ConfigError(f"result_exceptions={dotted!r}: it is not an exception class")
