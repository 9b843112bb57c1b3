"""Options of `once=`, and which calls share a key."""

import datetime as dt
import enum
import inspect
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from reliable_tasks.core.once import (
    OnceOptions,
    OnConflict,
    Scope,
    check_keys,
    once_key,
    once_label,
)
from reliable_tasks.errors import CodecError, ConfigError


def slow_add(a: Any, b: Any = 2, *rest: Any, c: Any = None, **more: Any) -> Any:
    return a, b, rest, c, more


def strict(a: Any, /, b: Any = 0) -> Any:
    return a, b


SIGNATURE = inspect.signature(slow_add)


def key(*args: Any, keys: tuple[str, ...] | None = None, **kwargs: Any) -> str:
    return once_key("slow_add", SIGNATURE, args, kwargs, keys)


# Options ------------------------------------------------------------------------------------------


def test_defaults() -> None:
    options = OnceOptions.parse({}, where="task 'x'")
    assert options == OnceOptions()
    assert (options.keys, options.timeout_s) == (None, None)
    assert (options.scope, options.on_conflict) == ("until_executed", "raise")
    assert not options.graceful
    assert not options.unlock_before_run


def test_names_of_celery_once_and_ours_are_one() -> None:
    theirs = OnceOptions.parse(
        {"keys": ["a"], "graceful": True, "unlock_before_run": True, "timeout": 60}, where="x"
    )
    ours = OnceOptions.parse(
        {
            "keys": ("a",),
            "on_conflict": "return",
            "scope": "until_executing",
            "timeout": dt.timedelta(minutes=1),
        },
        where="x",
    )
    assert theirs == ours
    assert ours.graceful
    assert ours.unlock_before_run


def test_a_flag_may_repeat_what_the_other_name_says() -> None:
    options = OnceOptions.parse(
        {"graceful": False, "on_conflict": "rerun", "unlock_before_run": False}, where="x"
    )
    assert options.on_conflict is OnConflict.RERUN
    assert options.scope is Scope.UNTIL_EXECUTED


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"gracefull": True}, "task 'x': there is no option 'gracefull'.*did you mean 'graceful'"),
        ({"graceful": 1}, "graceful=1: pass True or False"),
        ({"keys": "a"}, "keys='a': pass a list"),
        ({"keys": [1]}, "pass a list of names"),
        ({"timeout": 0}, "timeout=0: pass seconds over 0"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": math.inf}, "timeout=inf"),
        ({"timeout": "1"}, "timeout='1'"),
        ({"scope": "until_execute"}, "scope='until_execute'.*did you mean 'until_executed'"),
        ({"on_conflict": None}, "on_conflict=None: known are raise, return"),
        ({"scope": "until_expired"}, "needs a timeout"),
        ({"graceful": True, "on_conflict": "rerun"}, "graceful=True contradicts"),
        ({"graceful": False, "on_conflict": "return"}, "graceful=False contradicts"),
        ({"unlock_before_run": True, "scope": "until_executed"}, "unlock_before_run=True contra"),
        ({"unlock_before_run": False, "scope": "until_executing"}, "unlock_before_run=False contr"),
    ],
)
def test_wrong_options_are_named(mapping: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        OnceOptions.parse(mapping, where="task 'x'")


def test_options_must_be_a_mapping() -> None:
    with pytest.raises(ConfigError, match="is not a dict"):
        OnceOptions.parse(True, where="task 'x'")  # type: ignore[arg-type]


def test_one_call_overrides_all_but_keys() -> None:
    options = OnceOptions.parse({"keys": ["a"], "graceful": True, "timeout": 9}, where="x")
    changed = options.override({"graceful": False, "timeout": None, "scope": "while_executing"})
    assert changed == OnceOptions(keys=("a",), scope=Scope.WHILE_EXECUTING)
    assert options.override({}) == options
    with pytest.raises(ConfigError, match="keys cannot be changed for one call"):
        options.override({"keys": ["b"]})


@pytest.mark.parametrize(
    ("before", "flag", "after"),
    [
        ({"on_conflict": "return"}, {"graceful": False}, {"on_conflict": "raise"}),
        ({"on_conflict": "replace"}, {"graceful": False}, {"on_conflict": "replace"}),
        ({"on_conflict": "replace"}, {"graceful": True}, {"on_conflict": "return"}),
        ({"scope": "until_executing"}, {"unlock_before_run": False}, {"scope": "until_executed"}),
        ({"scope": "while_executing"}, {"unlock_before_run": False}, {"scope": "while_executing"}),
        ({"scope": "while_executing"}, {"unlock_before_run": True}, {"scope": "until_executing"}),
    ],
)
def test_flags_over_what_is_there(
    before: dict[str, Any], flag: dict[str, Any], after: dict[str, Any]
) -> None:
    left = OnceOptions.parse(before, where="x").override(flag)
    assert left == OnceOptions.parse(after, where="x")


def test_an_override_cannot_take_the_timeout_from_until_expired() -> None:
    options = OnceOptions.parse({"scope": "until_expired", "timeout": 5}, where="x")
    with pytest.raises(ConfigError, match="needs a timeout"):
        options.override({"timeout": None})


# Keys ---------------------------------------------------------------------------------------------


def test_spellings_of_one_call_share_a_key() -> None:
    assert key(1) == key(a=1) == key(1, 2) == key(1, b=2, c=None)
    assert key(1).startswith("slow_add:")
    assert len(key(1)) == len("slow_add:") + 32


def test_the_key_is_the_same_in_every_process_and_version() -> None:
    assert key(1) == "slow_add:9fa03ea2e390cc0b3a431fcd6188fd00"


class Grade(enum.IntEnum):
    A = 1


class Shade(enum.StrEnum):
    RED = "red"


DISTINCT = [
    1,
    "1",
    1.0,
    True,
    None,
    "None",
    b"1",
    [1],
    ["1"],
    {1},
    frozenset({1}),
    {"1": 1},
    {1: 1},
    {True: 1},
    math.nan,
    "nan",
    math.inf,
    2**70,
    str(2**70),
    Decimal(1),
    Decimal("1.0"),
    complex(1),
    uuid.UUID(int=1),
    str(uuid.UUID(int=1)),
    dt.date(2026, 1, 1),
    "2026-01-01",
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(1),
    {"__rt__": ["set", [1]]},
    {"__rt__": ["tuple", [1]]},
    "\udcff",
    "7bO/",
]


def test_types_tell_calls_apart() -> None:
    assert len({key(value) for value in DISTINCT}) == len(DISTINCT)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: (1,), "1": 2}, {"1": 2, 1: [1]}),
        ({3, 1, 2}, {2, 3, 1}),
        ({"a": {"x", "y", "z"}}, {"a": {"z", "y", "x"}}),
        (math.nan, -math.nan),
        (Grade.A, 1),
        (Shade.RED, "red"),
        ([{1: 2, 3: 4}], ({3: 4, 1: 2},)),
    ],
)
def test_equal_values_share_a_key(left: Any, right: Any) -> None:
    assert key(left) == key(right)


