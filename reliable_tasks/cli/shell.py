"""`shell`: a Python shell with the app and its tasks."""

from __future__ import annotations

import code
import contextlib
import importlib
import platform
from typing import TYPE_CHECKING, Any

import click

from ._accepted import not_needed
from ._context import Chosen, app_options

if TYPE_CHECKING:
    from reliable_tasks.app import App

__all__ = ["command"]

_OWN = "reliable_tasks."  # names of the tasks that every app has
_CANVAS = ("AsyncResult", "Task", "chain", "chord", "group", "signature")
_SHELLS = ("IPython", "bpython")


@click.command("shell")
@click.option("-I", "--ipython", "wanted", flag_value="IPython", help="Use IPython.")
@click.option("-B", "--bpython", "wanted", flag_value="bpython", help="Use bpython.")
@click.option("--python", "wanted", flag_value="python", help="Use Python's own shell.")
@click.option("-T", "--without-tasks", is_flag=True, help="Leave the tasks out.")
@not_needed(
    {},
    {
        ("--eventlet",): "there is no eventlet here",
        ("--gevent",): "gevent patches nothing here; call monkey.patch_all() in your module",
    },
)
@app_options
@click.pass_obj
def command(chosen: Chosen, wanted: str | None, without_tasks: bool) -> None:
    """Start a Python shell that has the app and its tasks.

    The app is there as `app` and `celery`, a task under the last part of its name, beside `chain`,
    `group`, `chord`, `signature`, `Task` and `AsyncResult`. It is IPython or bpython where one is
    installed.
    """
    app = chosen.find_app()
    app.import_modules()
    names = _names(app, with_tasks=not without_tasks)
    for shell in (wanted,) if wanted else _SHELLS:
        if shell in _SHELLS:
            try:
                module = importlib.import_module(shell)
            except ImportError as error:
                if wanted:
                    raise click.ClickException(f"{shell} is not installed: {error}") from error
                continue
            if shell == "IPython":
                module.start_ipython(argv=[], user_ns=names)
            else:
                module.embed(names)
            return
    _plain(app, names)


def _names(app: App, *, with_tasks: bool) -> dict[str, Any]:
    """What the shell begins with; a task does not take the place of the app or the canvas."""
    package = importlib.import_module("reliable_tasks")
    own = (task for name, task in app.tasks.items() if not name.startswith(_OWN))
    tasks = {task.name.rpartition(".")[2]: task for task in own}
    named = {name: getattr(package, name) for name in _CANVAS}
    return {**(tasks if with_tasks else {}), **named, "app": app, "celery": app}


def _plain(app: App, names: dict[str, Any]) -> None:
    with contextlib.suppress(ImportError):  # a Python that was built without it
        readline = importlib.import_module("readline")
        completer = importlib.import_module("rlcompleter").Completer(names)
        readline.set_completer(completer.complete)
        readline.parse_and_bind("tab: complete")
    head = f"Python {platform.python_version()}, app {app.main or app!r}"
    code.interact(f"{head}\n{', '.join(sorted(names))}", local=names, exitmsg="")
