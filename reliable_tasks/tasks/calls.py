"""Build the message of a call. Pure: no I/O."""

from __future__ import annotations

import datetime as dt
import numbers
import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from reliable_tasks.core import checks, ids, texts
from reliable_tasks.core.call_options import CALL_OPTIONS, PROPERTIES, checked
from reliable_tasks.core.codec import dumps_call
from reliable_tasks.core.context import current_attempt
from reliable_tasks.core.message import COMPLETE, Headers, Kind, Message, OnceLock, encode_headers
from reliable_tasks.core.once import once_key, once_label
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.config.conf import Settings
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.request import AttemptContext
    from reliable_tasks.tasks.task import Task

__all__ = [
    "CALL_OPTIONS",
    "HOST",
    "OF_ONE_MESSAGE",
    "PUBLISH",
    "Common",
    "build_message",
    "call_args",
    "call_kwargs",
    "check_size",
    "checked",
    "common_of",
    "complete_call",
    "once_lock",
]


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
    said = texts.shown(args)
    raise ConfigError(f"args must be a list or a tuple, not {said}; write args=({said},)")


def call_kwargs(kwargs: Any) -> dict[str, Any]:
    """Keyword arguments as a dictionary of the call's own.

    Raises:
        ConfigError: it is not a dictionary, or a key is not a string.
    """
    if not kwargs:
        return {}
    if not isinstance(kwargs, Mapping):
        raise ConfigError(f"kwargs must be a dict, not {texts.shown(kwargs)}")
    for name in kwargs:
        if not isinstance(name, str):
            raise ConfigError(f"the keys of kwargs must be strings, not {texts.shown(name)}")
    return dict(kwargs)


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


