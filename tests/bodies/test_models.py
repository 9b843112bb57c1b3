"""Models among arguments and results, by pydantic as in Celery 5.7, and by msgspec."""

from __future__ import annotations

import builtins
import dataclasses
import datetime as dt
import decimal
import enum
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
import pydantic
import pytest

from reliable_tasks import App
from reliable_tasks.errors import CodecError, ConfigError
from reliable_tasks.testing import bound, run_until_idle

if TYPE_CHECKING:
    from collections.abc import Iterator


class Order(pydantic.BaseModel):
    number: int
    due: dt.date = dt.date(2030, 1, 2)


class Lazy(pydantic.BaseModel):
    number: int
    seen: list[str] = []

    @pydantic.model_validator(mode="before")
    @classmethod
    def look(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        assert info.context is not None
        assert isinstance(value, dict)
        names = [info.context["celery_task_name"], info.context["celery_app"].main]
        return {**value, "seen": [*names, info.context.get("mine", "")]}


@dataclasses.dataclass
class Item:
    name: str
    price: decimal.Decimal
    tags: set[str] = dataclasses.field(default_factory=set)


class Point(TypedDict):
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Line(msgspec.Struct):
    items: list[Item]
    colour: Colour = Colour.RED


@pytest.fixture
def app() -> Iterator[App]:
    app = App("modelled", broker="sqlite://", set_as_current=False)
    with bound(app):
        yield app


def by_worker(app: App, task: Any, *args: Any, **kwargs: Any) -> Any:
    result = task.delay(*args, **kwargs)
    run_until_idle(app)
    return result


def eagerly(_: App, task: Any, *args: Any, **kwargs: Any) -> Any:
    return task.apply(args, kwargs)


WAYS = pytest.mark.parametrize("way", [by_worker, eagerly])


# By pydantic -------------------------------------------------------------------------------------


def later(order: Order, days: int = 1) -> Order:
    assert isinstance(order, Order)
    return Order(number=order.number + 1, due=order.due + dt.timedelta(days=days))


async def later_as_coroutine(order: Order, days: int = 1) -> Order:
    return later(order, days)


def later_bound(self: Any, order: Order, days: int = 1) -> Order:
    assert self.request.id
    return later(order, days)


@WAYS
@pytest.mark.parametrize(
    ("body", "bind"), [(later, False), (later_as_coroutine, False), (later_bound, True)]
)
@pytest.mark.parametrize("order", [Order(number=1), {"number": 1, "due": "2030-01-02"}])
def test_a_model_goes_in_and_comes_out_as_data(
    app: App, way: Any, body: Any, bind: bool, order: Any
) -> None:
    task = app.task(name="later", bind=bind, pydantic=True)(body)
    assert way(app, task, order).get(timeout=5) == {"number": 2, "due": "2030-01-03"}
    assert way(app, task, order=order, days=2).get(timeout=5) == {"number": 2, "due": "2030-01-04"}


@WAYS
def test_data_that_does_not_fit_fails_the_attempt(app: App, way: Any) -> None:
    task = app.task(name="later", pydantic=True)(later)
    failed = way(app, task, {"number": "x"})
    assert failed.state == "FAILURE"
    assert "valid integer" in str(failed.result)


def optional(order: Order | None = None, plain: int = 0, **more: Any) -> Order | None:
    assert order is None or isinstance(order, Order)
    return order and later(order, plain or more.get("by", 1))


@WAYS
def test_an_optional_model_may_be_none(app: App, way: Any) -> None:
    task = app.task(name="optional", pydantic=True)(optional)
    assert way(app, task).get(timeout=5) is None
    assert way(app, task, {"number": 1}, by=3).get(timeout=5)["due"] == "2030-01-05"


def test_its_options_are_heeded(app: App) -> None:
    def keeps(order: Order) -> Order:
        return order

    strict = app.task(name="strict", pydantic=True, pydantic_strict=True)(keeps)
    assert eagerly(app, strict, {"number": "1"}).state == "FAILURE"
    short = app.task(name="short", pydantic=True, pydantic_dump_kwargs={"exclude_unset": True})(
        keeps
    )
    assert eagerly(app, short, {"number": 1}).get() == {"number": 1}


def context(lazy: Lazy) -> list[str]:
    return lazy.seen


def test_validators_get_the_context_with_the_app_and_the_task(app: App) -> None:
    task = app.task(name="context", pydantic=True, pydantic_context={"mine": "own"})(context)
    assert eagerly(app, task, {"number": 1}).get() == ["context", "modelled", "own"]


def test_a_model_that_would_not_come_back_the_same_is_refused_at_the_call(app: App) -> None:
    class Special(Order):
        more: int = 3

    task = app.task(name="later", pydantic=True)(later)
    plain: Any = app.task(name="plain")(later)
    with pytest.raises(CodecError, match=r"args\[0\] is a .*Special"):
        task.delay(Special(number=1))
    with pytest.raises(CodecError, match="declare the task with pydantic=True"):
        plain.delay(Order(number=1))


def test_a_direct_call_validates_as_well(app: App) -> None:
    task: Any = app.task(name="later", pydantic=True)(later)
    assert task({"number": 1}) == {"number": 2, "due": "2030-01-03"}


def test_models_go_through_a_chain_and_a_retry(app: App) -> None:
    task = app.task(name="later", pydantic=True)(later)

    @app.task(name="again", bind=True, pydantic=True)
    def again(self: Any, order: Order) -> Order:
        if self.request.retries == 0:
            raise self.retry(args=(Order(number=order.number * 10),), countdown=0)
        return order

    result: Any = (task.s(Order(number=1)) | again.s() | task.s()).delay()
    run_until_idle(app)
    assert result.get(timeout=5) == {"number": 21, "due": "2030-01-03"}


def test_where_pydantic_is_not_installed_the_declaration_says_so(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pydantic":
            raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="task later: pydantic=True needs pydantic"):
        app.task(name="later", pydantic=True)(later)
    assert "later" not in app.tasks


# By msgspec --------------------------------------------------------------------------------------


def cheaper(
    items: list[Item], at: Point, *more: Item, line: Line | None = None, **named: Item
) -> list[Any]:
    everything = [*items, *more, *(line.items if line else ()), *named.values()]
    assert all(isinstance(item, Item) for item in everything)
    assert at["x"] == 1
    return [dataclasses.replace(item, price=item.price / 2) for item in everything]


@WAYS
def test_dataclasses_and_typed_dicts_are_made_of_data_and_the_other_way(app: App, way: Any) -> None:
    task = app.task(name="cheaper", msgspec=True)(cheaper)
    item = Item("a", decimal.Decimal(3), {"t"})
    sent = [item, {"name": "b", "price": "5"}]
    call = {"line": Line([item]), "extra": item}
    got = way(app, task, sent, {"x": 1, "y": 2}, item, **call).get(timeout=5)
    half = {"name": "a", "price": decimal.Decimal("1.5"), "tags": ["t"]}
    other = {"name": "b", "price": decimal.Decimal("2.5"), "tags": []}
    assert got == [half, other, half, half, half]


@WAYS
def test_what_does_not_fit_says_where(app: App, way: Any) -> None:
    task = app.task(name="cheaper", msgspec=True)(cheaper)
    failed = way(app, task, [{"name": 3, "price": "1"}], {"x": 1, "y": 2})
    assert failed.state == "FAILURE"
    assert "Expected `str`, got `int` - at `$[0].name`" in str(failed.result)


class Unknown:
    """A class that msgspec knows nothing of."""


def loose(self: Any, a: Unknown, b: NotHere, c: set[int], d: Any, e: Colour) -> Any:  # type: ignore[name-defined] # noqa: F821
    assert isinstance(c, set | list)
    return self.name, a, b, c, d, e


@WAYS
def test_annotations_that_say_nothing_leave_values_as_they_are(app: App, way: Any) -> None:
    task = app.task(name="loose", bind=True, msgspec=True)(loose)
    got = way(app, task, 1, (2,), {3}, {"d": (4,)}, Colour.RED).get(timeout=5)
    assert got == ("loose", 1, (2,), {3}, {"d": (4,)}, "red")


def test_a_dataclass_without_the_option_is_refused_with_the_remedy(app: App) -> None:
    task: Any = app.task(name="plain")(cheaper)
    with pytest.raises(CodecError, match="declare the task with msgspec=True"):
        task.delay([Item("a", decimal.Decimal(1))], {"x": 1, "y": 1})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pydantic": True, "msgspec": True}, "pydantic=True or msgspec=True, not both"),
        ({"pydantic": "yes"}, "pydantic must be True or False, not 'yes'"),
    ],
)
def test_options_of_models_that_are_not_possible_are_refused(
    app: App, options: Any, said: str
) -> None:
    declare: Any = app.task(name="bad", **options)
    with pytest.raises(ConfigError, match=said):
        declare(later)


def test_a_builtin_that_tells_nothing_of_its_arguments_takes_them_as_they_are(app: App) -> None:
    task = app.task(name="update", msgspec=True)(dict.update)
    assert eagerly(app, task, {}, {"a": 1}).get() is None


def test_a_task_without_models_goes_as_it_is(app: App) -> None:
    assert app.task(name="later", pydantic=False)(later).call_rewriting is None
