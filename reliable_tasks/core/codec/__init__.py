"""Codecs: how arguments and results become bytes and come back as what they were.

JSON (the default) and MessagePack keep Python's own types along the way, see
`reliable_tasks.core.codec.tags`.
There is no pickle, which runs whatever its bytes say.
"""

from collections.abc import Callable, Collection
from typing import Any, Protocol

import msgspec

from reliable_tasks.core.codec.tags import (
    TAG,
    TOO_DEEP,
    UnencodableError,
    is_plain,
    tag,
    tag_dict,
    tag_items,
    trail_in,
    untag,
)
from reliable_tasks.errors import CodecError, ConfigError, suggest

__all__ = [
    "DEFAULT_ACCEPT",
    "NO_UNSAFE",
    "SERIALIZERS",
    "UNSAFE",
    "call_decoder",
    "canonical_serializer",
    "dumps",
    "dumps_call",
    "encoder",
    "loads",
    "loads_call",
    "trail_of",
]

SERIALIZERS = ("json", "msgpack")
DEFAULT_ACCEPT = frozenset({"json", "msgpack"})

_ALIASES = {
    "application/json": "json",
    "application/x-msgpack": "msgpack",
}
UNSAFE = frozenset(
    {
        "pickle",
        "yaml",
        "application/x-python-serialize",
        "application/x-yaml",
        "application/yaml",
    }
)
"""Celery's serializers that run code of whoever has written the bytes: they are not here."""
NO_UNSAFE = (
    "it would let whoever can write to the store run code, so it is not here; 'json' and 'msgpack' "
    "keep Python's types (tuples, sets, dates, decimals, …), and a class may have a __json__ method"
)
_TAG_BYTES = TAG.encode()
_Call = tuple[tuple[Any, ...], dict[str, Any]]


# Codecs ------------------------------------------------------------------------------------------


class _Codec(Protocol):
    name: str

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...

    def dumps_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes: ...

    def loads_call(self, data: bytes) -> _Call: ...


