"""How exceptions become bytes and come back as what they were, or as stand-ins.

Nothing is imported because
a failure names it, and a failure has bounds, whatever the exception holds.
"""

import builtins
import contextlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from reliable_tasks import errors
from reliable_tasks.core.codec import (
    dumps,
    loads,
)
from reliable_tasks.core.texts import printable
from reliable_tasks.errors import CodecError, ConfigError

__all__ = ["Failure", "Opaque", "SafeExceptions", "decode_failure", "encode_failure"]

_MAX_TEXT = 65_536  # characters of one text
_MAX_TEXTS = 700_000  # characters of all texts of one failure
_MAX_FAILURE = 2**20  # bytes of it, else it is encoded bare
_MAX_CAUSES = 5
_MAX_NESTED = 10  # groups in groups
_MAX_EXCEPTIONS = 100  # in all, causes included
_MAX_NOTES = 20


class Opaque(msgspec.Struct, frozen=True):
    """Stands for an argument that could not be encoded; `text` is its repr."""

    text: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An exception as a value.

    Attributes:
        type: qualified name of its class.
        module: module of its class.
        message: what `str()` gave; cut, with a mark, after 65 536 characters, as are all its texts.
            What UTF-8 cannot write is escaped in them.
        args: its arguments; an `Opaque` for each that could not be encoded.
        traceback: the formatted traceback.
        cause: its `__cause__`, at most five deep.
        notes: its `__notes__`.
        exceptions: those of an exception group, a hundred at most with all that is in them.
    """

    type: str
    module: str
    message: str = ""
    args: tuple[Any, ...] = ()
    traceback: str = ""
    cause: "Failure | None" = None
    notes: tuple[str, ...] = ()
    exceptions: "tuple[Failure, ...]" = ()


class _Encoding:
    """Builds one failure within a size budget."""

    def __init__(self) -> None:
        self.characters = _MAX_TEXTS
        self.exceptions = _MAX_EXCEPTIONS

    def fields(self, exc: BaseException, traceback: str, causes: int, nested: int) -> Any:
        self.exceptions -= 1
        cause = exc.__cause__
        is_group = isinstance(exc, BaseExceptionGroup)
        # Through the class: what a subclass makes of these names is its own affair.
        args = (BaseExceptionGroup.message.__get__(exc),) if is_group else _args_of(exc)
        fields = self.bare(exc, traceback)
        fields["args"] = [self.arg(arg) for arg in args]
        if cause is not None and causes and self.exceptions > 0:
            fields["cause"] = self.fields(cause, "", causes - 1, nested)
        if notes := _notes_of(exc):
            fields["notes"] = [self.text(str, note) for note in notes]
        if is_group:
            fields["exceptions"] = self.parts(exc, causes, nested)
        return fields

    def bare(self, exc: BaseException, traceback: str) -> dict[str, Any]:
        """The parts that every exception has."""
        kind = type(exc)
        return {
            "type": self.cut(kind.__qualname__),
            "module": self.cut(str(kind.__module__)),
            "message": self.text(str, exc),
            "traceback": self.cut(traceback),
            "args": [],
            "cause": None,
        }

    def parts(self, group: Any, causes: int, nested: int) -> list[Any]:
        """Those of a group, and in the place of those for which there is no room, their number."""
        parts, kept = BaseExceptionGroup.exceptions.__get__(group), list[Any]()
        for part in parts:
            deeper = isinstance(part, BaseExceptionGroup)
            if self.exceptions <= 1 or (deeper and not nested):
                break
            kept.append(self.fields(part, "", causes, nested - deeper))
        if len(kept) < len(parts):
            more = errors.ReliableTasksError(f"{len(parts) - len(kept)} more are not kept")
            kept.append(self.fields(more, "", 0, 0))
        return kept

    def arg(self, value: Any) -> list[Any]:
        room = min(_MAX_TEXT, self.characters)
        if type(value) in {str, bytes} and len(value) > room:  # megabytes, perhaps
            return [False, self.cut(repr(value[:room]), len(value) - room)]
        try:
            size = len(dumps(value))
        except BaseException:  # noqa: BLE001 - a user's __json__ may raise anything; the repr remains
            size = _MAX_TEXT + 1
        if size > room:
            return [False, self.text(repr, value)]
        self.characters -= size
        return [True, value]

    def text(self, render: Callable[[Any], str], value: object) -> str:
        try:
            text = str.__str__(render(value))
        except BaseException as error:  # noqa: BLE001 - a broken __str__ must not hide the failure
            name = type(value).__qualname__
            text = f"<{name} whose {render.__name__}() raised {type(error).__name__}>"
        return self.cut(text)

    def cut(self, text: str, already: int = 0) -> str:
        """The text, cut to the room that is left; `already` characters were left out before."""
        room = min(_MAX_TEXT, self.characters)
        lost = len(text) - room + already
        kept = printable(text if lost <= 0 else f"{text[:room]}… [{lost} characters cut]")
        self.characters = max(0, self.characters - len(kept))
        return kept


def _args_of(exc: BaseException) -> tuple[Any, ...]:
    """Its arguments; an OSError keeps its file names out of `args`, its __reduce__ has them."""
    try:
        reduced = exc.__reduce__()[1] if isinstance(exc, OSError) else exc.args
        args = reduced if isinstance(reduced, tuple) else exc.args
        return args if isinstance(args, tuple) else ()
    except BaseException:  # noqa: BLE001 - a class of the user's may have made anything of them
        return ()


def _notes_of(exc: BaseException) -> list[Any]:
    try:
        notes = exc.__notes__
        return list(notes[:_MAX_NOTES]) if isinstance(notes, list | tuple) else []
    except BaseException:  # noqa: BLE001 - most have none; for the rest, as above
        return []


def encode_failure(exc: BaseException, traceback_text: str = "") -> bytes:
    """Encode an exception, with the traceback as the caller formatted it. Never refuses one."""
    try:
        data = dumps(_Encoding().fields(exc, traceback_text, _MAX_CAUSES, _MAX_NESTED))
    except BaseException:  # noqa: BLE001 - what it holds may raise anything: without it, then
        data = b""
    if data and len(data) <= _MAX_FAILURE:
        return data
    return dumps(_Encoding().bare(exc, traceback_text))


def decode_failure(data: bytes) -> Failure:
    """Decode what `encode_failure` gave.

    Raises:
        CodecError: these bytes are not a failure.
    """
    try:
        return _failure(loads(data))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CodecError(f"these {len(data)} bytes are not a failure: {error}") from error


def _failure(fields: dict[str, Any]) -> Failure:
    cause = fields.pop("cause")
    return Failure(
        args=tuple(value if plain else Opaque(value) for plain, value in fields.pop("args")),
        cause=None if cause is None else _failure(cause),
        notes=tuple(fields.pop("notes", ())),
        exceptions=tuple(map(_failure, fields.pop("exceptions", ()))),
        **fields,
    )


# Rebuilding them ---------------------------------------------------------------------------------

_E = TypeVar("_E", bound=type[BaseException])


class _StandIn(errors.RemoteError):
    """Prints and pickles as the exception that it stands for."""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        kind = type(self)
        return _stand_in, (kind.__module__, kind.__qualname__, self.args, self.message)


class _StandInGroup(_StandIn, ExceptionGroup):
    """The same for an exception group, which `except*` takes apart."""

    def __str__(self) -> str:
        return ExceptionGroup.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        kind, (message, parts) = type(self), self.args
        return _stand_in_group, (kind.__module__, kind.__qualname__, message, parts)


@lru_cache(maxsize=1024)
def _stand_in_class(module: str, qualname: str, kind: type[_StandIn] = _StandIn) -> type[Any]:
    remote_type = f"{module}.{qualname}"
    return type(
        qualname.rpartition(".")[2],
        (kind,),
        {
            "__doc__": f"Stands in for {remote_type}, which is not registered here.",
            "__module__": module,
            "__qualname__": qualname,
            "remote_type": remote_type,
        },
    )


def _stand_in(module: str, qualname: str, args: tuple[Any, ...], message: str) -> _StandIn:
    exc: _StandIn = _stand_in_class(module, qualname)(*args)
    exc.message = message
    return exc


def _stand_in_group(module: str, qualname: str, message: str, parts: list[Any]) -> Any:
    exc = _stand_in_class(module, qualname, _StandInGroup)(message, parts)
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
        has `__cause__`, its notes and `remote_traceback` (text). An exception group is one again,
        of parts that are rebuilt in the same way; its stand-in is an `ExceptionGroup` as well.
        """
        args = tuple(arg.text if isinstance(arg, Opaque) else arg for arg in failure.args)
        if failure.exceptions:
            exc = self._group(failure, args)
        else:
            exc = self._own(failure, args) or _stand_in(
                failure.module, failure.type, args, failure.message
            )
        cause = None if failure.cause is None else self.rebuild(failure.cause)
        # Past the class's own __setattr__: frozen dataclasses are exceptions too.
        object.__setattr__(exc, "__cause__", cause)
        if failure.notes:
            object.__setattr__(exc, "__notes__", list(failure.notes))
        object.__setattr__(exc, "remote_traceback", failure.traceback)
        return exc

    def _group(self, failure: Failure, args: tuple[Any, ...]) -> BaseException:
        parts = list(map(self.rebuild, failure.exceptions))
        message = args[0] if args and isinstance(args[0], str) else failure.message
        if failure.module != "builtins":
            own = self._own(failure, (message, parts))
            if isinstance(own, BaseExceptionGroup) and own.exceptions == tuple(parts):
                return own
            if all(isinstance(part, Exception) for part in parts):
                exc: BaseException = _stand_in_group(failure.module, failure.type, message, parts)
                return exc
        return BaseExceptionGroup(message, parts)  # an ExceptionGroup where there is no exit in it

    def _own(self, failure: Failure, args: tuple[Any, ...]) -> BaseException | None:
        cls = self._classes.get((failure.module, failure.type))
        if cls is None:
            return None
        with contextlib.suppress(Exception):  # a constructor may refuse the args in any way
            exc = cls(*args)
            return exc if type(exc) is cls else None
        return None
