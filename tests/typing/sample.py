"""What a type checker is to say of a program: each line marked with an error, and no other.

Read by `test_typing`, and by the project's own run of mypy, where the marks are ignores that must
not be in vain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from reliable_tasks import (
    App,
    AsyncResult,
    GroupResult,
    OnceTask,
    Signature,
    Task,
    chain,
    chord,
    group,
    shared_task,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

app = App("typed", broker="sqlite://", set_as_current=False)


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="mail", max_retries=5)
def mail(to: str, *, copy: bool = False) -> str:
    return f"{to} {copy}"


@app.task(bind=True)
def bound(self: Task[Any, Any], n: int) -> float:
    return n / self.request.attempt


def plain(n: int) -> bytes:
    return bytes(n)


def of_self(self: Task[Any, Any], n: int) -> str:
    return f"{self.name} {n}"


beside = app.task(plain, name="beside", queue="mail")
bound_beside = app.task(of_self, name="bound beside", bind=True)
shared_beside = shared_task(plain, name="shared beside options")


@app.task(base=OnceTask, once={"keys": ["n"]})
def once(n: int) -> None: ...


@shared_task
def shared(n: int) -> list[int]:
    return [n]


@shared_task(queue="mail")
def shared_with_options(n: int) -> list[int]:
    return [n]


@shared_task(bind=True)
def shared_bound(self: Task, n: int) -> list[int]:
    return [n, self.request.attempt]


@app.task
async def fetch(n: int) -> int:
    return n


@app.task(bind=True, queue="io")
async def fetch_bound(self: Task, n: int) -> str:
    return f"{self.name} {n}"


@app.task(queue="io")
async def fetch_with_options(n: int) -> str:
    return str(n)


@shared_task
async def fetch_shared(n: int) -> bytes:
    return bytes(n)


@shared_task(bind=True)
async def fetch_shared_bound(self: Task, n: int) -> bytes:
    return bytes(n + self.request.attempt)


OPTIONS: dict[str, Any] = {"queue": "io", "bind": False}


@app.task(**OPTIONS)
def hidden(n: int) -> int:
    return n


class Reports(Task):
    """A class of tasks, without brackets."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        print(self.name, retval, task_id, args, kwargs)


@app.task(base=Reports)
def reports(n: int) -> int:
    return n


def fits() -> None:
    """The function's own signature is that of `delay`, and its type that of the result."""
    assert_type(add.delay(1), AsyncResult[int])
    assert_type(add.delay(1, y=2).get(timeout=1), int)
    assert_type(add(1, 2), int)
    assert_type(add.apply_async((1,), countdown=5), AsyncResult[int])
    assert_type(add.apply((1,)).get(), int)
    assert_type(mail.delay("a@b", copy=True).get(), str)
    assert_type(bound.delay(3).get(), float)
    assert_type(bound(3), float)
    assert_type(beside.delay(3).get(), bytes)
    assert_type(bound_beside.delay(3).get(), str)
    assert_type(shared_beside.delay(3).get(), bytes)
    assert_type(once.delay(3), AsyncResult[None])
    assert_type(shared.delay(3).get(), list[int])
    assert_type(shared_with_options.delay(3).get(), list[int])
    assert_type(add.AsyncResult("id").get(), int)


def coroutines_give_their_value() -> None:
    """A worker awaits the body of an `async def` task; who calls it directly does so himself."""
    assert_type(fetch.delay(1), AsyncResult[int])
    assert_type(fetch.delay(1).get() + 1, int)
    assert_type(fetch.apply((1,)).get(), int)
    called: Coroutine[Any, Any, int] = fetch(1)
    called.close()
    assert_type(fetch_bound.delay(n=1).get(), str)
    assert_type(fetch_with_options.delay(1).get(), str)
    assert_type(fetch_shared.delay(1).get(), bytes)
    assert_type(fetch_shared_bound.delay(1).get(), bytes)
    assert_type(fetch.s(1), Signature[int])
    assert_type(shared_bound.delay(1).get(), list[int])
    assert_type(reports.delay(1).get(), int)
    hidden.delay("its bind= is hidden, so nothing is checked")  # pyright: ignore[reportFunctionMemberAccess]