def complete_call(
    headers: Headers, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call to store when a retry asks for other arguments.

    What the parents left stays with the message; this keeps it from being put before them again.
    """
    return (args, {**kwargs, COMPLETE: True}) if headers.takes else (args, kwargs)


HOST = texts.printable(socket.gethostname())


def check_accepted(app: AppContext, serializer: str) -> None:
    """Refuse a serializer that the app's own workers would not decode."""
    if serializer not in app.accept_content:
        accepted = ", ".join(sorted(app.accept_content))
        raise ConfigError(
            f"serializer={serializer!r} is not accepted by this app's workers (accept_content: "
            f"{accepted}), so no message of it would run; choose one of these, or add it there"
        )


class Common(NamedTuple):
    """The parts shared by all messages of a task that are sent with the same options.

    Attributes:
        settings: in force then.
        pid: of the process, which is part of the headers.
        options: those of the task, its route and the call.
        serializer: of the payload.
        headers: of a message without a once-key.
        packed: the same, encoded.
        fields: of the message.
        kind: of its plain calls; None where none is plain, since they have times.
    """

    settings: Settings
    pid: int
    options: dict[str, Any]
    serializer: str
    headers: Headers
    packed: bytes
    fields: dict[str, Any]
    kind: Kind | None

    def holds(self, settings: Settings, options: dict[str, Any]) -> bool:
        """Whether it can be reused for a call with these options in this process."""
        return settings is self.settings and options == self.options and self.pid == os.getpid()


PUBLISH = ("durable", "retry", "retry_policy")
"""The options that are about the sending, not about the messages."""
OF_ONE_MESSAGE = frozenset({"once", "parent_id", "root_id", "task_id"})
"""And those that are about one message only."""
_COMPARABLE = frozenset({str, int})
_MOST_COMMONS = 1000


def common_of(app: AppContext, settings: Settings, name: str, options: dict[str, Any]) -> Common:
    """The shared parts for these options; reused if they equal those of the last call.

    Only text and whole numbers are compared: what is equal may still be of another type (1, True),
    and a dictionary may be changed by its owner between two calls.
    """
    lasting = not options or all(type(x) in _COMPARABLE for x in options.values())
    known: Common | None = app.commons.get(name)
    if lasting and known is not None and known.holds(settings, options):
        return known
    serializer = options.get("serializer") or settings.task_serializer
    check_accepted(app, serializer)
    given = options.get("headers")
    timing = _timing(app, options)
    headers = Headers(
        serializer=serializer,
        time_limit=options.get("time_limit"),
        soft_time_limit=options.get("soft_time_limit"),
        ignore_result=options.get("ignore_result"),
        shadow=options.get("shadow"),
        user=None if given is None else checks.user_headers("headers", given),
        group=options.get("group_id"),
        chord=options.get("chord"),
        chain=options.get("chain"),
        origin=f"{os.getpid()}@{HOST}",
        stamps=_stamps(options),
        properties={n: options[n] for n in PROPERTIES if n in options} or None,
        nesting=options.get("replaced_task_nesting", 0),
        countdown_ms=timing.get("delay_ms", 0),
    )
    fields = {
        "task": name,
        "queue": _queue(options) or settings.task_default_queue,
        "priority": options.get("priority", settings.task_default_priority),
        "max_deliveries": settings.max_deliveries,
        "result_ttl_ms": app.result_ttl_ms,
        "failure_ttl_ms": app.failure_ttl_ms,
        **timing,
    }
    packed = encode_headers(headers)
    kind = None if timing else Kind(headers=packed, root_id="", parent_id=None, **fields)
    common = Common(settings, os.getpid(), options, serializer, headers, packed, fields, kind)
    if lasting:
        if len(app.commons) >= _MOST_COMMONS:
            app.commons.clear()
        app.commons[name] = common
    return common


def check_size(common: Common, headers: bytes, payload: bytes) -> None:
    """Raise MessageTooLarge where a call is larger than `max_message_bytes`."""
    size, limit = len(payload) + len(headers), common.settings.max_message_bytes
    if size > limit:
        checks.check_size(f"a message of {common.fields['task']}", size, limit, "max_message_bytes")


def _queue(options: Mapping[str, Any]) -> Any:
    """The queue that a call names; a routing key alone is one, as at Celery's default exchange."""
    key = None if options.get("exchange") else options.get("routing_key")
    return options.get("queue") or key


def build_message(
    app: AppContext,
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
    if task is not None and task.call_rewriting is not None:
        args, kwargs, options = task.call_rewriting(args, kwargs, options)
    if options:
        options = checked(options)
    if task is None:
        name = checks.text("the name of a task", name)
    settings = app.settings
    merged = dict(task.call_defaults) if task else {}
    merged.update(options)
    if settings.task_routes:
        merged = {**app.route(name, args, kwargs, merged, task), **merged}
    own = {k: merged.pop(k) for k in OF_ONE_MESSAGE & merged.keys()} if options else merged
    common = common_of(app, settings, name, merged)
    once, packed = None, common.packed
    if keyed and task is not None and task.once_options is not None:
        once = once_lock(task, args, kwargs, own.get("once"))
        label = once_label(name, task.signature_of_call, args, kwargs, task.once_options.keys)
        packed = encode_headers(msgspec.structs.replace(common.headers, once_label=label))
    payload = dumps_call(args, kwargs, common.serializer)
    check_size(common, packed, payload)
    running, given_id = current_attempt.get(), own.get("task_id")
    parent = running.request if running else None
    return Message(
        id=given_id or made_id or ids.new_id(),
        payload=payload,
        headers=packed,
        once=once,
        root_id=own.get("root_id") or (parent.root_id or "" if parent else ""),
        parent_id=own.get("parent_id") or (parent.id if parent else None),
        token=_token(running) if given_id else "",
        **common.fields,
    )


def _stamps(options: Mapping[str, Any]) -> dict[str, Any] | None:
    names = options.get("stamped_headers")
    if not names:
        return None
    given = {name: options[name] for name in names if name in options}
    return checks.user_headers("the stamps", given)


def _token(running: AttemptContext | None) -> str:
    """A token that distinguishes a new enqueue under a given id from a repeated one.

    A body that is run again, after a death or as a retry, repeats itself: its message is the token.
    """
    return (running.request.id if running else None) or ids.new_id()


def _timing(app: AppContext, merged: Mapping[str, Any]) -> dict[str, Any]:
    timing: dict[str, Any] = {}
    if merged.get("eta") is not None:
        timing["eta_ms"] = checks.instant_ms("eta", merged["eta"], app.timezone)
    elif merged.get("countdown") is not None:
        timing["delay_ms"] = max(0, checks.span_ms("countdown", merged["countdown"]))
    expires = merged.get("expires")
    if isinstance(expires, dt.datetime | str):
        timing["expires_ms"] = checks.instant_ms("expires", expires, app.timezone)
    elif expires is not None:
        timing["expires_in_ms"] = max(0, checks.span_ms("expires", expires))
    return timing
