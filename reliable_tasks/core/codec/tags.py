"""Tags: how JSON and MessagePack carry the Python values that they have no form for.

Both carry only dictionaries with text keys, lists, text, numbers, true, false and nothing; such a
value is plain. Anything else travels as a tag, a dictionary whose one key is `TAG`:
`{"__rt__": ["tuple", [1, 2]]}`. A user's own dictionary that has this key is itself tagged, as a
list of pairs, so on the wire every `TAG` is a tag.

A value of a subclass (a member of an `IntEnum`, a `NamedTuple`) travels as the type that it is a
kind of: whoever reads the bytes never imports a class because they name it, so nothing could make
it again, and programs that come from Celery rely on its number or its text being taken.
"""

import base64
import datetime as dt
import enum
import uuid
import zoneinfo
from collections.abc import Callable, Coroutine, Iterable, Mapping
from decimal import Decimal
from types import NoneType
from typing import Any

import msgspec

from reliable_tasks.errors import CodecError

__all__ = [
    "TAG",
    "TOO_DEEP",
    "Trailed",
    "UnencodableError",
    "is_plain",
    "tag",
    "tag_dict",
    "tag_items",
    "tagged",
    "trail_in",
    "untag",
]

TAG = "__rt__"
_TRAIL = "trail"
TOO_DEEP = "is nested too deeply, or contains itself"

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1  # beyond these msgspec refuses or rounds


# Which values need no tag ------------------------------------------------------------------------

_ATOMS = frozenset({str, bool, NoneType})
_TEXT_ONLY = frozenset({str})


def is_plain(value: object) -> bool:
    """Whether `value` needs no tag anywhere. Lone surrogates in its text are not looked for."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is int:
        return _INT_MIN <= value <= _INT_MAX  # type: ignore[operator] # it is one
    check = _PLAIN_CHECKS.get(kind)
    return check is not None and check(value)


def _is_plain_dict(value: dict[Any, Any]) -> bool:
    return (
        _TEXT_ONLY.issuperset(map(type, value))
        and TAG not in value
        and all(map(is_plain, value.values()))
    )


_PLAIN_CHECKS: dict[type, Callable[[Any], bool]] = {
    float: lambda value: value - value == 0.0,  # neither an infinity nor a NaN
    list: lambda value: all(map(is_plain, value)),
    dict: _is_plain_dict,
}


# Tagging -----------------------------------------------------------------------------------------


class Trailed:
    """A result with the trail of what its body sent; it is decoded as the value alone."""

    def __init__(self, value: Any, trail: list[Any]) -> None:
        self.value = value
        self.trail = trail


class UnencodableError(Exception):
    """Carries a value that cannot be encoded outwards; each container adds its step of the path."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.steps: list[str] = []

    def tell(self, root: str) -> str:
        """The sentence for the user: where the value is (from `root`), its type and the remedy."""
        kind = type(self.value)
        path = root + "".join(reversed(self.steps))
        return f"{path} is a {kind.__module__}.{kind.__qualname__}, {_remedy(self.value)}"


def _remedy(value: object) -> str:
    if isinstance(value, enum.Enum):
        return "an enum whose members are neither text nor integers: pass its .value"
    if isinstance(value, msgspec.Struct) or hasattr(value, "__dataclass_fields__"):
        return (
            "which is not encoded as such: declare the task with msgspec=True, pass "
            "msgspec.to_builtins(it), or give the class a __json__ method that returns plain values"
        )
    if hasattr(value, "model_dump"):
        return (
            "which is not encoded as such: declare the task with pydantic=True and annotate the "
            "argument, or pass its .model_dump(mode='json')"
        )
    if isinstance(value, Coroutine):
        return (
            "which nobody has awaited: make the body an `async def` (and a __call__ of the task's "
            "own, too), or return what it comes to"
        )
    return (
        "which cannot be encoded: pass plain values (such as its id), or give the class a __json__ "
        "method that returns them"
    )


def tag(value: Any, raw: bool) -> Any:
    """The tagged form of any value; with `raw`, bytes stay bytes (MessagePack carries them).

    Raises:
        UnencodableError: it, or something in it, has no such form.
    """
    encoder = _ENCODERS.get(type(value)) or _encoder_of_kin(value)
    return encoder(value, raw)


def _encoder_of_kin(value: Any) -> Callable[[Any, bool], Any]:
    if callable(getattr(type(value), "__json__", None)):
        return lambda custom, raw: tag(custom.__json__(), raw)
    for base, encoder in _ENCODERS.items():
        if isinstance(value, base):
            return encoder
    raise UnencodableError(value)


def tag_items(values: Iterable[Any], raw: bool) -> list[Any]:
    """The tagged forms of `values`, in order."""
    out = []
    for index, item in enumerate(values):
        try:
            out.append(tag(item, raw))
        except UnencodableError as error:
            error.steps.append(f"[{index}]")
            raise
    return out


def tag_dict(value: Mapping[Any, Any], raw: bool) -> dict[str, Any]:
    """The tagged form of a dictionary: itself if its keys allow it, else pairs."""
    pairs = []
    textual = True
    for key, item in value.items():
        try:
            name = tag(key, raw)
            pairs.append([name, tag(item, raw)])
        except UnencodableError as error:
            error.steps.append(f"[{key!r}]")
            raise
        textual = textual and type(name) is str and name != TAG
    return dict(pairs) if textual else {TAG: ["dict", pairs]}


