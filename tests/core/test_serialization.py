"""What goes into a codec comes out of it, and what cannot go in is named."""

import copy
import dataclasses
import datetime as dt
import enum
import math
import pickle
import sys
import uuid
import zoneinfo
from collections import namedtuple
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from reliable_tasks import errors
from reliable_tasks.core.codec import canonical_serializer, dumps, dumps_call, loads, loads_call
from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.core.codec.failures import (
    Failure,
    Opaque,
    decode_failure,
    encode_failure,
)
from reliable_tasks.core.codec.tags import TAG
from reliable_tasks.errors import CodecError, ConfigError, RemoteError

TYPED = pytest.mark.parametrize("serializer", ["json", "msgpack"])
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
VALUES: list[Any] = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**70),
    1.0,
    -0.0,
    math.inf,
    -math.inf,
    "",
    "ключ",
    "file\udcff.txt",
    b"\x00\xff",
    (),
    (1, (2, [3])),
    {1, 2},
    frozenset({(1, 2)}),
    {},
    {"a": {"b": [1]}},
    {1: "a", "1": "b", (1, 2): "c", None: "d"},
    {"k\udcff": 1},
    {TAG: ["tuple", [1]]},
    {TAG: None, "x": {TAG: 1}},
    dt.date(2026, 2, 28),
    dt.time(1, 2, 3, 4),
    dt.time(1, 2, fold=1),
    dt.time(1, 2, tzinfo=BERLIN),
    dt.datetime(2026, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001 - naive ones must survive too
    dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=-5, minutes=-30))),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.timedelta(days=-3, microseconds=7),
    Decimal("1.10"),
    Decimal("-Infinity"),
    uuid.UUID(int=7),
    complex(1, -math.inf),
]


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of the same types all the way down."""
    return repr(left) == repr(right) and type(left) is type(right)


@TYPED
@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value)[:40])
def test_value_and_type_survive(serializer: str, value: Any) -> None:
    assert same(loads(dumps(value, serializer), serializer), value)
    call = ((value, [value]), {"x": value})
    assert same(loads_call(dumps_call(*call, serializer), serializer), call)


@TYPED
def test_a_number_too_long_for_decimal_digits_survives(serializer: str) -> None:
    assert loads(dumps(10**5000, serializer), serializer) == 10**5000


@TYPED
def test_fold_survives(serializer: str) -> None:
    moment = dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    back = loads(dumps(moment, serializer), serializer)
    assert (back.fold, back.tzinfo, back.utcoffset()) == (1, BERLIN, dt.timedelta(hours=1))


@TYPED
def test_nan_survives(serializer: str) -> None:
    assert math.isnan(loads(dumps(math.nan, serializer), serializer))
    back = loads(dumps(complex(math.nan, 1), serializer), serializer)
    assert math.isnan(back.real)
    assert back.imag == 1


def test_plain_values_are_plain_json() -> None:
    assert dumps({"a": [1, "x", 2.5, None, True]}) == b'{"a":[1,"x",2.5,null,true]}'
    assert dumps_call((1, "a"), {"b": 2}) == b'[[1,"a"],{"b":2}]'


def test_msgpack_carries_bytes_as_bytes() -> None:
    blob = bytes(range(256)) * 8
    assert blob in dumps(blob, "msgpack")


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


class Plain(enum.Enum):
    ONE = 1


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __json__(self) -> Any:
        return {"cents": self.cents, "pair": (1, 2)}


class Sig(dict[str, Any]):
    """As signatures are."""


Point = namedtuple("Point", "x y")  # noqa: PYI024 - the untyped kind must work as well


@TYPED
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 9),
        (Money(5), {"cents": 5, "pair": (1, 2)}),
        (Sig(task="a", args=(1,)), {"task": "a", "args": (1,)}),
        (Point(1, 2), (1, 2)),
        ({Colour.RED: Level.HIGH}, {"red": 9}),
    ],
)
def test_kinds_of_plain_values_become_plain(serializer: str, value: Any, plain: Any) -> None:
    assert same(loads(dumps([value], serializer), serializer), [plain])


@dataclasses.dataclass
class Order:
    id: int


class Row(msgspec.Struct):
    id: int


@TYPED
@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1, {"x": object()}), {}, "args[1]['x'] is a builtins.object"),
        ((), {"order": [Order(1)]}, "kwargs['order'][0] is a .*Order, .*to_builtins"),
        (({"r": Row(1)},), {}, "args[0]['r'] is a .*Row, .*__json__"),
        ((Plain.ONE,), {}, "args[0] is a .*Plain, .*pass its .value"),
        (({1: (object,)},), {}, "args[0][1][0] is a builtins.type"),
    ],
)
def test_unencodable_names_path_type_and_remedy(
    serializer: str, args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    pattern = words.replace("[", r"\[").replace("]", r"\]")
    with pytest.raises(CodecError, match=pattern):
        dumps_call(args, kwargs, serializer)


@TYPED
def test_a_value_that_contains_itself_is_refused(serializer: str) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CodecError, match="contains itself"):
        dumps(loop, serializer)
    with pytest.raises(CodecError, match="contains itself"):
        dumps_call((loop,), {}, serializer)


@pytest.mark.parametrize(
    "body",
    [
        b'{"__rt__":["later",1]}',
        b'{"__rt__":["tuple",[1]],"x":1}',
        b'{"__rt__":[]}',
        b'{"__rt__":[["tuple"],1]}',
        b'{"__rt__":["uuid","no"]}',
        b'{"__rt__":["decimal","no"]}',
        b'{"__rt__":["set",[[1]]]}',
        b'{"__rt__":["date"]}',
        b'{"__rt__":["datetime","2026-01-01T00:00:00",0,"Not/AZone"]}',
        b"{",
        b'"\xff"',
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_not_ours_are_a_codec_error(body: bytes) -> None:
    with pytest.raises(CodecError):
        loads(body)


@pytest.mark.parametrize("body", [b"1", b"[[1]]", b'["ab",{}]', b"[[],[]]"])
def test_bytes_that_are_not_a_call_are_a_codec_error(body: bytes) -> None:
    with pytest.raises(CodecError, match="not the arguments of a call"):
        loads_call(body)


def test_serializers_go_by_content_type_too() -> None:
    assert canonical_serializer("application/x-msgpack") == "msgpack"
    assert loads(dumps((1,), "application/json"), "json", ["application/json"]) == (1,)
    with pytest.raises(ConfigError, match="did you mean 'msgpack'"):
        dumps(1, "msgpak")


@pytest.mark.parametrize("name", ["pickle", "application/x-python-serialize", "yaml"])
def test_what_runs_code_is_neither_written_nor_read(name: str) -> None:
    with pytest.raises(ConfigError, match="whoever can write to the store run code"):
        dumps(1, name)
    with pytest.raises(ConfigError, match="keep Python's types"):
        loads_call(pickle.dumps(((), {})), name, {name})
    with pytest.raises(CodecError, match="json, which is not accepted"):
        loads(b"1", "json", {"msgpack"})
    with pytest.raises(CodecError) as caught:
        dumps(object())
    assert "pickle" not in str(caught.value)


# Exceptions ---------------------------------------------------------------------------------------


class TooPoorError(Exception):
    __module__ = "elsewhere"

    def __init__(self, need: int, have: int) -> None:
        super().__init__(need, have)
        self.need = need

    def __str__(self) -> str:
        return f"needs {self.args[0]}, has {self.args[1]}"


class ForgetfulError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


def through(exc: BaseException, safe: SafeExceptions, text: str = "") -> BaseException:
    return safe.rebuild(decode_failure(encode_failure(exc, text)))


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("a", (1, 2)),
        KeyError("k"),
        FileNotFoundError(2, "No such file", "/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        errors.AlreadyQueued(1.5, "id", "key"),
        errors.TimeoutError("late"),
        errors.Reject("no", requeue=True),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_known_exceptions_come_back_as_themselves(exc: BaseException) -> None:
    back = through(exc, SafeExceptions(), "Traceback …")
    assert type(back) is type(exc)
    assert (str(back), back.args) == (str(exc), exc.args)
    assert vars(back)["remote_traceback"] == "Traceback …"


def test_a_class_that_is_not_registered_gets_a_stand_in() -> None:
    safe = SafeExceptions()
    back = through(TooPoorError(5, 3), safe)
    assert isinstance(back, RemoteError)
    assert str(back) == back.message == "needs 5, has 3"
    assert back.args == (5, 3)
    assert type(back).__qualname__ == "TooPoorError"
    assert type(back).__module__ == TooPoorError.__module__
    assert back.remote_type == f"{TooPoorError.__module__}.TooPoorError"
    assert type(through(TooPoorError(1, 0), safe)) is type(back)


def test_a_registered_class_is_rebuilt() -> None:
    safe = SafeExceptions()
    assert safe.register(TooPoorError) is TooPoorError
    back = through(TooPoorError(5, 3), safe)
    assert isinstance(back, TooPoorError)
    assert back.need == 5


def test_a_registered_class_that_refuses_its_args_is_made_without_being_called() -> None:
    safe = SafeExceptions()
    safe.register(ForgetfulError)
    back = through(ForgetfulError(7), safe)
    assert type(back) is ForgetfulError
    assert (str(back), back.code, back.args) == ("code 7", 7, ())


def test_nothing_is_imported_because_a_failure_names_it() -> None:
    assert "zipapp" not in sys.modules
    back = SafeExceptions().rebuild(Failure(type="ZipAppError", module="zipapp", message="boo"))
    assert isinstance(back, RemoteError)
    assert str(back) == "boo"
    (note,) = back.__notes__
    assert note == (
        "(This is a stand-in for zipapp.ZipAppError, so `except` does not catch it as that: zipapp "
        "is not imported here; import it where the result is asked for.)"
    )
    assert "zipapp" not in sys.modules


def test_only_exception_classes_can_be_registered() -> None:
    with pytest.raises(ConfigError, match="not an exception class"):
        SafeExceptions().register(int)  # type: ignore[type-var]


@pytest.mark.parametrize("copier", [copy.copy, lambda exc: pickle.loads(pickle.dumps(exc))])
def test_a_stand_in_can_be_copied(copier: Any) -> None:
    back = through(TooPoorError(5, 3), SafeExceptions())
    again = copier(back)
    assert type(again) is type(back)
    assert (str(again), again.args) == (str(back), back.args)


def test_causes_come_along_to_a_depth_of_five() -> None:
    exc: BaseException = ValueError(0)
    for number in range(1, 9):
        outer = ValueError(number)
        outer.__cause__ = exc
        exc = outer
    found = []
    back: BaseException | None = through(exc, SafeExceptions())
    while back is not None:
        found.append(back.args[0])
        back = back.__cause__
    assert found == [8, 7, 6, 5, 4, 3]


def test_texts_are_cut_with_a_mark() -> None:
    failure = decode_failure(encode_failure(ValueError("x" * 100_000), "t" * 100_000))
    assert failure.message.startswith("xxx")
    assert failure.message.endswith("… [34464 characters cut]")
    assert failure.traceback.endswith("… [34464 characters cut]")
    (arg,) = failure.args
    assert isinstance(arg, Opaque)
    assert len(arg.text) < 66_000


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_an_exception_that_cannot_even_be_shown_is_encoded() -> None:
    failure = decode_failure(encode_failure(MuteError(MuteError(), object())))
    assert failure.message == "<MuteError whose str() raised RuntimeError>"
    opaque = failure.args[1]
    assert isinstance(opaque, Opaque)
    assert opaque.text.startswith("<object object")


@pytest.mark.parametrize("body", [b"1", b"{}", b'{"cause":null,"args":[1]}', b"no"])
def test_bytes_that_are_not_a_failure_are_a_codec_error(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode_failure(body)


def test_a_name_that_no_class_can_have_still_gets_a_stand_in() -> None:
    back = SafeExceptions().rebuild(Failure(type="a.<locals>.Odd", module="m", message="odd"))
    assert (type(back).__name__, type(back).__qualname__) == ("Odd", "a.<locals>.Odd")
