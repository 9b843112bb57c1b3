"""Codecs: how arguments, results and exceptions become bytes and come back as what they were.

JSON (the default) and MessagePack keep Python's own types along the way, see `reliable_tasks.tags`.
Pickle runs whatever its bytes say, so it is decoded only where `accept` names it.
"""

import builtins
import contextlib
import pickle
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import msgspec

from . import errors
from .errors import CodecError, ConfigError, suggest
from .tags import TAG, TOO_DEEP, UnencodableError, is_plain, tag, tag_dict, tag_items, untag

__all__ = [
    "DEFAULT_ACCEPT",
    "SERIALIZERS",
    "Failure",
    "Opaque",
    "SafeExceptions",
    "canonical_serializer",
    "decode_failure",
    "dumps",
    "dumps_call",
    "encode_failure",
    "loads",
    "loads_call",
]

SERIALIZERS = ("json", "msgpack", "pickle")
DEFAULT_ACCEPT = frozenset({"json", "msgpack"})

_ALIASES = {
    "application/json": "json",
    "application/x-msgpack": "msgpack",
    "application/x-python-serialize": "pickle",
}
_TAG_BYTES = TAG.encode()


# Codecs ------------------------------------------------------------------------------------------


class _Codec(Protocol):
    name: str

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...

    def dumps_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes: ...


class _TaggedCodec:
    """A format of msgspec with tags for what the format lacks."""

    def __init__(
        self,
        name: str,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        *,
        raw: bool,
    ) -> None:
        self.name = name
        self._encode = encode
        self._decode = decode
        self._raw = raw

    def dumps(self, value: Any) -> bytes:
        try:
            return self._write(value if is_plain(value) else self._tag(value), self._tag)
        except UnencodableError as error:
            raise CodecError(error.tell("value")) from None
        except RecursionError:
            raise CodecError(f"value {TOO_DEEP}") from None

    def dumps_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            if all(map(is_plain, args)) and is_plain(kwargs):
                return self._write((args, kwargs), self._tag_call)
            return self._encode(self._tag_call((args, kwargs)))
        except RecursionError:
            raise CodecError(f"one of the arguments {TOO_DEEP}") from None

    def _write(self, value: Any, tagging: Callable[[Any], Any]) -> bytes:
        try:
            return self._encode(value)
        except UnicodeEncodeError:  # a lone surrogate in a plain value: its tagged form has none
            return self._encode(tagging(value))

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
            return untag(value) if _TAG_BYTES in data else value
        except CodecError:
            raise
        except RecursionError:
            raise CodecError(f"the value in these {len(data)} bytes {TOO_DEEP}") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise CodecError(f"these {len(data)} bytes are not {self.name}: {error}") from error


class _PickleCodec:
    name = "pickle"

    def dumps(self, value: Any) -> bytes:
        try:
            return pickle.dumps(value, protocol=5)
        except Exception as error:  # a class's own __reduce__ may raise anything
            raise CodecError(f"value cannot be pickled: {error}") from error

    def dumps_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self.dumps((args, kwargs))

    def loads(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)  # noqa: S301 - only reached where `accept` names pickle
        except Exception as error:  # unpickling runs the classes' own code
            raise CodecError(f"these {len(data)} bytes cannot be unpickled: {error}") from error


_CODECS: dict[str, _Codec] = {
    "json": _TaggedCodec("json", msgspec.json.Encoder().encode, msgspec.json.decode, raw=False),
    "msgpack": _TaggedCodec(
        "msgpack", msgspec.msgpack.Encoder().encode, msgspec.msgpack.decode, raw=True
    ),
    "pickle": _PickleCodec(),
}


def canonical_serializer(name: str) -> str:
    """The name in `SERIALIZERS` for `name`, which may be one of Celery's content types.

    Raises:
        ConfigError: there is no such serializer.
    """
    known = _ALIASES.get(name, name) if isinstance(name, str) else ""
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
            + (" if everyone who can write to the store is trusted" * (codec.name == "pickle"))
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
    """Decode what `dumps` gave.

    Raises:
        CodecError: the serializer is not in `accept`, or the bytes are not its.
        ConfigError: there is no such serializer.
    """
    return _accepted(serializer, accept).loads(data)


def dumps_call(args: tuple[Any, ...], kwargs: dict[str, Any], serializer: str = "json") -> bytes:
    """Encode the arguments of one call. Raises as `dumps` does."""
    return _codec(serializer).dumps_call(args, kwargs)


