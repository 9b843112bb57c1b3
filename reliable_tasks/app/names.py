"""Celery's names for an app, beside those that enqueue: its clock, command line and bookkeeping."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks import signals
from reliable_tasks.bodies import annotating
from reliable_tasks.celery_names import no_attribute
from reliable_tasks.config.configured import Configured
from reliable_tasks.config.importing import import_object
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock, context
from reliable_tasks.errors import ConfigError
from reliable_tasks.results.sets import ResultSet
from reliable_tasks.tasks.periodic import periodic_entry
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reliable_tasks.app.backend import Backend
    from reliable_tasks.app.loader import Loader
    from reliable_tasks.canvas import Signature
    from reliable_tasks.config.conf import Settings
    from reliable_tasks.core.context import AppContext

__all__ = ["CeleryNames", "class_of"]

_UNUSED = {
    "amqp": "there is no AMQP",
    "control": "app.control works through the store",
    "events": "there is no stream of events, but the audit trail",
    "fixups": "Django is set up by reliable_tasks.contrib.django",
    "loader": "settings come from config_source, modules from include and imports",
    "tasks": "tasks are registered by @app.task, shared_task and register_task",
    "log": "the signal setup_logging replaces the set-up of the log",
}
"""Arguments of Celery's app that name a class of its own, and why there is none here."""