def handles_and_signatures() -> None:
    """What is made of an id alone is a handle on anything."""
    assert_type(AsyncResult("id"), AsyncResult[Any])
    known: AsyncResult[int] = AsyncResult("id")
    assert_type(known.get(), int)
    assert_type(AsyncResult[int]("id").get(), int)
    assert_type(app.AsyncResult("id").get(), Any)
    sig = add.s(1)
    assert_type(sig, Signature[int])
    assert_type(add.si(1, y=2), Signature[int])
    assert_type(add.signature((1,), countdown=5), Signature[int])
    assert_type(sig.delay(2).get(), int)
    assert_type(sig.apply_async((2,), queue="q").get(), int)
    assert_type(sig.set(queue="q"), Signature[int])
    assert_type(sig.clone(), Signature[int])
    assert_type(~sig, int)
    plain: Signature = sig
    assert_type(plain.delay().get(), Any)


def canvases() -> None:
    """A chain has the type of its last part, a group that of a list, a chord its body's."""
    assert_type(add.s(1) | mail.s(), chain[str])
    assert_type((add.s(1) | mail.s() | fetch.s()).delay().get(), int)
    assert_type(chain(add.s(1), mail.s()), chain[str])
    assert_type(chain(add.s(1), mail.s())().get(), str)
    assert_type(chain([add.s(1), mail.s()])().get(), Any)
    assert_type(group(add.s(1), add.s(2)), group[int])
    assert_type(group(add.s(n) for n in range(3)).delay(), GroupResult[int])
    assert_type(group([add.s(n) for n in range(3)])().get(), list[int])
    nothing: list[Any] = group([])().get()
    print(nothing)
    assert_type((mail.s("a@b") | group(add.s(1), add.s(2)))(), GroupResult[int])
    assert_type(chain(mail.s("a@b"), group(add.s(1)))().completed_count(), int)
    assert_type(chord([add.s(1), add.s(2)], shared.s())().get(), list[int])
    assert_type(chord(add.s(n) for n in range(3))(mail.s()).get(), str)
    assert_type(add.map([1, 2]).delay().get(), list[int])
    assert_type(add.starmap([(1, 2)]).delay().get(), list[int])
    assert_type(add.chunks([(1, 2)], 10).delay().get(), list[list[int]])


async def awaited() -> None:
    assert_type(await add.delay(1), int)
    assert_type(await fetch.delay(1), int)
    assert_type(await fetch(1), int)
    assert_type(await group(add.s(1), add.s(2)).delay(), list[int])
    assert_type(await add.adelay(1, y=2), AsyncResult[int])
    assert_type(await fetch.aapply_async((1,), queue="q"), AsyncResult[int])
    assert_type(await (await fetch.adelay(1)).aget(timeout=1), int)
    assert_type(await (add.s(1) | mail.s()).adelay(), AsyncResult[str])
    assert_type(await group(add.s(1), add.s(2)).adelay(), GroupResult[int])
    assert_type(await (await group(add.s(1)).aapply_async()).aget(), list[int])
    assert_type(await chain(mail.s("a"), group(add.s(1))).adelay(), GroupResult[int])
    await add.adelay("1")  # type: ignore[arg-type]
    await fetch.adelay()  # type: ignore[call-arg]


def does_not() -> None:
    """Each of these is wrong."""
    add.delay()  # type: ignore[call-arg]
    add.delay("1")  # type: ignore[arg-type]
    add.delay(1, 2, 3)  # type: ignore[call-arg]
    add.delay(1, z=3)  # type: ignore[call-arg]
    add("1")  # type: ignore[arg-type]
    mail.delay(1)  # type: ignore[arg-type]
    mail.delay("a@b", True)  # type: ignore[call-arg]
    bound.delay("3")  # type: ignore[arg-type]
    once.delay(n="3")  # type: ignore[arg-type]
    shared.delay("3")  # type: ignore[arg-type]
    shared_with_options.delay("3")  # type: ignore[arg-type]
    fetch.delay("3")  # type: ignore[arg-type]
    fetch_bound.delay("3")  # type: ignore[arg-type]
    fetch_shared_bound.delay()  # type: ignore[call-arg]
    shared_bound.delay("3")  # type: ignore[arg-type]
    add.si("3")  # type: ignore[arg-type]
    fetch(1) + 1  # type: ignore[operator]
    number: int = mail.s("a@b").delay().get()  # type: ignore[assignment]
    last: int = (add.s(1) | mail.s()).delay().get()  # type: ignore[assignment]
    print(number, last)
    text: str = add.delay(1).get()  # type: ignore[assignment]
    print(text)
