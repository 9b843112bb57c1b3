"""From a call of a task to the message that carries it: pure, with the time passed in."""

from __future__ import annotations

import datetime as dt
import numbers
import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from . import ids
from ._state import current_attempt
from .errors import ConfigError, suggest
from .message import Headers, Message, OnceLock, encode_headers
from .once import once_key, once_label
from .serialization import canonical_serializer, dumps_call

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .app import App
    from .config import Settings
    from .request import Running
    from .task import Task

__all__ = ["CALL_OPTIONS", "build_message", "call_args", "once_lock"]

CALL_OPTIONS = frozenset(
    {
        "chain",
        "chord",
        "countdown",
        "durable",
        "eta",
        "expires",
        "group_id",
        "headers",
        "ignore_result",
        "once",
        "parent_id",
        "priority",
        "queue",
        "root_id",
        "routing_key",
        "serializer",
        "shadow",
        "soft_time_limit",
        "task_id",
        "time_limit",
    }
)
"""What `apply_async` understands."""

_MEANINGLESS = frozenset(
    {
        "add_to_parent",
        "argsrepr",
        "compression",
        "connection",
        "delivery_mode",
        "exchange",
        "expiration",
        "group_index",
        "kwargsrepr",
        "mandatory",
        "producer",
        "publisher",
        "replaced_task_nesting",
        "reply_to",
        "retries",
        "retry",
        "retry_policy",
    }
)
"""Celery's options that are taken and need nothing here (those of the publish are the app's)."""

_KNOWN = CALL_OPTIONS | _MEANINGLESS


def call_args(args: Any) -> tuple[Any, ...]:
    """Arguments as a tuple; a lone value, as in `args=(10)`, counts as one argument.

    Raises:
        ConfigError: it is neither a sequence nor a plain value.
    """
    if args is None:
        return ()
    if isinstance(args, list | tuple):
        return tuple(args)
    if isinstance(args, str | bytes | numbers.Number):
        return (args,)
    raise ConfigError(f"args must be a list or a tuple, not {args!r}; write args=({args!r},)")


def once_lock(
    task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], override: Any = None
) -> OnceLock | None:
    """The once-lock of one call, None for a task without."""
    options = task.once_options
    if options is None:
        return None
    if override:
        options = options.override(override)
    return OnceLock(
        key=once_key(task.name, task.signature_of_call, tuple(args), dict(kwargs), options.keys),
        scope=options.scope,
        on_conflict=options.on_conflict,
        timeout_ms=0 if options.timeout_s is None else max(1, round(options.timeout_s * 1000)),
    )


