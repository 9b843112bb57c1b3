"""`pydantic=True` and `msgspec=True`: models among the arguments and results of a task.

What travels is plain data. Where a call is made, a model becomes such data; where the body runs,
the data becomes what the parameter is annotated with, checked; a model that the body returns
becomes data again.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import inspect
import types
import typing
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reliable_tasks.core.context import AppContext

__all__ = ["OPTIONS", "Models", "models_of"]

OPTIONS = frozenset(
    {"msgspec", "pydantic", "pydantic_context", "pydantic_dump_kwargs", "pydantic_strict"}
)
"""Options of `@app.task` that say how; they are no attributes of the task."""

_RETURN = "return"


class Models:
    """What a function's annotations make of its arguments and its result.

    Args:
        function: the body.
        bind: whether its first argument is the task.
    """

    def __init__(self, function: Callable[..., Any], bind: bool) -> None:
        self._function = function
        self._bind = bind
        parameters = _parameters_of(function)
        self.hints = _hints_of(function, parameters)
        kinds = inspect.Parameter
        placed = (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        named = (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)
        self._by_place = [p.name for p in parameters if p.kind in placed]
        self._by_name = {p.name for p in parameters if p.kind in named}
        self._rest = next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), "")
        self._more = next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), "")

    def load(self, hint: Any, value: Any) -> Any:
        """Make of data what the annotation says; raises what the library raises."""
        raise NotImplementedError

    def dump(self, hint: Any, value: Any) -> Any:
        """Make data of an argument of a call."""
        raise NotImplementedError

    def dump_result(self, hint: Any, value: Any) -> Any:
        """Make data of what the body returned."""
        raise NotImplementedError

    def dumped(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call, as they travel."""
        return self._changed(args, kwargs, self.dump, 1 if self._bind else 0)

    def wrapped(self) -> Callable[..., Any]:
        """The body, with its arguments made of data and its result made data."""
        function = self._function

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def body(*args: Any, **kwargs: Any) -> Any:
                call, named = self._changed(args, kwargs, self.load)
                return self.dump_result(self._hint(_RETURN), await function(*call, **named))

        else:

            @functools.wraps(function)
            def body(*args: Any, **kwargs: Any) -> Any:
                call, named = self._changed(args, kwargs, self.load)
                return self.dump_result(self._hint(_RETURN), function(*call, **named))

        return body

    def _changed(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        change: Callable[[Any, Any], Any],
        skipped: int = 0,
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        names = self._by_place[skipped:]
        names += [self._rest] * (len(args) - len(names))
        call = tuple(change(self._hint(n), x) for n, x in zip(names, args, strict=False))
        named = {
            name: change(self._hint(name if name in self._by_name else self._more), value)
            for name, value in kwargs.items()
        }
        return call, named

    def _hint(self, name: str) -> Any:
        return self.hints.get(name, Any)


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins tell nothing of their arguments
        return []


def _hints_of(function: Any, parameters: Any) -> dict[str, Any]:
    """The annotations, as types; those that name nothing here are left out."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - of a name that is known to type checkers only, say
        raw = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
        return {name: hint for name, hint in raw.items() if not isinstance(hint, str)}


class _Pydantic(Models):
    """As Celery 5.7: arguments annotated with a model, or an optional one, and such a result."""

    def __init__(
        self,
        function: Callable[..., Any],
        bind: bool,
        context: Mapping[str, Any],
        *,
        strict: bool,
        dump_kwargs: Mapping[str, Any],
    ) -> None:
        from pydantic import BaseModel  # noqa: PLC0415 - only where it is asked for

        super().__init__(function, bind)
        self._model = BaseModel
        self._validation: dict[str, Any] = {"strict": strict, "context": dict(context)}
        self._dump_kwargs: dict[str, Any] = {"mode": "json", **dump_kwargs}

    def load(self, hint: Any, value: Any) -> Any:
        model = self._model_of(hint, value)
        return value if model is None else model.model_validate(value, **self._validation)

    def dump(self, hint: Any, value: Any) -> Any:
        model = self._model_of(hint, value)
        if model is None or not isinstance(value, self._model) or hasattr(value, "__json__"):
            return value
        try:
            data = value.model_dump(**self._dump_kwargs)
            same = bool(model.model_validate(data, **self._validation) == value)
        except Exception:  # noqa: BLE001 - a validator may work in a worker only
            return value  # which the codec refuses in words
        return data if same else value

    def dump_result(self, hint: Any, value: Any) -> Any:
        model = self._model_of(hint, value)
        if model is None or not isinstance(value, model):
            return value
        return value.model_dump(**self._dump_kwargs)

    def _model_of(self, hint: Any, value: Any) -> Any:
        if typing.get_origin(hint) in {typing.Union, types.UnionType} and value is not None:
            parts = [part for part in typing.get_args(hint) if part is not type(None)]
            hint = parts[0] if len(parts) == 1 else hint
        return hint if isinstance(hint, type) and issubclass(hint, self._model) else None


class _Msgspec(Models):
    """By msgspec: dataclasses, TypedDict, NamedTuple, attrs, Struct, Enum, and what holds them."""

    def __init__(self, function: Callable[..., Any], bind: bool) -> None:
        super().__init__(function, bind)
        self.hints = {name: hint for name, hint in self.hints.items() if _is_known(hint)}

    def load(self, hint: Any, value: Any) -> Any:
        return value if hint is Any else msgspec.convert(value, hint)

    def dump(self, hint: Any, value: Any) -> Any:
        del hint
        return _plain(value)

    dump_result = dump


_KEPT = (bytes, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
"""Types that our codecs keep, and so need not be made plain."""


def _is_known(hint: Any) -> bool:
    try:
        return not isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
    except TypeError:
        return False


def _plain(value: Any) -> Any:
    """Data for a value: what it is, but for models and enums, at any depth of its containers."""
    kind = type(value)
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind in {list, tuple, set, frozenset}:
        return kind(_plain(item) for item in value)
    fields = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__")
    is_model = any(hasattr(kind, name) for name in fields) or isinstance(value, enum.Enum)
    if not is_model or hasattr(kind, "__json__"):
        return value
    try:
        return msgspec.to_builtins(value, builtin_types=_KEPT)
    except TypeError:
        return value  # which the codec refuses in words


def models_of(
    app: AppContext, where: str, name: str, function: Any, options: Mapping[str, Any]
) -> Models | None:
    """What the options of a task ask for; None for nothing.

    Raises:
        ConfigError: the library is not installed, or an option is not possible.
    """
    bind = bool(options.get("bind"))
    asked = list(_asked(where, options))
    if len(asked) > 1:
        raise ConfigError(f"{where}: give pydantic=True or msgspec=True, not both")
    if not asked:
        return None
    if asked == ["msgspec"]:
        return _Msgspec(function, bind)
    context = dict(options.get("pydantic_context") or {})
    context.update(celery_app=app, celery_task_name=name)
    strict = bool(options.get("pydantic_strict"))
    dump_kwargs = options.get("pydantic_dump_kwargs") or {}
    try:
        return _Pydantic(function, bind, context, strict=strict, dump_kwargs=dump_kwargs)
    except ImportError as exc:
        raise ConfigError(
            f"{where}: pydantic=True needs pydantic, which cannot be imported ({exc}): install it, "
            "or use msgspec=True with dataclasses"
        ) from exc


def _asked(where: str, options: Mapping[str, Any]) -> Iterator[str]:
    for name in ("msgspec", "pydantic"):
        value = options.get(name)
        if value is not None and not isinstance(value, bool):
            raise ConfigError(f"{where}: {name} must be True or False, not {shown(value)}")
        if value:
            yield name
