"""An error of our own ends the consumer's thread, and not in silence: somebody is told."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.store import values as v
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import ThreadedExchanger
from tests.locks.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


class Broken(Consumer):
    """Cannot take what the store answers."""

    def replied(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("our own fault")


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    with contextlib.closing(SqliteStore(None, v.StoreOptions())) as opened:
        opened.open_session(v.SessionInfo(id="s", worker="w@h"), 600_000)
        yield opened


def test_who_is_to_be_told_of_a_crash_is_told(store: SqliteStore) -> None:
    told: list[BaseException] = []
    exchanger = ThreadedExchanger(Broken(("celery",)), store, "s", on_crash=told.append)
    exchanger.start()
    eventually(lambda: told, "the crash")
    assert str(told[0]) == "our own fault"
    exchanger._thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_nobody_is_the_thread_says_it_itself(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    exchanger = ThreadedExchanger(Broken(("celery",)), store, "s")
    exchanger.start()
    eventually(lambda: told, "the crash")
    assert told[0].exc_type is ZeroDivisionError
    exchanger._thread.join()
