"""`adelay` in threads, loops and forks, beside signals, and where nothing is stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task, chain, group, signals
from reliable_tasks.errors import ConfigError, StoreUnavailable
from reliable_tasks.errors import TimeoutError as ResultTimeoutError
from tests.redis_server import redis_server
from tests.tasks.adelaying import Harness, harness, here, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["harness", "here", "redis_server"]


def test_loops_in_several_threads_share_a_store(harness: Harness) -> None:
    async def main(number: int) -> list[Any]:
        return await asyncio.gather(*[harness.add.adelay(i, number) for i in range(50)])

    def runs(number: int) -> None:
        got.extend(run(main(number)) for _ in range(3))

    got: list[list[Any]] = []
    threads = [threading.Thread(target=runs, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle.id for handles in got for handle in handles}) == 600
    assert harness.stored() == 600


def test_a_loop_that_has_ended_holds_up_nobody(here: Harness) -> None:
    """Its coroutine called and was thrown away before the loop came to start the thread."""

    async def main() -> None:
        call = here.add.adelay(1, 1)
        call.send(None)
        call.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert run(here.add.adelay(2, 2)).exists()
    assert here.stored() == 1


def test_a_fork_stores_by_itself(tmp_path: Path) -> None:
    harness = Harness(f"sqlite:///{tmp_path}/tasks.db")
    run(harness.add.adelay(1, 1))
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            run(harness.add.adelay(2, 2))
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    run(harness.add.adelay(3, 3))
    assert harness.stored() == 3
    harness.app.close()


def test_receivers_of_signals_see_the_callers_context(here: Harness) -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    told: list[tuple[str, str, int]] = []
    tokens: dict[str, Any] = {}

    @signals.before_task_publish.connect
    def before(headers: dict[str, Any], **_: Any) -> None:
        headers["trace"] = who.get()
        tokens[headers["id"]] = who.set("inside")

    @signals.after_task_publish.connect
    def after(headers: dict[str, Any], **_: Any) -> None:
        told.append(("after", who.get(), threading.get_ident()))
        who.reset(tokens[headers["id"]])

    async def call(name: str) -> Any:
        who.set(name)
        result = await here.add.adelay(1, 1)
        assert who.get() == name
        return result

    async def main() -> Any:
        here.watched.away = 1  # told once, however often it is tried
        return await asyncio.gather(call("a"), call("b"))

    try:
        handles = run(main())
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    assert len(tokens) == 2
    assert [(what, name) for what, name, _ in told] == [("after", "inside")] * 2
    assert threading.get_ident() not in {thread for *_, thread in told}
    assert len(handles) == 2


def test_what_a_receiver_exits_with_comes_out_of_its_own_call(here: Harness) -> None:
    @signals.before_task_publish.connect(sender="other")
    def exits(**_: Any) -> None:
        raise SystemExit(3)

    async def main() -> None:
        good = asyncio.ensure_future(here.add.adelay(1, 1))
        try:
            with pytest.raises(SystemExit):
                await here.other.adelay(1)
        finally:
            assert (await good).exists()

    try:
        run(main())
    finally:
        signals.before_task_publish.disconnect(exits, sender="other")
    assert here.stored() == 1


def test_an_apply_async_of_ones_own_is_called_by_the_twins(here: Harness) -> None:
    class Tenant(Task):
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:  # type: ignore[override]
            return super().apply_async(args, kwargs, **{**options, "queue": "tenant"})

    @here.app.task(base=Tenant, name="of a tenant")
    def of_tenant(n: int) -> int:
        return n

    assert run(of_tenant.adelay(1)).queue == "tenant"


def test_eager_calls_run_beside_the_loop() -> None:
    app = App("eager", broker="sqlite://", set_as_current=False, task_always_eager=True)

    @app.task
    async def fetch(n: int) -> int:
        await asyncio.sleep(0)
        return n + 1

    async def main() -> tuple[Any, ...]:
        result = await fetch.adelay(1)
        many = await app.aenqueue_many([fetch.s(1), fetch.s(2)])
        canvas = await chain(fetch.s(1), fetch.s()).adelay()
        return await result, await result.aget(timeout=1), await many[1].aget(), await canvas.aget()

    assert run(main()) == (2, 2, 3, 3)
    app.close()


def test_callbacks_go_with_the_twin(harness: Harness) -> None:
    run(harness.add.aapply_async((1, 1), link=harness.other.s()))
    run(harness.app.asend_task("far", (1,), link_error=harness.other.si(1)))
    assert harness.stored() == 4


def test_a_store_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    app = App("nowhere", broker=f"sqlite:///{tmp_path}/no/folder/tasks.db", set_as_current=False)
    with pytest.raises(StoreUnavailable, match="make the directory"):
        run(app.signature("t").aapply_async(retry=False))
    app.close()


def test_aget_waits_beside_the_loop(harness: Harness) -> None:
    async def main() -> None:
        handle = await harness.add.adelay(1, 1)
        for timeout in (0, 0.01):
            with pytest.raises(ResultTimeoutError, match="had not ended"):
                await handle.aget(timeout=timeout)
        both = await group(harness.add.s(1, 1), harness.other.s(1)).adelay()
        with pytest.raises(ResultTimeoutError, match="and others had not ended"):
            await both.aget(timeout=0.01)

    run(main())
    with pytest.raises(ConfigError, match="timeout"):
        run(harness.app.AsyncResult("x").aget(timeout="soon"))  # type: ignore[arg-type]
