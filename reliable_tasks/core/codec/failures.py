"""How exceptions become bytes, and bytes failures: see `exceptions` for the way back.

A failure has bounds, whatever the exception holds, and no exception is refused.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from reliable_tasks import errors
from reliable_tasks.core.codec import dumps, loads
from reliable_tasks.core.codec.classes import attributes_of, name_of_main, slots_of
from reliable_tasks.core.texts import printable
from reliable_tasks.errors import CodecError

__all__ = [
    "REMOTE_NAMES",
    "AddedNote",
    "Failure",
    "Opaque",
    "decode_failure",
    "encode_failure",
    "encode_named",
]

REMOTE_NAMES = frozenset({"remote_text", "remote_traceback"})
"""The attributes that `SafeExceptions` adds to exceptions."""

_MAX_TEXT = 65_536  # characters of one text
_MAX_TEXTS = 700_000  # characters of all texts of one failure
_MAX_FAILURE = 2**20  # bytes of it, else it is encoded bare
_MAX_CAUSES = 5
_MAX_NESTED = 10  # groups in groups
_MAX_EXCEPTIONS = 100  # in all, causes included
_MAX_NOTES = 20
_MAX_ATTRIBUTES = 50
_MAX_STATE = 65_536  # characters of all attributes of one failure
_MAX_SHOWN = 1000  # of an attribute that is shown by its repr


_MAIN = ("__main__", "__mp_main__")


class AddedNote(str):
    """A note that `SafeExceptions` adds; it does not travel on with the exception."""

    __slots__ = ()


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
        state: its attributes, as far as there is room; an `Opaque` as in `args`.
        trail: what the body had sent before.
    """

    type: str
    module: str
    message: str = ""
    args: tuple[Any, ...] = ()
    traceback: str = ""
    cause: "Failure | None" = None
    notes: tuple[str, ...] = ()
    exceptions: "tuple[Failure, ...]" = ()
    state: dict[str, Any] = {}
    trail: list[Any] = []


class _Encoding:
    """Builds one failure within a size budget."""

    def __init__(self) -> None:
        self.characters = _MAX_TEXTS
        self.exceptions = _MAX_EXCEPTIONS
        self.state_room = _MAX_STATE

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
        if state := self.state(exc):
            fields["state"] = state
        return fields

    def bare(self, exc: BaseException, traceback: str) -> dict[str, Any]:
        """The parts that every exception has."""
        kind = type(exc)
        module = str(kind.__module__)
        module = name_of_main() or module if module in _MAIN else module
        return self.named(kind.__qualname__, module, exc, traceback)

    def named(self, name: str, module: str, said: object, traceback: str) -> dict[str, Any]:
        """The same of one whose class has these names; `said` is what it says as a text."""
        return {
            "type": self.cut(name),
            "module": self.cut(module),
            "message": self.text(str, said),
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

    def arg(self, value: Any, most: int = _MAX_TEXT) -> list[Any]:
        room = min(most, self.characters)
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

    def state(self, exc: BaseException) -> dict[str, list[Any]]:
        """The attributes that its class, or whoever raised it, gave it."""
        kept = dict[str, list[Any]]()
        for name, value in _attributes(exc):
            if len(kept) == _MAX_ATTRIBUTES or self.state_room <= 0:
                break
            before = self.characters
            plain, shown = self.arg(value, self.state_room)
            size = before - self.characters if plain else min(len(shown), _MAX_SHOWN)
            self.state_room -= size + len(name)
            kept[self.cut(name)] = [plain, shown if plain else shown[:_MAX_SHOWN]]
        return kept

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
        # Through the class: a subclass's own __reduce__ may say what its constructor takes.
        reduced = OSError.__reduce__(exc)[1] if isinstance(exc, OSError) else exc.args
        args = reduced if isinstance(reduced, tuple) else exc.args
        return args if isinstance(args, tuple) else ()
    except BaseException:  # noqa: BLE001 - a class of the user's may have made anything of them
        return ()


def _notes_of(exc: BaseException) -> list[Any]:
    try:
        notes = exc.__notes__
        kept = notes[:_MAX_NOTES] if isinstance(notes, list | tuple) else []
        return [note for note in kept if type(note) is not AddedNote]
    except BaseException:  # noqa: BLE001 - most have none; for the rest, as above
        return []


def _attributes(exc: BaseException) -> Iterator[tuple[str, Any]]:
    for name, value in (*attributes_of(exc).items(), *slots_of(exc)):
        if type(name) is str and not name.startswith("__") and name not in REMOTE_NAMES:
            yield name, value


def encode_failure(
    exc: BaseException, traceback_text: str = "", trail: list[Any] | None = None
) -> bytes:
    """Encode an exception, with the traceback as the caller formatted it. Never refuses one.

    `trail` is what the body had sent before, as `results.offspring` tells it.
    """
    try:
        fields = _Encoding().fields(exc, traceback_text, _MAX_CAUSES, _MAX_NESTED)
        if trail:
            fields["trail"] = trail
        data = dumps(fields)
    except BaseException:  # noqa: BLE001 - what it holds may raise anything: without it, then
        data = b""
    if data and len(data) <= _MAX_FAILURE:
        return data
    return dumps(_Encoding().bare(exc, traceback_text))


def encode_named(
    name: str, module: str, args: tuple[Any, ...] = (), traceback_text: str = ""
) -> bytes:
    """Encode a failure of which only names and arguments are known: its class may not be here."""
    encoding = _Encoding()
    fields = encoding.named(name, module, args[0] if len(args) == 1 else args or "", traceback_text)
    fields["args"] = [encoding.arg(arg) for arg in args]
    return dumps(fields)


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
    cause, state = fields["cause"], fields.get("state", {})
    return Failure(
        type=fields["type"],
        module=fields["module"],
        message=fields["message"],
        args=tuple(_decoded(*arg) for arg in fields["args"]),
        traceback=fields["traceback"],
        cause=None if cause is None else _failure(cause),
        notes=tuple(fields.get("notes", ())),
        exceptions=tuple(map(_failure, fields.get("exceptions", ()))),
        state={name: _decoded(*value) for name, value in state.items()},
        trail=fields.get("trail", []),
    )


def _decoded(plain: bool, value: Any) -> Any:
    return value if plain else Opaque(value)