class _TaggedCodec:
    """A format of msgspec with tags for what the format lacks."""

    def __init__(
        self,
        name: str,
        form: Any,
        *,
        raw: bool,
    ) -> None:
        self.name = name
        self._encode: Callable[[Any], bytes] = form.Encoder().encode
        self._decode: Callable[[bytes], Any] = form.Decoder().decode
        self._decode_call: Callable[[bytes], _Call] = form.Decoder(_Call).decode
        self._raw = raw

    def dumps(self, value: Any) -> bytes:
        try:
            return self._encode(value if is_plain(value) else self._tag(value))
        except UnicodeEncodeError:  # a lone surrogate in a plain value: its tagged form has none
            return self._encode(self._tag(value))
        except UnencodableError as error:
            raise CodecError(error.tell("value")) from None
        except RecursionError:
            raise CodecError(f"value {TOO_DEEP}") from None

    def dumps_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            if all(map(is_plain, args)) and is_plain(kwargs):
                return self._encode((args, kwargs))
            return self._encode(self._tag_call((args, kwargs)))
        except UnicodeEncodeError:  # see above
            return self._encode(self._tag_call((args, kwargs)))
        except RecursionError:
            raise CodecError(f"one of the arguments {TOO_DEEP}") from None

    def _tag(self, value: Any) -> Any:
        return tag(value, self._raw)

    def _tag_call(self, call: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[Any, Any]:
        return self._part(call[0], "args"), self._part(call[1], "kwargs")

    def _part(self, part: Any, root: str) -> Any:
        try:
            return tag_items(part, self._raw) if root == "args" else tag_dict(part, self._raw)
        except UnencodableError as error:
            raise CodecError(error.tell(root)) from None

    def loads(self, data: bytes) -> Any:
        try:
            value = self._decode(data)
            return value if data.find(_TAG_BYTES) < 0 else untag(value)  # thrice as fast as `in`
        except CodecError:
            raise
        except RecursionError:
            raise CodecError(f"the value in these {len(data)} bytes {TOO_DEEP}") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise CodecError(f"these {len(data)} bytes are not {self.name}: {error}") from error

    def loads_call(self, data: bytes) -> _Call:
        if data.find(_TAG_BYTES) < 0:
            try:
                return self._decode_call(data)
            except (msgspec.DecodeError, RecursionError, ValueError):
                call = None  # `loads` says what is wrong
        call = self.loads(data)
        if isinstance(call, list | tuple) and len(call) == 2:  # noqa: PLR2004 - args and kwargs
            args, kwargs = call
            if isinstance(args, list | tuple) and isinstance(kwargs, dict):
                return tuple(args), kwargs
        raise CodecError(f"these {len(data)} bytes are not the arguments of a call")


_CODECS: dict[str, _Codec] = {
    "json": _TaggedCodec("json", msgspec.json, raw=False),
    "msgpack": _TaggedCodec("msgpack", msgspec.msgpack, raw=True),
}


def canonical_serializer(name: str) -> str:
    """The name in `SERIALIZERS` for `name`, which may be one of Celery's content types.

    Raises:
        ConfigError: there is no such serializer.
    """
    known = _ALIASES.get(name, name) if isinstance(name, str) else ""
    if isinstance(name, str) and name in UNSAFE:
        raise ConfigError(f"serializer={name!r}: {NO_UNSAFE}")
    if known not in _CODECS:
        raise ConfigError(
            f"there is no serializer {name!r}; known are {', '.join(SERIALIZERS)}"
            + suggest(str(name), [*SERIALIZERS, *_ALIASES])
        )
    return known


def _codec(serializer: str) -> _Codec:
    return _CODECS.get(serializer) or _CODECS[canonical_serializer(serializer)]


def _accepted(serializer: str, accept: Collection[str]) -> _Codec:
    codec = _codec(serializer)
    if codec.name not in accept and codec.name not in map(canonical_serializer, accept):
        raise CodecError(
            f"this was written with {codec.name}, which is not accepted here (accepted: "
            f"{', '.join(sorted(accept)) or 'nothing'}); add it to accept_content"
        )
    return codec


def dumps(value: Any, serializer: str = "json") -> bytes:
    """Encode one value, such as a result.

    Raises:
        CodecError: something in it cannot be encoded; the message says where it is and what to do.
        ConfigError: there is no such serializer.
    """
    return _codec(serializer).dumps(value)


def loads(data: bytes, serializer: str = "json", accept: Collection[str] = DEFAULT_ACCEPT) -> Any:
    """Decode what `dumps` returned.

    Raises:
        CodecError: the serializer is not in `accept`, or the bytes are not its.
        ConfigError: there is no such serializer.
    """
    return _accepted(serializer, accept).loads(data)


def trail_of(data: bytes) -> list[Any]:
    """The trail of a result that was `tags.Trailed`; empty where it was not, whatever wrote it."""
    if b"trail" not in data or _TAG_BYTES not in data:
        return []
    name = "json" if data.startswith(b"{") else "msgpack"
    decode = msgspec.json.decode if name == "json" else msgspec.msgpack.decode
    try:
        return trail_in(decode(data))
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise CodecError(f"these {len(data)} bytes are not {name}: {error}") from error


def dumps_call(args: tuple[Any, ...], kwargs: dict[str, Any], serializer: str = "json") -> bytes:
    """Encode the arguments of one call. Raises as `dumps` does."""
    return _codec(serializer).dumps_call(args, kwargs)


def loads_call(
    data: bytes, serializer: str = "json", accept: Collection[str] = DEFAULT_ACCEPT
) -> _Call:
    """Decode what `dumps_call` returned. Raises as `loads` does."""
    return _accepted(serializer, accept).loads_call(data)


def encoder(serializer: str) -> Callable[[Any], bytes]:
    """`dumps` for many values of one serializer."""
    return _codec(serializer).dumps


def call_decoder(serializer: str, accept: Collection[str]) -> Callable[[bytes], _Call]:
    """`loads_call` for many calls of one serializer, which raises if that is not accepted."""
    return _accepted(serializer, accept).loads_call
