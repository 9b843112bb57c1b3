"""Once: which calls of a task count as the same, from when until when, and what a second one meets.

The key is computed once, by whoever enqueues, and travels with the message; the store takes and
frees it together with the message's own state.
"""

import hashlib
import inspect
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from reliable_tasks.core.codec.tags import TAG, is_plain, tagged
from reliable_tasks.core.texts import as_seconds, shown
from reliable_tasks.errors import CodecError, ConfigError, suggest

__all__ = [
    "OnConflict",
    "OnceOptions",
    "Scope",
    "check_keys",
    "check_once_of_call",
    "once_key",
    "once_label",
]


class Scope(StrEnum):
    """From when until when a key is held."""

    UNTIL_EXECUTED = "until_executed"
    """From enqueue until the message has ended, through all retries."""
    UNTIL_EXECUTING = "until_executing"
    """From enqueue until the body first starts."""
    WHILE_EXECUTING = "while_executing"
    """While a body runs: any number may wait, one runs."""
    UNTIL_AND_WHILE_EXECUTING = "until_and_while_executing"
    """One may wait and one may run, each under a key of its own."""
    UNTIL_EXPIRED = "until_expired"
    """From enqueue until the timeout, whatever becomes of the message."""

    @property
    def is_held_from_enqueue(self) -> bool:
        """Whether the message takes the key when it is stored."""
        return self is not Scope.WHILE_EXECUTING

    @property
    def is_freed_by_claim(self) -> bool:
        """Whether the key is free again when a worker claims the message."""
        return self in {Scope.UNTIL_EXECUTING, Scope.UNTIL_AND_WHILE_EXECUTING}

    @property
    def is_held_while_running(self) -> bool:
        """Whether a claim takes a key of its own, for as long as it lasts."""
        return self in {Scope.WHILE_EXECUTING, Scope.UNTIL_AND_WHILE_EXECUTING}

    @property
    def outlives_message(self) -> bool:
        """Whether the key stays taken when the message has ended."""
        return self is Scope.UNTIL_EXPIRED


class OnConflict(StrEnum):
    """What happens to a message whose key is held."""

    RAISE = "raise"
    """`AlreadyQueued` is raised where it is enqueued."""
    RETURN = "return"
    """The enqueuer gets the result handle of the message that holds the key."""
    REPLACE = "replace"
    """It takes the place of the holder, if that has not started."""
    RERUN = "rerun"
    """The holder runs once more after it has ended."""
    RESCHEDULE = "reschedule"
    """It waits until the key is free."""


# Options -----------------------------------------------------------------------------------------

