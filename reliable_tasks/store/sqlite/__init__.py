"""The embedded store: one SQLite file, shared by any number of processes on one machine."""

from reliable_tasks.store.sqlite.enqueue import lacking

from .store import SqliteStore

__all__ = ["SqliteStore", "lacking"]