def instant_ms(name: str, value: Any, tz: dt.tzinfo) -> int:
    """An instant given as a datetime (a naive one is in the app's time zone) or ISO text."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError as exc:
            raise ConfigError(f"{name}={value!r} is not a date and time in ISO 8601") from exc
    if not isinstance(value, dt.datetime):
        raise ConfigError(f"{name} must be a datetime, not {value!r}")
    if value.tzinfo is None:
        value = value.replace(tzinfo=tz)
    return int(value.timestamp() * 1000 + 0.5)


def span_ms(name: str, value: Any) -> int:
    """A span given as seconds or a timedelta."""
    if isinstance(value, dt.timedelta):
        return round(value.total_seconds() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number of seconds or a timedelta, not {value!r}")
    return round(value * 1000)


def _check_options(options: Mapping[str, Any]) -> None:
    if not options.keys() <= _KNOWN:
        name = next(name for name in options if name not in _KNOWN)
        raise ConfigError(f"unknown option {name!r}{suggest(name, CALL_OPTIONS)}")
    if options.get("eta") is not None and options.get("countdown") is not None:
        raise ConfigError("give either countdown or eta, not both")
    soft, hard = options.get("soft_time_limit"), options.get("time_limit")
    if soft and hard and soft > hard:
        raise ConfigError(f"soft_time_limit {soft:g} s is above time_limit {hard:g} s")


def _priority(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 9:  # noqa: PLR2004 - Celery's range
        raise ConfigError(f"priority must be a whole number from 0 (first) to 9, not {value!r}")
    return value


_HOST = socket.gethostname()


class Common(NamedTuple):
    """What the messages of calls of one task have in common as long as their options are the same.

    Attributes:
        settings: in force then.
        pid: of the process, which is part of the headers.
        options: those of the task, its route and the call.
        serializer: of the payload.
        headers: of a message without a once-key.
        packed: the same, encoded.
        fields: of the message.
    """

    settings: Settings
    pid: int
    options: dict[str, Any]
    serializer: str
    headers: Headers
    packed: bytes
    fields: dict[str, Any]

    def holds(self, settings: Settings, options: dict[str, Any]) -> bool:
        """Whether it is what a call with these options, now and here, has in common with others."""
        return settings is self.settings and options == self.options and self.pid == os.getpid()


_OF_ONE_MESSAGE = frozenset({"once", "parent_id", "root_id", "task_id"})
_COMPARABLE = frozenset({str, int})
_MOST_COMMONS = 1000


def _common(app: App, settings: Settings, name: str, options: dict[str, Any]) -> Common:
    """What is common to calls with these options: found again where they are what they last were.

    Only text and whole numbers are compared: what is equal may still be of another type (1, True),
    and a dictionary may be changed by its owner between two calls.
    """
    lasting = all(type(x) in _COMPARABLE for x in options.values())
    known = app.commons.get(name)
    if lasting and known is not None and known.holds(settings, options):
        return known
    serializer = canonical_serializer(options.get("serializer") or settings.task_serializer)
    headers = Headers(
        serializer=serializer,
        time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"),
        ignore_result=options.get("ignore_result"),
        shadow=options.get("shadow"),
        user=options.get("headers"),
        group=options.get("group_id"),
        chord=options.get("chord"),
        chain=options.get("chain"),
        origin=f"{os.getpid()}@{_HOST}",
    )
    fields = {
        "task": name,
        "queue": options.get("queue") or options.get("routing_key") or settings.task_default_queue,
        "priority": _priority(options.get("priority", settings.task_default_priority)),
        "max_deliveries": settings.max_deliveries,
        "result_ttl_ms": app.result_ttl_ms,
        "failure_ttl_ms": app.failure_ttl_ms,
        **_timing(app, options),
    }
    packed = encode_headers(headers)
    common = Common(settings, os.getpid(), options, serializer, headers, packed, fields)
    if lasting:
        if len(app.commons) >= _MOST_COMMONS:
            app.commons.clear()
        app.commons[name] = common
    return common


def build_message(
    app: App,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Mapping[str, Any],
    task: Task[Any, Any] | None = None,
    *,
    keyed: bool = True,
    made_id: str | None = None,
) -> Message:
    """The message of one call.

    Args:
        app: whose call it is.
        name: of the task.
        args: positional arguments.
        kwargs: keyword arguments.
        options: those of `CALL_OPTIONS`; None among them means not given.
        task: None when its name is all that is known here.
        keyed: give the message of a once-task its once-lock.
        made_id: its id, where one was made for it already; the option `task_id` is the user's own.

    Raises:
        ConfigError: an option is unknown, or its value is not possible.
        CodecError: an argument cannot be encoded.
        MessageTooLarge: the encoded arguments are larger than `max_message_bytes`.
    """
    if options:
        _check_options(options)
    settings = app.settings
    merged = dict(task.call_defaults) if task else {}
    if settings.task_routes:
        merged.update(app.route(name))
    merged.update({k: x for k, x in options.items() if x is not None})
    own = {k: merged.pop(k) for k in _OF_ONE_MESSAGE & merged.keys()} if options else merged
    common = _common(app, settings, name, merged)
    once, packed = None, common.packed
    if keyed and task is not None and task.once_options is not None:
        once = once_lock(task, args, kwargs, own.get("once"))
        label = once_label(name, task.signature_of_call, args, kwargs, task.once_options.keys)
        packed = encode_headers(msgspec.structs.replace(common.headers, once_label=label))
    running, given_id = current_attempt.get(), own.get("task_id")
    parent = running.request if running else None
    return Message(
        id=given_id or made_id or ids.new_id(),
        payload=dumps_call(args, kwargs, common.serializer),
        headers=packed,
        once=once,
        root_id=own.get("root_id") or (parent.root_id or "" if parent else ""),
        parent_id=own.get("parent_id") or (parent.id if parent else None),
        token=_token(running) if given_id else "",
        **common.fields,
    )


def _token(running: Running | None) -> str:
    """What tells a new enqueue under a given id from one that is repeated.

    A body that is run again, after a death or as a retry, repeats itself: its message is the token.
    """
    return (running.request.id if running else None) or ids.new_id()


def _timing(app: App, merged: Mapping[str, Any]) -> dict[str, Any]:
    timing: dict[str, Any] = {}
    if merged.get("eta") is not None:
        timing["eta_ms"] = instant_ms("eta", merged["eta"], app.timezone)
    elif merged.get("countdown") is not None:
        timing["delay_ms"] = max(0, span_ms("countdown", merged["countdown"]))
    expires = merged.get("expires")
    if isinstance(expires, dt.datetime | str):
        timing["expires_ms"] = instant_ms("expires", expires, app.timezone)
    elif expires is not None:
        timing["expires_in_ms"] = span_ms("expires", expires)
    return timing
