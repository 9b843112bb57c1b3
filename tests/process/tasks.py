"""The tasks of the program under test, for its workers and for the tests that call them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from reliable_tasks import App, OnceTask, Task
from reliable_tasks.errors import SoftTimeLimitExceeded, StepOutcomeUnknown
from tests.patience import PATIENCE_S
from tests.process.effects import mark

__all__ = ["Hooked", "Spoiled", "Stranger", "make_app"]


class Spoiled(Exception):
    """An exception that the program registers as safe to rebuild."""


class Stranger(Exception):
    """One that it does not, and that is imported where its result is asked for."""


def local_error() -> Exception:
    class Local(Exception):
        """One that nobody else can import."""

    return Local("who knows")


class Hooked(Task[Any, Any]):
    """Its hooks leave marks."""

    def on_success(self, *_: Any) -> None:
        mark("on_success")

    def on_failure(self, exc: BaseException, *_: Any) -> None:
        mark(f"on_failure:{type(exc).__name__}")


class HangsWhenBuried(Task[Any, Any]):
    """Its hook never comes back."""

    def on_failure(self, *_: Any) -> None:
        mark("hangs")
        time.sleep(600)


def make_app(url: str, *, limits: bool = True) -> App:
    """The program on a store, with or without the tasks that have time limits."""
    app = App("program", broker=url, set_as_current=False, result_exceptions=(Spoiled,))
    _plain(app)
    _deadly(app)
    _slow(app)
    _coroutines(app)
    _once(app)
    if limits:
        _busy(app)
        _limited(app)
    return app


def _path_of(name: str) -> Path:
    return Path(os.environ["EFFECTS"]).with_name(name)


def _wait_for(name: str) -> None:
    """Until the test makes a file of this name; bounded, in case it never does."""
    path = _path_of(name)
    deadline = time.monotonic() + 3 * PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _plain(app: App) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="nap")
    def nap(seconds: float) -> int:
        mark("nap")
        time.sleep(seconds)
        mark("woke")
        return os.getpid()

    @app.task(name="nap_until")
    def nap_until(name: str) -> int:
        mark("nap")
        _wait_for(name)
        mark("woke")
        return os.getpid()

    @app.task(name="spoil")
    def spoil(kind: str) -> None:
        raise {"own": Spoiled("gone off"), "imported": Stranger("hello")}.get(kind) or local_error()

    @app.task(name="flaky", bind=True, max_retries=5)
    def flaky(self: Task[Any, Any], failures: int) -> int:
        mark("flaky")
        if self.request.retries < failures:
            raise self.retry(countdown=0.05)
        return self.request.retries

    @app.task(name="swell")
    def swell(mib: int) -> int:
        kept = bytearray(mib * 1024 * 1024)
        return os.getpid() if kept else 0

    @app.task(name="who")
    def who() -> int:
        return os.getpid()


def _deadly(app: App) -> None:
    @app.task(name="poison", base=Hooked)
    def poison() -> None:
        mark("poison")
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="poison_unless", base=Hooked)
    def poison_unless(name: str) -> str:
        mark("poison")
        if not Path(os.environ["EFFECTS"]).with_name(name).exists():
            os._exit(9)
        return "cured"

    @app.task(name="leaves")
    def leaves() -> None:
        mark("leaves")
        os._exit(0)

    @app.task(name="leaves_in_c")
    def leaves_in_c() -> None:
        mark("leaves")
        ctypes.CDLL(None).exit(0)

    @app.task(name="closes")
    def closes() -> None:
        mark("closes")
        os.closerange(3, 1000)

    @app.task(name="stops_later")
    def stops_later(name: str) -> int:
        def stop() -> None:
            _wait_for(name)
            os.kill(os.getpid(), signal.SIGSTOP)

        threading.Thread(target=stop, daemon=True).start()
        return os.getpid()


def _slow(app: App) -> None:
    @app.task(name="wait_for")
    def wait_for(name: str) -> str:
        mark("waits")
        _wait_for(name)
        mark("goes on")
        return name


def _coroutines(app: App) -> None:
    @app.task(name="async_add")
    async def async_add(x: int, y: int) -> int:
        await asyncio.sleep(0)
        return x + y

    @app.task(name="async_nap")
    async def async_nap(seconds: float) -> int:
        mark("nap")
        await asyncio.sleep(seconds)
        mark("woke")
        return os.getpid()

    @app.task(name="async_wait_for")
    async def async_wait_for(name: str) -> str:
        mark("waits")
        path = _path_of(name)
        while not path.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        return name

    @app.task(name="async_block")
    async def async_block(seconds: float) -> str:
        mark("nap")
        time.sleep(seconds)  # noqa: ASYNC251 - what must not cost it its lease
        return "kept"

    @app.task(name="loop_id")
    async def loop_id() -> tuple[int, int]:
        return os.getpid(), id(asyncio.get_running_loop())


def _once(app: App) -> None:
    @app.task(name="once_nap", base=OnceTask)
    def once_nap(n: int, seconds: float = 0.02) -> int:
        mark("nap")
        time.sleep(seconds)
        mark("woke")
        return n

    @app.task(name="once_poison", base=OnceTask)
    def once_poison() -> None:
        mark("poison")
        os._exit(9)


def _busy(app: App) -> None:
    @app.task(name="busy_with_the_store", bind=True, soft_time_limit=0.1)
    def busy_with_the_store(self: Task[Any, Any]) -> tuple[int, list[str]]:
        """Does nothing but call the store: where the limit comes, it mostly is in a call."""
        called: list[str] = []
        sent = 0
        try:
            while True:
                app.send_task("who", queue="nobodys")
                sent += 1
                self.update_state(state="BUSY", meta=sent)
                self.step(f"step {sent}", called.append, f"step {sent}")
        except SoftTimeLimitExceeded:
            for number in range(1, sent + 2):
                with contextlib.suppress(StepOutcomeUnknown):
                    self.step(f"step {number}", called.append, f"step {number}")
            return sent, called


def _wait(where: str) -> None:
    if where == "asleep":
        time.sleep(60)
    threading.Event().wait()  # what waits without end may not notice a signal


def _limited(app: App) -> None:
    @app.task(name="too_long", base=Hooked, time_limit=0.5)
    def too_long() -> None:
        mark("starts")
        time.sleep(60)

    @app.task(name="hangs_when_buried", base=HangsWhenBuried, time_limit=0.5)
    def hangs_when_buried() -> None:
        mark("starts")
        time.sleep(600)

    @app.task(name="asked_to_hurry", base=Hooked, soft_time_limit=0.3)
    def asked_to_hurry(tidy: bool, where: str = "asleep") -> str:
        try:
            _wait(where)
        except SoftTimeLimitExceeded:
            if not tidy:
                raise
            mark("tidied")
        return "tidied"

    @app.task(name="stubborn", base=OnceTask, time_limit=0.5, soft_time_limit=0.2)
    def stubborn() -> None:
        while True:
            with contextlib.suppress(SoftTimeLimitExceeded):
                mark("alive")
                time.sleep(0.01)

    @app.task(name="async_hurry", soft_time_limit=0.3)
    async def async_hurry() -> None:
        await asyncio.sleep(60)

    @app.task(name="once_too_long", base=OnceTask, time_limit=0.3)
    def once_too_long() -> None:
        time.sleep(60)