class CeleryNames(Configured):
    """What an app has for programs that were written for Celery's.

    Attributes:
        task_cls: the class of tasks without a `base`, or its dotted name, for a subclass to say.
        on_after_configure: sent with the settings, once, when the schedule is made.
        on_after_finalize: sent after it; its receivers may call `add_periodic_task`.
        on_after_fork: sent in each process of a worker that runs bodies, before it runs one.
    """

    task_cls: ClassVar[Any] = None

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.on_after_configure = signals.Signal("on_after_configure")
        self.on_after_finalize = signals.Signal("on_after_finalize")
        self.on_after_fork = signals.Signal("on_after_fork")
        for name, value in given.items():
            if isinstance(value, str) and "://" in value:
                raise ConfigError(f"App({name}={mask_url(value)!r}): give the URL as broker=")
            if value is not None:
                self.remarks.append(f"App({name}=…) is not used: {_UNUSED[name]}")

    if not TYPE_CHECKING:  # it would hide mistakes from type checkers

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(no_attribute("an App", "App", name))

    @property
    def _whole(self) -> AppContext:
        return self  # type: ignore[return-value] # an App is more than its names

    def on_init(self) -> None:
        """For a subclass: called when the app has been made."""

    # The clock -----------------------------------------------------------------------------------

    def now(self) -> dt.datetime:
        """The present instant, in the app's time zone."""
        return clock.utcnow().astimezone(self.timezone)

    # Settings ------------------------------------------------------------------------------------

    def add_defaults(self, fun: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Give what holds where nothing else sets a name: a dict, or a function that gives one.

        Raises:
            ConfigError: a setting is not valid.
        """
        self.conf.add_defaults(fun)

    def either(self, default_key: str, *defaults: Any) -> Any:
        """Return the first of `defaults` that is not None, else the setting `default_key`."""
        found = next((value for value in defaults if value is not None), None)
        return self.conf.get(default_key) if found is None else found

    # What runs -----------------------------------------------------------------------------------

    def finalize(self, auto: bool = False) -> None:  # noqa: ARG002 - Celery's; nothing is lazy here
        """Put settings into force, and send `on_after_configure` and `on_after_finalize` once.

        Raises:
            ConfigError: a setting is not possible, or a receiver raised.
        """
        from reliable_tasks.beat.sync import run_hooks  # noqa: PLC0415 - beat does it by itself

        _ = self.settings  # once they are asked for, the tasks have their annotations
        run_hooks(self._whole)

    @property
    def annotations(self) -> tuple[Any, ...]:
        """The objects that annotate tasks, as the setting `task_annotations` has them."""
        return self.settings.task_annotations

    @property
    def annotations_so_far(self) -> tuple[Any, ...]:
        """The same, if settings have been asked for; a task that is declared asks for none."""
        return () if self._checked is None else self._checked.task_annotations

    def settings_changed(self, settings: Settings) -> None:
        """Annotate the tasks that are there."""
        tasks = getattr(self, "tasks", {}).values()
        annotating.annotate_all(self._whole, tasks, Task, settings.task_annotations)

    @property
    def current_task(self) -> Any:
        """The task whose body runs here, or None."""
        running = context.current_attempt.get()
        return running.task if running else None

    current_worker_task = current_task

    def start(self, argv: Sequence[str] | None = None) -> int:
        """Run a command on this app: `app.start(["worker", "--loglevel=INFO"])`.

        Args:
            argv: as on the command line; by default what this program was given.

        Returns:
            0: the command has ended well.

        Raises:
            SystemExit: it has not.
            ConfigError: the command is not installed.
        """
        # Commands stand above apps, which must not import them: it is the installed one.
        from importlib.metadata import entry_points  # noqa: PLC0415 - few programs start one

        found = entry_points(group="console_scripts", name="reliable-tasks")
        if not found:
            raise ConfigError(
                "the command reliable-tasks is not installed: run python -m reliable_tasks"
            )
        try:
            next(iter(found)).load()(list(sys.argv[1:] if argv is None else argv), self)
        except SystemExit as end:
            if end.code:
                raise
        return 0

    def worker_main(self, argv: Sequence[str] | None = None) -> int:
        """Run a worker on this app: `app.worker_main(["worker", "-c", "2"])`.

        See `start`.

        Raises:
            ValueError: `argv` does not say `worker`.
        """
        argv = sys.argv[1:] if argv is None else argv
        if "worker" not in argv:
            raise ConfigError(
                f"worker_main({list(argv)!r}): the command worker is not among these; say "
                'worker_main(["worker", …]), or start another command by app.start([…])'
            )
        return self.start(argv)

    # The store, as Celery's parts of an app ------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """Results by their id, under the names of Celery's backends."""
        from reliable_tasks.app.backend import Backend  # noqa: PLC0415 - few programs ask

        return Backend(self._whole)

    def ResultSet(self, results: Iterable[Any] = (), **kwargs: Any) -> ResultSet[Any]:  # noqa: N802
        """A handle on several messages, without an id."""
        return ResultSet(results, app=self._whole, **kwargs)

    @property
    def loader(self) -> Loader:
        """Imports the modules of tasks, under the names of Celery's loaders."""
        from reliable_tasks.app.loader import Loader  # noqa: PLC0415 - few programs ask

        return Loader(self._whole)

    # Schedules -----------------------------------------------------------------------------------

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Signature,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Add an entry to `beat_schedule`; returns its name."""
        there = self.conf.beat_schedule
        made = periodic_entry(there, schedule, sig, args, kwargs, name, options)
        self.conf.beat_schedule = {**there, **made}
        return next(iter(made))

    @property
    def schedules(self) -> Any:
        """The schedule's entries at run time: add, pause, resume, remove, run_now, list."""
        from reliable_tasks.beat.entries import Schedules  # noqa: PLC0415 - few programs change them

        return Schedules(self._whole)

    @property
    def control(self) -> Any:
        """Revoke, purge, ping and inspect, under Celery's names."""
        from reliable_tasks.control import Control  # noqa: PLC0415 - only those who ask for it pay for it

        return Control(self._whole)


def class_of(given: Any, default: type[Any]) -> Any:
    """The class of tasks that an app was given: itself, or its dotted name.

    Raises:
        ConfigError: the name cannot be imported, or it is not a class of tasks.
    """
    found = import_object(given) if isinstance(given, str) else given or default
    if isinstance(found, type) and issubclass(found, default):
        return found
    raise ConfigError(f"task_cls={given!r} is not a subclass of Task")
