"""What an app asks of Django; named as in Celery, which mends itself so for Django."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from reliable_tasks import signals
from reliable_tasks.contrib.django import connections
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reliable_tasks.app import App
    from reliable_tasks.config.conf import Conf
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.values import Batch

__all__ = ["Django", "installed"]


class Django:
    """The project that this program is part of: a `Framework` as `core.frameworks` has it."""

    @property
    def Task(self) -> type[Any]:  # noqa: N802 - as the app's is called
        """The class of tasks without a `base`."""
        from reliable_tasks.contrib.django.task import DjangoTask  # noqa: PLC0415 - see the app's

        return DjangoTask

    def configure_default(self, app: App) -> None:
        """Give it the settings RELIABLE_TASKS_… of a project without an app of its own.

        Raises:
            ConfigError: they name no store: the project's app was not imported, most likely, and
                messages would wait in a file that no worker of the project reads.
        """
        from reliable_tasks.contrib.django import project  # noqa: PLC0415 - only needed here

        project.configure(app)
        if not app.conf.value_set_for("broker_url"):
            raise ConfigError(project.NO_APP)

    def configures(self, conf: Conf, source: Any, namespace: str | None) -> None:
        """Have the settings of an app follow Django's, if they are loaded from them."""
        from reliable_tasks.contrib.django import overriding  # noqa: PLC0415 - imports Django

        overriding.follow(conf, source, namespace)

    def set_up(self) -> None:
        """Call `django.setup()`, unless that was done or is being done.

        Raises:
            ConfigError: there is no module of the settings.
        """
        import django  # noqa: PLC0415 - whoever only enqueues need not wait for it
        from django.apps import apps  # noqa: PLC0415

        if apps.models_ready:
            return
        try:
            django.setup()
        except ModuleNotFoundError as exc:
            named = os.environ.get("DJANGO_SETTINGS_MODULE", "")
            if exc.name is None or not f"{named}.".startswith(f"{exc.name}."):
                raise
            raise ConfigError(
                f"DJANGO_SETTINGS_MODULE={named!r} cannot be imported ({exc}): check the name, and "
                "start where manage.py is, or give --workdir"
            ) from exc

    def packages(self) -> list[str]:
        """The packages of the installed apps."""
        from django.apps import apps  # noqa: PLC0415

        return [config.name for config in apps.get_app_configs()]

    def package_of(self, entry: str) -> str:
        """The package that an entry of `INSTALLED_APPS` stands for: it may name an AppConfig."""
        from django.apps import apps  # noqa: PLC0415

        for config in apps.get_app_configs() if apps.apps_ready else ():
            if entry == f"{type(config).__module__}.{type(config).__qualname__}":
                return str(config.name)
        return entry

    def queues(self) -> Iterable[str]:
        """The queues of the `TASKS` that are run here."""
        from reliable_tasks.contrib.django.project import queues_of_backends  # noqa: PLC0415

        return queues_of_backends()

    def around(self, run: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
        """A body that leaves old connections behind, before it and after it, in its own thread."""
        if is_async:

            async def body_async(*args: Any, **kwargs: Any) -> Any:
                await connections.renew_async()
                try:
                    return await run(*args, **kwargs)
                finally:
                    await connections.renew_async()

            return body_async

        def body(*args: Any, **kwargs: Any) -> Any:
            connections.renew()
            try:
                return run(*args, **kwargs)
            finally:
                connections.renew()

        return body

    def defer(self, app: AppContext, batch: Batch, publish: Callable[[], object]) -> bool:
        """Publish at the commit of the transaction around the call, if that was asked for."""
        from reliable_tasks.contrib.django.task import at_commit  # noqa: PLC0415

        return at_commit(app, publish)


@cache
def installed() -> Django | None:
    """Django, and its connections looked after in this process; None where it is not installed."""
    if importlib.util.find_spec("django") is None:
        return None
    signals.worker_init.connect(connections.before_forks)
    signals.worker_process_init.connect(connections.after_fork)
    signals.task_prerun.connect(connections.around_hooks)
    signals.task_postrun.connect(connections.around_hooks)
    return Django()