def test_boundaries_between_arguments_hold() -> None:
    assert key("1_b-2", 3) != key("1", "2_b-3")
    assert key(1, 2, 3) != key(1, 2, c=3)
    assert key(1, x=[]) != key(1)


def test_chosen_keys() -> None:
    assert key(1, 5, keys=("a",)) == key(1, 6, keys=("a",)) != key(2, 5, keys=("a",))
    assert key(1, keys=("b",)) == key(2, 2, keys=("b",))
    assert key(1, 5, keys=("a", "b")) == key(1, 5, keys=("b", "a", "a"))
    assert key(1, keys=("a",)) != key(1, 1, keys=("b",))
    assert key(1, keys=()) == key(2, keys=())


def test_members_of_kwargs_may_be_keys() -> None:
    assert key(1, user=7, keys=("user",)) == key(2, user=7, keys=("user",))
    assert key(1, user=7, keys=("user",)) != key(1, keys=("user",))
    assert key(1, user=None, keys=("user",)) != key(1, keys=("user",))
    assert key(1, x=1, keys=("more",)) == key(2, x=1, keys=("more",)) != key(1, keys=("more",))


def test_a_parameter_goes_before_a_member_of_its_name() -> None:
    def odd(a: Any, /, **more: Any) -> Any:
        return a, more

    signature = inspect.signature(odd)
    keys = ("a",)
    left = once_key("odd", signature, (1,), {"a": 2}, keys)
    assert left == once_key("odd", signature, (1,), {"a": 3}, keys)
    assert left != once_key("odd", signature, (2,), {"a": 2}, keys)


def test_two_tasks_never_share_a_key() -> None:
    signature = inspect.signature(strict)
    assert once_key("one", signature, (1,), {}, None) != once_key("two", signature, (1,), {}, None)


def test_arguments_that_do_not_fit_are_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"positional[ -]only"):
        once_key("strict", inspect.signature(strict), (), {"a": 1}, None)


def test_an_argument_that_cannot_be_encoded_is_named() -> None:
    with pytest.raises(CodecError, match=r"once-key cannot be made: a\['x'\] is a .*once="):
        key({"x": object()})
    assert key(1, object(), keys=("a",)) == key(1, keys=("a",))


@pytest.mark.parametrize(
    "check",
    [
        lambda signature: check_keys(signature, ("a", "bb"), "task 'strict'"),
        lambda signature: once_key("strict", signature, (1,), {}, ("bb",)),
    ],
)
def test_an_unknown_key_names_the_parameters(check: Callable[[inspect.Signature], object]) -> None:
    with pytest.raises(ConfigError, match=r"task 'strict': keys has 'bb'.*there are a, b; did you"):
        check(inspect.signature(strict))


def test_keys_that_are_there_pass_the_check() -> None:
    check_keys(inspect.signature(strict), ("a", "b"), "x")
    check_keys(inspect.signature(strict), None, "x")
    check_keys(SIGNATURE, ("anything",), "x")


def test_label() -> None:
    assert once_label("slow_add", SIGNATURE, (1,), {}, ("a",)) == "slow_add(a=1)"
    assert once_label("slow_add", SIGNATURE, (1,), {}, ()) == "slow_add()"
    long = once_label("slow_add", SIGNATURE, ("x" * 1000, "y" * 1000, "z" * 1000), {}, None)
    assert len(long) == 200
    assert long.endswith("…")
