"""The programs of a Celery tutorial: as they are written there, but for imports and addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.process.harness import Place

__all__ = ["write_program"]

CHANGED = {
    "from celery import Celery, Task": "from reliable_tasks import App as Celery, Task",
    "from celery import Celery": "from reliable_tasks import App as Celery",
    "from celery.result import AsyncResult": "from reliable_tasks import AsyncResult",
    "from celery.utils.log import": "from reliable_tasks.utils.log import",
    "from celery_once import": "from reliable_tasks import",
    "xrange": "range",
}


def write_program(place: Place, name: str, source: str) -> None:
    """Write a module of the tutorial, with another import and the test's store."""
    for old, new in CHANGED.items():
        source = source.replace(old, new)
    for database in ("redis://localhost:6379/1", "redis://localhost:6379/0"):
        source = source.replace(f"= '{database}'", f"= {_address(place, database)!r}")
    for address in ("'amqp://guest@localhost//'", "'amqp://'", "'rpc'"):
        source = source.replace(address, repr(place.store_url))
    assert "celery_once import" not in source
    assert "from celery" not in source
    place.write(name, source.lstrip())


def _address(place: Place, database: str) -> str:
    """The same database of the test's server; the test's file."""
    if place.store_url.startswith("redis://"):
        return place.store_url.removesuffix("/0") + database[-2:]
    return place.store_url
