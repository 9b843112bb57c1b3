"""Which functions are one task, and what else than functions may be one."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, Task
from reliable_tasks.errors import ConfigError
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def app() -> Iterator[App]:
    made = App("shop", broker="sqlite://", set_as_current=False)
    with bound(made):
        yield made


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator without functools.wraps, with a lock of each wrapper's own."""
    lock = threading.Lock()

    def wrapper(*args: Any) -> Any:
        with lock:
            return function(*args)

    return wrapper


def refund(amount: int) -> str:
    return f"refunded {amount}"


def charge(amount: int) -> str:
    return f"charged {amount}"


def by_closure(factor: Any) -> Callable[..., Any]:
    def scale(x: int) -> Any:
        return x * factor

    return scale


def by_default(factor: int) -> Callable[..., Any]:
    def scale(x: int, factor: int = factor) -> int:
        return x * factor

    return scale


def by_named_default(factor: int) -> Callable[..., Any]:
    def scale(x: int, *, factor: int = factor) -> int:
        return x * factor

    return scale


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (logged(refund), logged(charge)),
        (by_closure(2), by_closure(3)),
        (by_closure(1), by_closure(True)),
        (by_closure(lambda: 1), by_closure(lambda: 2)),
        (by_closure([1]), by_closure([2])),
        (by_default(2), by_default(3)),
        (by_named_default(2), by_named_default(3)),
        (functools.partial(pow, 2), functools.partial(pow, 3)),
        (functools.partial(refund), functools.partial(charge)),
        (functools.partial(refund), functools.partial(refund, 1)),
    ],
)
def test_two_functions_of_one_line_are_two(app: App, one: Any, other: Any) -> None:
    first = app.task(name="same")(one)
    with pytest.raises(ConfigError, match=r"'same' is registered already, with .*; give .*wraps"):
        app.task(name="same")(other)
    assert app.tasks["same"] is first


def test_the_error_names_what_is_wrapped(app: App) -> None:
    app.task(name="same")(logged(refund))
    with pytest.raises(ConfigError) as told:
        app.task(name="same")(logged(charge))
    for function in (refund, charge):
        line = inspect.getsourcelines(function)[1]
        assert f"around {__file__}:{line}" in str(told.value)


@pytest.mark.parametrize("make", [by_closure, by_default, by_named_default])
def test_what_nothing_tells_apart_is_one(app: App, make: Callable[[Any], Any]) -> None:
    assert app.task(name="same")(make(2)) is app.task(name="same")(make(2))


def test_functions_that_hold_each_other_are_compared_all_the_same(app: App) -> None:
    def pair(factor: int) -> Any:
        def even(n: int) -> Any:
            return n if n < 1 else odd(n - 1) * factor

        def odd(n: int) -> Any:
            return n if n < 1 else even(n - 1)

        return even

    first = app.task(name="even")(pair(1))
    assert app.task(name="even")(pair(1)) is first
    with pytest.raises(ConfigError, match="registered already"):
        app.task(name="even")(pair(2))


# The same source again ---------------------------------------------------------------------------

SOURCE = """
from tests.bodies.test_functions import logged
def declare(app):
    app.task(name="add")(add)
    app.task(name="shop.wrapped")(logged(wrapped))
def add():
    return {number}
def wrapped():
    return "wrapped {number}"
"""


def test_a_program_that_is_imported_by_itself_has_each_task_once(app: App) -> None:
    code = compile(SOURCE.format(number=1), "/somewhere/shop.py", "exec")
    for name in ("__main__", "shop"):
        module = types.ModuleType(name)
        exec(code, module.__dict__)
        module.declare(app)
        if name == "__main__":
            first = {name: app.tasks[name] for name in ("add", "shop.wrapped")}
    assert {name: app.tasks[name] for name in first} == first


def test_a_module_that_is_loaded_again_has_its_tasks_anew(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "loaded_again.py"
    path.write_text(SOURCE.format(number=1))
    module = importlib.import_module("loaded_again")
    module.declare(app)
    path.write_text(SOURCE.format(number=22))
    importlib.reload(module).declare(app)
    assert (app.tasks["add"](), app.tasks["shop.wrapped"]()) == (22, "wrapped 22")
    with pytest.raises(ConfigError, match="registered already"):
        app.task(name="add")(module.wrapped)
    broken: Any = app.task(name="add", priority="high")
    importlib.reload(module)
    with pytest.raises(ConfigError, match="priority"):
        broken(module.add)
    assert app.tasks["add"]() == 22, "what is refused takes nothing away"
    del sys.modules["loaded_again"]


# Other callables ---------------------------------------------------------------------------------


class Shout:
    """It has no name of its own."""

    def __call__(self, text: str) -> str:
        return text.upper()


class Whisper:
    async def __call__(self, text: str) -> str:
        return text.lower()


async def slow(text: str) -> str:
    return text


def itself(self: Task[Any, Any], text: str) -> str:
    return f"{text} {self.request.id}"


@pytest.mark.parametrize(
    ("function", "bind", "expected"),
    [
        (functools.partial(charge), False, "charged A"),
        (Shout(), False, "A"),
        (Whisper(), False, "a"),
        (functools.partial(slow), False, "A"),
        (functools.partial(itself), True, "A mine"),
        (type("Own", (), {"__call__": lambda _, task, text: itself(task, text)})(), True, "A mine"),
    ],
)
def test_any_callable_with_a_name_given_is_a_task(
    app: App, function: Any, bind: bool, expected: str
) -> None:
    task: Any = app.task(name="named", bind=bind)(function)
    assert app.task(name="named")(function) is task
    result = task.apply_async(("A",), task_id="mine")
    run_until_idle(app)
    assert result.get() == expected
    assert task.apply(("A",), task_id="mine").get() == expected
    with pytest.raises(TypeError, match="named"):
        task.delay("A", "B", "C")


@pytest.mark.parametrize("function", [functools.partial(charge), Shout()])
def test_one_without_a_name_is_refused_with_the_remedy(app: App, function: Any) -> None:
    with pytest.raises(ConfigError, match=r"has no name of its own: write app.task\(name="):
        app.task(function)


@pytest.mark.parametrize("value", [5, None, "text"])
def test_what_cannot_be_called_is_no_task(app: App, value: Any) -> None:
    declare: Any = app.task(name="x")
    with pytest.raises(ConfigError, match="a task is made of a function or another callable, not"):
        declare(value)
