"""Binding an app to a store in memory, for as long as a test takes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError
from reliable_tasks.store import store_options
from reliable_tasks.store.sqlite import SqliteStore

from .time import VirtualTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliable_tasks.app import App

__all__ = ["bound", "time_of", "virtual_time_of"]

_times: WeakKeyDictionary[App, VirtualTime] = WeakKeyDictionary()


@contextlib.contextmanager
def bound(
    app: App, time: VirtualTime | None = None, *, through: Callable[[Any], Any] | None = None
) -> Iterator[VirtualTime]:
    """Within the block, `app` is the current app, on an empty store in memory, in virtual time.

    The store that the app had is neither opened nor closed. The whole audit trail is kept.

    Args:
        app: yours.
        time: the store's clock; a new one by default.
        through: gets the store and gives what stands before it.
    """
    time = time or VirtualTime()
    options = msgspec.structs.replace(store_options(app.settings), audit="all")
    store = SqliteStore(None, options, time)
    # Reading `app.store` would open the real one.
    before, time_before, current = app._store, _times.get(app), context._current_app  # noqa: SLF001
    app.store = store if through is None else through(store)
    _times[app] = time
    app.set_current()
    try:
        yield time
    finally:
        app._store, context._current_app = before, current  # noqa: SLF001
        if time_before is None:
            del _times[app]
        else:
            _times[app] = time_before
        store.close()


def time_of(app: App) -> VirtualTime:
    """The virtual time of a bound app.

    Raises:
        ConfigError: it is not bound; its store may be a real one.
    """
    time = virtual_time_of(app)
    if time is None:
        raise ConfigError(
            f"{app!r} is not bound to a store in memory: use the fixture task_app, or "
            "`with reliable_tasks.testing.bound(app):`"
        )
    return time


def virtual_time_of(app: App) -> VirtualTime | None:
    """The virtual time of a bound app; None of any other."""
    return _times.get(app)
