"""Flask: an app of tasks for a Flask application, whose bodies run in its application context.

```python
tasks = ReliableTasks()


def create_app():
    app = Flask(__name__)
    app.config["RELIABLE_TASKS"] = {"broker_url": "sqlite:///tasks.db"}
    tasks.init_app(app)
    return app
```

Tasks are declared by `shared_task`. `flask reliable-tasks worker` runs a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask.cli import AppGroup, ScriptInfo

from reliable_tasks import App, Task
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from flask import Flask

__all__ = ["ReliableTasks"]

_SETTINGS = ("RELIABLE_TASKS", "CELERY")
_EXTENSIONS = ("reliable_tasks", "celery")


class ReliableTasks:
    """The extension: `init_app` makes an app of tasks for a Flask application.

    Args:
        flask_app: to call `init_app` with, where there is no factory.
    """

    def __init__(self, flask_app: Flask | None = None) -> None:
        if flask_app is not None:
            self.init_app(flask_app)

    def init_app(self, flask_app: Flask) -> App:
        """Make an app of tasks, and the current one; returns it.

        Its settings are the dictionary `RELIABLE_TASKS` (or `CELERY`) of the Flask application's
        configuration. It is `flask_app.extensions["reliable_tasks"]` from now on, and, as Flask's
        pages have it, `flask_app.extensions["celery"]`.

        Raises:
            ConfigError: a setting is not possible, or the Flask application has its app already.
        """
        if _EXTENSIONS[0] in flask_app.extensions:
            raise ConfigError(
                f"{flask_app!r} has an app of tasks already, "
                f"{flask_app.extensions[_EXTENSIONS[0]]!r}: call init_app once"
            )
        app = App(flask_app.name, task_cls=_task_of(flask_app), set_as_current=False)
        app.config_from_object(_settings(flask_app))
        app.set_default()
        flask_app.extensions.update(dict.fromkeys(_EXTENSIONS, app))
        flask_app.cli.add_command(_Commands("reliable-tasks", help="Run tasks: worker, beat, …"))
        return app


def _settings(flask_app: Flask) -> Mapping[str, Any]:
    for name in _SETTINGS:
        settings = flask_app.config.get(name)
        if settings is None:
            continue
        if not isinstance(settings, Mapping):
            raise ConfigError(
                f'app.config["{name}"] must be a dict of settings, such as '
                f'{{"broker_url": "sqlite:///tasks.db"}}, not {settings!r}'
            )
        return settings
    return {}


def _task_of(flask_app: Flask) -> type[Task]:
    class FlaskTask(Task):
        """A task whose body has the application context, in workers and eagerly."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run the body in the context."""
            with flask_app.app_context():
                return self.run(*args, **kwargs)

    return FlaskTask


class _Commands(AppGroup):
    """`flask reliable-tasks …`: the whole line is for the command line of `reliable-tasks`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Leave all of it as it is."""
        ctx.args = args
        return args

    def invoke(self, ctx: Any) -> None:
        """Run the command on the Flask application's app of tasks."""
        app: App = ctx.ensure_object(ScriptInfo).load_app().extensions[_EXTENSIONS[0]]
        app.start(ctx.args)
