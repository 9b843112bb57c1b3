"""How failures become exceptions again: of their own class, or stand-ins for it.

A class is looked up among those that were declared, and in the modules that this process has
imported. Nothing is imported because a failure names it. Only a declared class is called; of the
others an instance is made without their constructor.
"""

import builtins
import contextlib
from functools import lru_cache
from typing import Any, TypeVar

from reliable_tasks import errors
from reliable_tasks.core.codec import classes
from reliable_tasks.core.codec.failures import AddedNote, Failure, Opaque
from reliable_tasks.core.texts import printable, said
from reliable_tasks.errors import ConfigError

__all__ = ["SafeExceptions"]

_E = TypeVar("_E", bound=type[BaseException])

_NEEDS_CONSTRUCTOR = (
    "its class makes no instance without its constructor; to have that called with the original's "
    "args, name the class in the setting result_exceptions"
)
_COMPARED = 1000  # characters of what it says
_set_cause: Any = vars(BaseException)["__cause__"].__set__


class SafeExceptions:
    """The exception classes that were declared, and how a `Failure` becomes an exception.

    At first the built-in ones and those of `reliable_tasks.errors`.
    """

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], type[BaseException]] = {}
        for module in (builtins, errors):
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Exception):
                    self.register(value)

    def register(self, cls: _E) -> _E:
        """Let `cls` be called with the original's `args`. Usable as a decorator.

        Raises:
            ConfigError: it is not an exception class.
        """
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ConfigError(f"{cls!r} is not an exception class, so it cannot be registered")
        self._classes[cls.__module__, cls.__qualname__] = cls
        return cls

    def rebuild(self, failure: Failure) -> BaseException:
        """The exception: of its own class if that was declared, or its module is imported here.

        Otherwise a stand-in, a `RemoteError` that has the original's names, args and text, and a
        note that says why. Any has `__cause__`, its notes, its traceback as one more of them and as
        `remote_traceback`. An exception group is one again, of parts that are rebuilt in the same
        way; its stand-in is an `ExceptionGroup` as well.
        """
        exc: Any
        why = ""
        parts = list(map(self.rebuild, failure.exceptions))
        args = tuple(arg.text if isinstance(arg, Opaque) else arg for arg in failure.args)
        call = (args[0] if args and isinstance(args[0], str) else failure.message, parts)
        exc = self._declared(failure, call if parts else args, parts)
        if exc is None:
            exc, why = _of_loaded_class(failure, call if parts else args, parts)
        if exc is None:
            exc = (
                _group(failure, *call)
                if parts
                else _stand_in(*_names(failure), args, failure.message)
            )
        if failure.cause is not None:
            _set_cause(exc, self.rebuild(failure.cause))
        _add_notes(exc, failure, why)
        return exc  # type: ignore[no-any-return]

    def _declared(self, failure: Failure, args: Any, parts: list[Any]) -> Any:
        cls = self._classes.get(_names(failure))
        if cls is None or (failure.module == "builtins" and parts):
            return None
        # A constructor may refuse the args in any way, but Ctrl-C is the caller's.
        with contextlib.suppress(Exception, SystemExit, GeneratorExit):
            exc = cls(*args)
            if type(exc) is cls and _has_parts(exc, parts):
                for name, value in failure.state.items():
                    if not isinstance(value, Opaque):
                        classes.set_attribute(exc, name, value)
                return exc
        return _made(cls, failure, args, parts)


def _names(failure: Failure) -> tuple[str, str]:
    return failure.module, failure.type


def _has_parts(exc: Any, parts: list[Any]) -> bool:
    if not issubclass(type(exc), BaseExceptionGroup):
        return not parts
    kept = BaseExceptionGroup.exceptions.__get__(exc)
    return len(kept) == len(parts) and all(map(lambda one, other: one is other, kept, parts))


# Of its own class --------------------------------------------------------------------------------


def _of_loaded_class(failure: Failure, args: Any, parts: list[Any]) -> tuple[Any, str]:
    """The exception, or why it needs a stand-in."""
    if failure.module == "builtins" and parts:
        return None, ""
    cls, why = classes.loaded(failure.module, failure.type)
    if cls is None:
        return None, why
    exc = _made(cls, failure, args, parts)
    return exc, "" if exc is not None else _NEEDS_CONSTRUCTOR


def _made(cls: Any, failure: Failure, args: Any, parts: list[Any]) -> Any:
    exc = classes.make(cls, args)
    if exc is None or not _has_parts(exc, parts):
        return None
    _set_state(exc, failure)
    if parts or _says(exc, failure.message):
        return exc
    if not classes.runs_no_code_below(cls):
        return None
    exc = classes.make(_with_text(cls), args)
    _set_state(exc, failure)
    classes.set_attribute(exc, "remote_text", failure.message)
    return exc


def _set_state(exc: BaseException, failure: Failure) -> None:
    for name, value in failure.state.items():
        with contextlib.suppress(AttributeError, TypeError):  # a slot that C code watches over
            shown = value.text if isinstance(value, Opaque) else value
            classes.set_attribute(exc, name, shown)


def _says(exc: BaseException, message: str) -> bool:
    return printable(said(exc, str))[:_COMPARED] == message[:_COMPARED]


@lru_cache(maxsize=1024)
def _with_text(cls: type[BaseException]) -> type[BaseException]:
    """The same class, whose `str()` is what the original said: it needs what did not come along."""
    return type(
        cls.__name__,
        (cls,),
        {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__str__": lambda self: self.remote_text,
            "__reduce__": lambda self: (_made_again, (cls, self.args, vars(self).copy())),
        },
    )


def _made_again(cls: Any, args: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    exc: BaseException = classes.make(_with_text(cls), args)
    classes.attributes_of(exc).update(attributes)
    return exc


# Stand-ins ---------------------------------------------------------------------------------------


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
            "__doc__": f"Stands in for {remote_type}, which cannot be made here.",
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


def _group(failure: Failure, message: str, parts: list[Any]) -> Any:
    exits = not all(issubclass(type(part), Exception) for part in parts)
    if failure.module == "builtins" or exits:
        return BaseExceptionGroup(message, parts)  # an ExceptionGroup where there is no exit in it
    return _stand_in_group(*_names(failure), message, parts)


def _add_notes(exc: BaseException, failure: Failure, why: str) -> None:
    notes: list[str] = list(failure.notes)
    if why:
        what = f"{failure.module}.{failure.type}, so `except` does not catch it as that"
        notes.append(AddedNote(f"(This is a stand-in for {what}: {why}.)"))
    if failure.traceback:
        notes.append(AddedNote(f"\nTraceback in the worker:\n\n{failure.traceback.rstrip()}"))
    attributes = classes.attributes_of(exc)
    if notes:
        attributes["__notes__"] = notes
    attributes["remote_traceback"] = failure.traceback
