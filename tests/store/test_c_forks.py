"""Copies of a process that Python was not told of, as servers written in C make them.

The original is a process of its own, with one thread: a copy that is made while another thread asks
for the interpreter waits for ever for that thread, which it does not have.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from locks import Lock
from reliable_tasks import App
from reliable_tasks.core import ids
from reliable_tasks.errors import StoreError
from tests.redis_server import redis_server
from tests.store.empty import empty_store

__all__ = ["redis_server"]

fork = ctypes.PyDLL(None).fork


def forked(body: Callable[[], object]) -> int:
    """A copy that runs `body`; it ends with 0 if that does not raise."""
    child: int = fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)  # should it hang
        try:
            body()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the test sees only how the child ended
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(1)
    return child


def alone(body: Callable[..., None], *args: object) -> None:
    """Run `body` in a new process."""
    original = multiprocessing.get_context("spawn").Process(target=body, args=args)
    original.start()
    original.join()
    assert original.exitcode == 0, "what it printed says why"


def ended_well(child: int) -> bool:
    return os.waitpid(child, 0)[1] == 0


def app_on(url: str) -> App:
    app = App("forked", broker=url, set_as_current=False)
    app.task(name="order")(str)
    return app


def order(app: App, value: str) -> str:
    """Enqueue, and see that the handle is on what was enqueued."""
    handle = app.send_task("order", (value,))
    assert handle.args == (value,)
    return handle.id


def test_copies_make_ids_of_their_own() -> None:
    alone(_copies_make_ids)


def _copies_make_ids() -> None:
    reader, writer = os.pipe()

    def tell() -> None:
        os.write(writer, f"{ids.new_id()} {ids.uniform(0, 1)}\n".encode())

    for child in [forked(tell) for _ in range(3)]:
        assert ended_well(child)
    tell()
    os.close(writer)
    with os.fdopen(reader) as lines:
        made = " ".join(lines).split()
    assert len(set(made)) == len(made) == 8


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return empty_store(request, tmp_path)


def test_copies_enqueue_beside_each_other_and_the_original(url: str) -> None:
    alone(_copies_enqueue, url)


def _copies_enqueue(url: str) -> None:
    app = app_on(url)
    order(app, "before")
    children = [forked(lambda n=n: [order(app, f"{n}.{i}") for i in range(20)]) for n in range(3)]  # type: ignore[misc]
    for i in range(20):
        order(app, f"parent {i}")
    assert all(ended_well(child) for child in children)
    assert sum(app.store.counts().states.values()) == 1 + 3 * 20 + 20


@contextlib.contextmanager
def conversation() -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Two functions: one waits until the other has been called, in whichever process."""
    reader, writer = os.pipe()
    yield lambda: os.read(reader, 1), lambda: os.write(writer, b"!")
    os.close(reader)
    os.close(writer)


def test_the_original_leaves_the_log_to_a_copy_that_writes(tmp_path: Path) -> None:
    """What SQLite thinks that this process has locked is the parent's, and ends with that."""
    alone(_a_copy_writes, tmp_path / "tasks.db")


def _a_copy_writes(path: Path) -> None:
    app = app_on(f"sqlite:///{path}")
    lock = Lock("free", path, auto_renew=False)
    order(app, "before")
    lock.acquire().release()
    with conversation() as (opened, tell_opened), conversation() as (closed, tell_closed):

        def write() -> None:
            order(app, "first")
            tell_opened()
            closed()
            order(app, "second")

        child = forked(write)
        opened()
        app.close()
        lock._backend._file.close()  # type: ignore[attr-defined]
        tell_closed()
        assert ended_well(child)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("SELECT count(*) FROM records").fetchone() == (3,)


def test_a_copy_made_while_another_thread_wrote_says_so(tmp_path: Path) -> None:
    alone(_a_copy_made_meanwhile, tmp_path)


def _a_copy_made_meanwhile(folder: Path) -> None:
    app = app_on(f"sqlite:///{folder}/tasks.db")
    order(app, "before")
    writing, over = threading.Event(), threading.Event()

    def write(_: object) -> None:
        writing.set()
        over.wait()

    thread = threading.Thread(target=app.store._database.write, args=(write,))  # type: ignore[attr-defined]
    thread.start()
    writing.wait()

    def refused() -> None:
        with pytest.raises(StoreError, match="lazy-apps"):
            order(app, "never")

    child = forked(refused)
    over.set()
    thread.join()
    assert ended_well(child)
    order(app, "after")
    app.close()
