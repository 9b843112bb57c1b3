"""What a type checker is to say of a program: each line marked with an error, and no other.

Read by `test_typing`, and by the project's own run of mypy, where the marks are ignores that must
not be in vain.
"""

from __future__ import annotations

from typing import Any, assert_type

from reliable_tasks import App, AsyncResult, OnceTask, Task, shared_task

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


async def awaited() -> None:
    assert_type(await add.delay(1), int)


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
    text: str = add.delay(1).get()  # type: ignore[assignment]
    print(text)
