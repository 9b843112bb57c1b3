"""What every command has in common: which app, which store, from which directory."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reliable_tasks.errors import StoreError

from ._variables import APP_VARIABLE, DEBUG_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.app import App

__all__ = ["APP_VARIABLE", "DEBUG_VARIABLE", "Chosen", "F", "app_options", "keep"]

_CALLERS = frozenset({"call", "shell"})
"""Commands that call tasks as a program does: through the broker, where the app names one."""

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass
class Chosen:
    """The common options, wherever on the line they stood.

    Attributes:
        app: the text of `-A`.
        broker: the URL of `-b`.
        workdir: the directory to work in.
        config: the module of `--config`.
        result_backend: the URL of `--result-backend`.
        quiet: print results and errors only.
        colour: False without colours, None to decide by the terminal.
        beat: `-B` stood before the command.
        started_in: where the process was before it went to `workdir`.
        given: the app that a program starts a command on.
    """

    app: str | None = None
    broker: str | None = None
    workdir: str | None = None
    config: str | None = None
    result_backend: str | None = None
    quiet: bool = False
    colour: bool | None = None
    beat: bool = False
    started_in: str | None = None
    given: App | None = None

    @property
    def names_app(self) -> bool:
        """Whether an app was named, by `-A` or the environment."""
        return bool(self.app or self.given or os.environ.get(APP_VARIABLE))

    def find_app(self) -> App:
        """The app of `-A`, with its broker replaced by that of `-b`.

        Raises:
            click.UsageError: no app was named, or it cannot be found.
        """
        from ._find_app import find_app  # noqa: PLC0415 - imports the app's machinery

        self._enter_workdir()
        if self.given and not self.app:
            return self._as_current(self.given)
        text = self.app or os.environ.get(APP_VARIABLE)
        if not text:
            there = " (CELERY_APP is not read)" if os.environ.get("CELERY_APP") else ""
            raise click.UsageError(
                f"name your app: -A module, -A module:attribute, or {APP_VARIABLE} in the "
                f"environment{there}",
                click.get_current_context(silent=True),
            )
        return self._as_current(find_app(text))

    def _as_current(self, app: App) -> App:
        self._configure(app)
        app.set_current()
        app.set_up()
        ctx = click.get_current_context(silent=True)
        if ctx is None or ctx.info_name not in _CALLERS:
            app.serve()
        self._tell(app)
        return _closed_at_the_end(app)

    def _tell(self, app: App) -> None:
        from reliable_tasks import signals  # noqa: PLC0415 - there is an app, which has loaded them

        ctx = click.get_current_context(silent=True)
        names = ("app", "broker", "workdir", "config", "result_backend", "quiet")
        options = {name: getattr(self, name) for name in names}
        signals.user_preload_options.send(ctx and ctx.info_name, app=app, options=options)

    def open_app(self) -> App:
        """The app of `-A`, or else one without tasks on the store that `-b` or settings name.

        Raises:
            click.UsageError: the app cannot be found, or the store is in memory.
            StoreError: the store does not exist.
        """
        if self.names_app:
            return self.find_app()
        from reliable_tasks.app import App  # noqa: PLC0415 - only commands that run need it
        from reliable_tasks.config.conf import store_url  # noqa: PLC0415

        self._enter_workdir()
        app = App("reliable-tasks")
        self._configure(app)
        url = store_url(app.settings)
        if url.in_memory:
            raise click.UsageError(
                "the store sqlite:// lives in the memory of one process; name another with -b",
                click.get_current_context(silent=True),
            )
        if url.path is not None and url.kind == "sqlite" and not Path(url.path).exists():
            raise StoreError(
                f"there is no store at {Path(url.path).absolute()}; name it with -b URL, or the "
                "app that knows it with -A module"
            )
        return _closed_at_the_end(app)

    def start_anew(self) -> None:
        """Replace this process by one with the same command line, which reads the code anew."""
        if self.started_in is not None:
            os.chdir(self.started_in)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell

    def _configure(self, app: App) -> None:
        """What the line says goes before what the app says."""
        if self.config:
            app.config_from_object(self.config)
        if self.broker:
            app.conf.broker_url = self.broker
        if self.result_backend:
            app.conf.result_backend = self.result_backend

    def _enter_workdir(self) -> None:
        if self.workdir:
            try:
                self.started_in = str(Path.cwd())
                os.chdir(self.workdir)
            except OSError as error:
                raise click.UsageError(
                    f"--workdir {self.workdir}: {error.strerror}",
                    click.get_current_context(silent=True),
                ) from None
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)


def _closed_at_the_end(app: App) -> App:
    ctx = click.get_current_context(silent=True)
    if ctx is not None:
        ctx.call_on_close(app.close)
    return app


def keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A click callback that notes the value as this attribute of `Chosen`."""

    def callback(ctx: click.Context, _parameter: click.Parameter, value: Any) -> None:
        chosen = ctx.ensure_object(Chosen)
        if value is not None:
            setattr(chosen, name, value)

    return callback


def app_options(command: F) -> F:
    """Give a command `-A`, `-b` and `--workdir`, which may stand before it or after it."""
    for names, attribute, metavar, text in (
        (("--workdir",), "workdir", "DIRECTORY", "Work in this directory."),
        (("-b", "--broker"), "broker", "URL", "The store, instead of the app's."),
        (("-A", "--app"), "app", "MODULE[:ATTRIBUTE]", "Where your app is."),
    ):
        option = click.option(
            *names, metavar=metavar, help=text, expose_value=False, callback=keep(attribute)
        )
        command = option(command)
    return command