_OPTIONS = ("graceful", "keys", "on_conflict", "scope", "timeout", "unlock_before_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceOptions:
    """What `once=` says of a task.

    Attributes:
        keys: the arguments that make the key; None for all of them, () for one key for the task.
        timeout_s: seconds after which the key is free even if its holder still lives; None for no
            such cap.
        scope: from when until when the key is held.
        on_conflict: what happens to a message whose key is held.
    """

    keys: tuple[str, ...] | None = None
    timeout_s: float | None = None
    scope: Scope = Scope.UNTIL_EXECUTED
    on_conflict: OnConflict = OnConflict.RAISE

    @property
    def graceful(self) -> bool:
        """celery_once's name for `on_conflict="return"`."""
        return self.on_conflict is OnConflict.RETURN

    @property
    def unlock_before_run(self) -> bool:
        """celery_once's name for `scope="until_executing"`."""
        return self.scope is Scope.UNTIL_EXECUTING

    @classmethod
    def parse(cls, mapping: Mapping[str, Any], *, where: str) -> "OnceOptions":
        """Read a task's `once=`: celery_once's options, and `scope` and `on_conflict`.

        Args:
            mapping: the options; `timeout` is in seconds or a timedelta.
            where: what they belong to, for errors.

        Raises:
            ConfigError: an option is not known or has a wrong value, or two contradict.
        """
        return _merge(cls(), mapping, where)

    def override(self, mapping: Mapping[str, Any], *, where: str = "once") -> "OnceOptions":
        """These options with those of one call on top: any but `keys`. Raises as `parse` does.

        `graceful: False` turns "return" back into "raise", `unlock_before_run: False` turns
        "until_executing" back into "until_executed"; both leave anything else alone.
        """
        return _merge(self, check_once_of_call(where, mapping), where)


_E = TypeVar("_E", bound=StrEnum)


def _merge(base: OnceOptions, mapping: Mapping[str, Any], where: str) -> OnceOptions:
    check_once(where, mapping)
    changes: dict[str, Any] = {}
    if "keys" in mapping:
        changes["keys"] = _read_keys(mapping["keys"], where)
    if "timeout" in mapping:
        changes["timeout_s"] = _read_timeout(mapping["timeout"], where)
    changes["scope"] = _pick(
        mapping,
        where,
        ("scope", "unlock_before_run"),
        (base.scope, Scope.UNTIL_EXECUTING, Scope.UNTIL_EXECUTED),
    )
    changes["on_conflict"] = _pick(
        mapping,
        where,
        ("on_conflict", "graceful"),
        (base.on_conflict, OnConflict.RETURN, OnConflict.RAISE),
    )
    merged = replace(base, **changes)
    if merged.scope is Scope.UNTIL_EXPIRED and merged.timeout_s is None:
        raise ConfigError(
            f"{where}: scope 'until_expired' needs a timeout, which is all that frees the key"
        )
    return merged


def _pick(
    mapping: Mapping[str, Any], where: str, names: tuple[str, str], values: tuple[_E, _E, _E]
) -> _E:
    """One enum option that also has a flag: `values` are the present one, the flag's, its reset."""
    (name, flag), (present, on, off) = names, values
    chosen = _read_enum(type(on), mapping[name], f"{where}: {name}") if name in mapping else None
    if flag not in mapping:
        return chosen or present
    wanted = mapping[flag]
    if not isinstance(wanted, bool):
        raise ConfigError(f"{where}: {flag}={wanted!r}: pass True or False")
    if chosen is not None and wanted is not (chosen is on):
        raise ConfigError(
            f"{where}: {flag}={wanted} contradicts {name}={chosen.value!r}; {flag}=True is another "
            f"name for {name}={on.value!r}: give only one of them"
        )
    if wanted:
        return on
    return chosen or (off if present is on else present)


def check_once(where: str, mapping: Any) -> Mapping[str, Any]:
    """Check the names of `once=`, before it is known which task's options it goes on top of.

    Raises:
        ConfigError: it is no dict, or there is no option of such a name.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{where}={shown(mapping)} is not a dict such as {{'timeout': 60}}")
    for name in mapping:
        if name not in _OPTIONS:
            raise ConfigError(
                f"{where}: there is no option {name!r}; known are {', '.join(_OPTIONS)}"
                + suggest(str(name), _OPTIONS)
            )
    return mapping


def check_once_of_call(where: str, mapping: Any) -> Mapping[str, Any]:
    """Check `once=` of one call, of whichever task: all but `keys` may be in it.

    Raises:
        ConfigError: it is no dict, or there is no such option for a call.
    """
    if "keys" in check_once(where, mapping):
        raise ConfigError(
            f"{where}: keys cannot be changed for one call, because calls with other keys would "
            "not exclude each other; set keys on the task"
        )
    return mapping  # type: ignore[no-any-return]


def _read_enum(kind: type[_E], value: Any, where: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        known = [member.value for member in kind]
        raise ConfigError(
            f"{where}={shown(value)}: known are {', '.join(known)}" + suggest(str(value), known)
        ) from None


def _read_keys(value: object, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(isinstance(key, str) for key in value):
        return tuple(value)
    raise ConfigError(f"{where}: keys={shown(value)}: pass a list of names, such as ['a']")


def _read_timeout(value: Any, where: str) -> float | None:
    if value is None:
        return None
    seconds = as_seconds(value)
    if seconds is not None and seconds > 0:
        return seconds
    raise ConfigError(
        f"{where}: timeout={shown(value)}: pass seconds over 0 (a hundred years at most), a "
        "timedelta, or None"
    )


# Keys --------------------------------------------------------------------------------------------


def check_keys(signature: inspect.Signature, keys: tuple[str, ...] | None, where: str) -> None:
    """Check `keys` against a task's public signature (without a bound `self`).

    Raises:
        ConfigError: a key names no parameter, and the task takes no `**kwargs` that could have it.
    """
    parameters = signature.parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for key in keys or ():
        if key not in parameters:
            raise ConfigError(
                f"{where}: keys has {key!r}, which is no parameter; there are "
                f"{', '.join(parameters) or 'none'}" + suggest(key, parameters)
            )


def once_key(
    task_name: str,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    keys: tuple[str, ...] | None,
) -> str:
    """The key of one call: the task's name and a hash of the chosen arguments.

    Arguments are taken after binding and defaults, so it does not matter how a call is spelled.
    Types count: 1, "1", 1.0 and True give four keys. Tuples and lists give the same one, since
    other producers' JSON cannot tell them apart. The order within dictionaries and sets is ignored.

    Args:
        task_name: name of the task.
        signature: its public signature, without a bound `self`.
        args: positional arguments.
        kwargs: keyword arguments.
        keys: names of parameters, or of members of `**kwargs` (an absent member counts as such);
            None for all arguments, () for one key for the whole task.

    Raises:
        TypeError: the arguments do not fit the signature.
        CodecError: a chosen argument cannot be encoded.
        ConfigError: a key names no parameter.
    """
    chosen = _chosen(signature, args, kwargs, keys, f"task {task_name!r}")
    digest = hashlib.blake2b(_canonical(chosen), digest_size=16).hexdigest()
    return f"{task_name}:{digest}"


def once_label(
    task_name: str,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    keys: tuple[str, ...] | None,
) -> str:
    """The same call for people, such as `slow_add(a=1)`, in at most 200 characters."""
    chosen = _chosen(signature, args, kwargs, keys, f"task {task_name!r}")
    inner = ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in chosen.items())
    label = f"{task_name}({inner})"
    return label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"


_MAX_LABEL = 200
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def _chosen(
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    keys: tuple[str, ...] | None,
    where: str,
) -> dict[str, Any]:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if keys is None:
        return bound.arguments
    check_keys(signature, keys, where)
    members: Mapping[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            members = bound.arguments[name]
    arguments = {**members, **bound.arguments}  # a parameter goes before a member of its name
    return {key: arguments[key] for key in keys if key in arguments}


# Canonical bytes: the tagged form, in one order wherever the order carries no meaning -------------

_encode = msgspec.json.Encoder(order="sorted").encode
_UNORDERED = frozenset({"dict", "set", "frozenset"})


def _canonical(chosen: Mapping[str, Any]) -> bytes:
    form = {n: v if is_plain(v) else _ordered(_typed(n, v)) for n, v in chosen.items()}
    try:
        return _encode(form)
    except UnicodeEncodeError:  # lone surrogates in a plain value: its tagged form has none
        return _encode({name: _ordered(_typed(name, value)) for name, value in chosen.items()})


def _typed(name: str, value: object) -> Any:
    try:
        return tagged(value, name)
    except CodecError as error:
        raise CodecError(
            f"the once-key cannot be made: {error}; or choose other arguments with "
            "once={'keys': […]}"
        ) from error


def _ordered(form: Any) -> Any:
    if type(form) is list:
        return [_ordered(item) for item in form]
    if type(form) is not dict:
        return form
    if TAG not in form:
        return {key: _ordered(item) for key, item in form.items()}
    name, *body = form[TAG]
    if name == "tuple":
        return _ordered(body[0])
    if name in _UNORDERED:
        return {TAG: [name, sorted(map(_ordered, body[0]), key=_encode)]}
    return form
