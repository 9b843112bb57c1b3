"""`TestApp`, in the module that Celery has it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.app import App
from reliable_tasks.celery_names import no_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_TEST_CONFIG", "TestApp"]

DEFAULT_TEST_CONFIG = {
    "accept_content": ["json"],
    "broker_url": "sqlite://",
    "enable_utc": True,
    "timezone": "UTC",
}


def TestApp(  # noqa: N802 - Celery's name
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    enable_logging: bool = False,  # noqa: ARG001 - Celery's; an app sets up no log
    set_as_current: bool = False,
    log: Any = None,  # noqa: ARG001 - as above
    backend: str | None = None,  # noqa: ARG001 - Celery's; results live with the messages
    broker: str | None = None,
    **kwargs: Any,
) -> App:
    """Make an app for a test, on a store in memory unless `broker` or `config` names another.

    Raises:
        ConfigError: a setting in `config` is not valid.
    """
    settings = {**DEFAULT_TEST_CONFIG, **(config or {})}
    if broker is not None:
        settings["broker_url"] = broker
    if str(settings["broker_url"]).startswith("memory:"):  # as Celery calls it
        settings["broker_url"] = "sqlite://"
    settings.pop("result_backend", None)
    app = App(name or "celery.tests", set_as_current=set_as_current, **kwargs)
    app.conf.update(settings)
    return app


TestApp.__test__ = False  # type: ignore[attr-defined] # pytest takes it for a test


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