def _tag_str(value: str, _raw: bool) -> Any:
    text = str.__str__(value)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, as in names of files that are not UTF-8
        return {TAG: ["str", base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()]}
    return text


def _tag_int(value: int, _raw: bool) -> Any:
    number = int.__int__(value)
    # Hexadecimal, because Python refuses to convert very long decimal digits.
    return number if _INT_MIN <= number <= _INT_MAX else {TAG: ["int", f"{number:x}"]}


def _tag_float(value: float, _raw: bool) -> Any:
    number = float.__float__(value)
    return number if number - number == 0.0 else {TAG: ["float", repr(number)]}


def _tag_bytes(value: bytes, raw: bool) -> Any:
    return {TAG: ["bytes", bytes(value) if raw else base64.b64encode(value).decode()]}


def _tag_clock(name: str, value: dt.datetime | dt.time) -> Any:
    zone = value.tzinfo.key if isinstance(value.tzinfo, zoneinfo.ZoneInfo) else None
    if zone is not None:
        return {TAG: [name, value.replace(tzinfo=None).isoformat(), value.fold, zone]}
    if value.tzinfo is not None and value.utcoffset() is None:
        raise UnencodableError(value.tzinfo)
    return {TAG: [name, value.isoformat(), value.fold]}


def _restore_clock(kind: Any) -> Callable[..., Any]:
    def restore(text: str, fold: int, zone: str | None = None) -> Any:
        value = kind.fromisoformat(text).replace(fold=fold)
        return value if zone is None else value.replace(tzinfo=zoneinfo.ZoneInfo(zone))

    return restore


# The order matters for subclasses: a datetime is a date.
_ENCODERS: dict[type, Callable[[Any, bool], Any]] = {
    str: _tag_str,
    bool: lambda value, _raw: value,
    NoneType: lambda _value, _raw: None,
    int: _tag_int,
    float: _tag_float,
    list: tag_items,
    dict: tag_dict,
    tuple: lambda value, raw: {TAG: ["tuple", tag_items(value, raw)]},
    set: lambda value, raw: {TAG: ["set", tag_items(value, raw)]},
    frozenset: lambda value, raw: {TAG: ["frozenset", tag_items(value, raw)]},
    bytes: _tag_bytes,
    dt.datetime: lambda value, _raw: _tag_clock("datetime", value),
    dt.date: lambda value, _raw: {TAG: ["date", value.isoformat()]},
    dt.time: lambda value, _raw: _tag_clock("time", value),
    dt.timedelta: lambda value, _raw: {
        TAG: ["timedelta", value.days, value.seconds, value.microseconds]
    },
    Decimal: lambda value, _raw: {TAG: ["decimal", str(value)]},
    uuid.UUID: lambda value, _raw: {TAG: ["uuid", value.hex]},
    complex: lambda value, _raw: {TAG: ["complex", repr(value.real), repr(value.imag)]},
    Trailed: lambda value, raw: {TAG: [_TRAIL, tag(value.value, raw), value.trail]},
}

_DECODERS: dict[str, Callable[..., Any]] = {
    "str": lambda text: base64.b64decode(text).decode("utf-8", "surrogatepass"),
    "int": lambda text: int(text, 16),
    "float": float,
    "dict": lambda pairs: {untag(key): untag(item) for key, item in pairs},
    "tuple": lambda items: tuple(map(untag, items)),
    "set": lambda items: set(map(untag, items)),
    "frozenset": lambda items: frozenset(map(untag, items)),
    "bytes": lambda data: data if isinstance(data, bytes) else base64.b64decode(data),
    "datetime": _restore_clock(dt.datetime),
    "date": dt.date.fromisoformat,
    "time": _restore_clock(dt.time),
    "timedelta": dt.timedelta,
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "complex": lambda real, imag: complex(float(real), float(imag)),
    _TRAIL: lambda value, _trail: untag(value),
}


def untag(value: Any) -> Any:
    """What was tagged.

    Raises:
        CodecError: a tag is not known or malformed.
    """
    kind = type(value)
    if kind is list:
        return [untag(item) for item in value]
    if kind is not dict:
        return value
    if TAG not in value:
        return {key: untag(item) for key, item in value.items()}
    return _restore(value)


def trail_in(value: Any) -> list[Any]:
    """The trail of a decoded value that was `Trailed`; empty for any other."""
    body = value.get(TAG) if type(value) is dict else None
    if type(body) is list and len(body) == 3 and body[0] == _TRAIL and type(body[2]) is list:  # noqa: PLR2004
        return body[2]
    return []


def _restore(form: dict[str, Any]) -> Any:
    body = form[TAG]
    if len(form) != 1 or type(body) is not list or not body:
        raise CodecError(f"the key {TAG!r} stands where no tag of ours can be: {str(form)[:100]}")
    decoder = _DECODERS.get(body[0]) if isinstance(body[0], str) else None
    if decoder is None:
        raise CodecError(
            f"the tag {body[0]!r} is not known here; bytes of a newer reliable_tasks need that "
            "version to read them"
        )
    try:
        return decoder(*body[1:])
    except CodecError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CodecError(f"the tag {body[0]!r} holds no such value: {error}") from error


def tagged(value: Any, path: str = "value") -> Any:
    """The form in which JSON carries `value`: plain values and tags; `path` names it in errors.

    Raises:
        CodecError: it cannot be encoded.
    """
    try:
        return tag(value, raw=False)
    except UnencodableError as error:
        raise CodecError(error.tell(path)) from None
    except RecursionError:
        raise CodecError(f"{path} {TOO_DEEP}") from None