def loads_call(
    data: bytes, serializer: str = "json", accept: Collection[str] = DEFAULT_ACCEPT
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Decode what `dumps_call` gave. Raises as `loads` does."""
    call = _accepted(serializer, accept).loads(data)
    if isinstance(call, list | tuple) and len(call) == 2:  # noqa: PLR2004 - args and kwargs
        args, kwargs = call
        if isinstance(args, list | tuple) and isinstance(kwargs, dict):
            return tuple(args), kwargs
    raise CodecError(f"these {len(data)} bytes are not the arguments of a call")


# Exceptions --------------------------------------------------------------------------------------

_MAX_TEXT = 65_536
_MAX_CAUSES = 5
_MAX_FAILURE = 2**20


class Opaque(msgspec.Struct, frozen=True):
    """Stands for an argument that could not be encoded; `text` is its repr."""

    text: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An exception as a value.

    Attributes:
        type: qualified name of its class.
        module: module of its class.
        message: what `str()` gave; cut, with a mark, after 65 536 characters, as are all its texts.
        args: its arguments; an `Opaque` for each that could not be encoded.
        traceback: the formatted traceback.
        cause: its `__cause__`, at most five deep.
    """

    type: str
    module: str
    message: str = ""
    args: tuple[Any, ...] = ()
    traceback: str = ""
    cause: "Failure | None" = None


def _text_of(render: Callable[[Any], str], value: object) -> str:
    try:
        text = render(value)
    except BaseException as error:  # noqa: BLE001 - a broken __str__ must not hide the failure itself
        kind, said = type(value).__qualname__, type(error).__name__
        return f"<{kind} whose {render.__name__}() raised {said}>"
    return _cut(text)


def _cut(text: str) -> str:
    lost = len(text) - _MAX_TEXT
    return text if lost <= 0 else f"{text[:_MAX_TEXT]}… [{lost} characters cut]"


def _encoded_arg(value: object) -> list[Any]:
    try:
        fits = len(dumps(value)) <= _MAX_TEXT
    except BaseException:  # noqa: BLE001 - a user's __json__ may raise anything; the repr remains
        fits = False
    return [True, value] if fits else [False, _text_of(repr, value)]


def _bare(exc: BaseException, traceback: str) -> dict[str, Any]:
    kind, said = type(exc), {"message": _text_of(str, exc), "traceback": _cut(traceback)}
    return {"type": kind.__qualname__, "module": kind.__module__, **said, "args": [], "cause": None}


def _failure_fields(exc: BaseException, traceback: str, depth: int) -> dict[str, Any]:
    # An OSError keeps its file names out of `args`; its __reduce__ has the constructor's arguments.
    reduced = exc.__reduce__()[1] if isinstance(exc, OSError) else exc.args
    args = reduced if isinstance(reduced, tuple) else exc.args
    cause = exc.__cause__
    return {
        **_bare(exc, traceback),
        "args": [_encoded_arg(arg) for arg in args],
        "cause": _failure_fields(cause, "", depth - 1) if cause is not None and depth else None,
    }


def encode_failure(exc: BaseException, traceback_text: str = "") -> bytes:
    """Encode an exception, with the traceback as the caller formatted it. Never refuses one."""
    try:
        data = dumps(_failure_fields(exc, traceback_text, _MAX_CAUSES))
        return data if len(data) <= _MAX_FAILURE else dumps(_bare(exc, traceback_text))
    except BaseException:  # noqa: BLE001 - its own args, __reduce__ or __cause__ may raise anything
        return dumps(_bare(exc, traceback_text))


def decode_failure(data: bytes) -> Failure:
    """Decode what `encode_failure` gave.

    Raises:
        CodecError: these bytes are not a failure.
    """
    try:
        return _failure(loads(data))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CodecError(f"these {len(data)} bytes are not a failure: {error}") from error


def _failure(fields: dict[str, Any]) -> Failure:
    cause = fields.pop("cause")
    args = tuple(value if plain else Opaque(value) for plain, value in fields.pop("args"))
    return Failure(**fields, args=args, cause=None if cause is None else _failure(cause))


# Rebuilding them ---------------------------------------------------------------------------------

_E = TypeVar("_E", bound=type[BaseException])


class _StandIn(errors.RemoteError):
    """Says and pickles as the exception it stands for."""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        return _stand_in, (kind.__module__, kind.__qualname__, self.args, self.message)


@lru_cache(maxsize=1024)
def _stand_in_class(module: str, qualname: str) -> type[_StandIn]:
    remote_type = f"{module}.{qualname}"
    return type(
        qualname.rpartition(".")[2],
        (_StandIn,),
        {
            "__doc__": f"Stands in for {remote_type}, which is not registered here.",
            "__module__": module,
            "__qualname__": qualname,
            "remote_type": remote_type,
        },
    )


def _stand_in(module: str, qualname: str, args: tuple[Any, ...], message: str) -> BaseException:
    exc = _stand_in_class(module, qualname)(*args)
    exc.message = message
    return exc


class SafeExceptions:
    """The exception classes that may be rebuilt from a `Failure`.

    At first the built-in ones and those of `reliable_tasks.errors`. A class is only ever looked up
    here, by module and qualified name; nothing is imported because a failure names it.
    """

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], type[BaseException]] = {}
        for module in (builtins, errors):
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Exception):
                    self.register(value)

    def register(self, cls: _E) -> _E:
        """Let `cls` be rebuilt: called with the original's `args`. Usable as a decorator.

        Raises:
            ConfigError: it is not an exception class.
        """
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ConfigError(f"{cls!r} is not an exception class, so it cannot be registered")
        self._classes[cls.__module__, cls.__qualname__] = cls
        return cls

    def rebuild(self, failure: Failure) -> BaseException:
        """The exception: of its own class if that is registered and takes its args back.

        Otherwise a stand-in, a `RemoteError` that has the original's names, args and text. Either
        has `__cause__` and `remote_traceback` (text).
        """
        args = tuple(arg.text if isinstance(arg, Opaque) else arg for arg in failure.args)
        exc = self._own(failure, args)
        if exc is None:
            exc = _stand_in(failure.module, failure.type, args, failure.message)
        cause = None if failure.cause is None else self.rebuild(failure.cause)
        # Past the class's own __setattr__: frozen dataclasses are exceptions too.
        object.__setattr__(exc, "__cause__", cause)
        object.__setattr__(exc, "remote_traceback", failure.traceback)
        return exc

    def _own(self, failure: Failure, args: tuple[Any, ...]) -> BaseException | None:
        cls = self._classes.get((failure.module, failure.type))
        if cls is None:
            return None
        with contextlib.suppress(Exception):  # a constructor may refuse the args in any way
            exc = cls(*args)
            return exc if type(exc) is cls else None
        return None
