"""The signals of publishing: receivers see a message as Celery sends it, and may change it.

A message is encoded already when it gets here. Where a receiver is connected it is decoded, shown,
and what the receivers have changed is encoded again, before the message is stored.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from reliable_tasks import events, signals
from reliable_tasks.core import checks, clock
from reliable_tasks.core.codec import dumps_call, loads_call
from reliable_tasks.core.codec.tags import untag
from reliable_tasks.core.message import (
    COMPLETE,
    Headers,
    Message,
    decode_headers,
    encode_headers,
)
from reliable_tasks.core.once import once_key, once_label
from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.outcome import Retry
    from reliable_tasks.store.values import Claim

__all__ = ["announce", "announced", "hand_over", "hand_over_retry", "protocol_headers", "untagged"]

_FIXED = ("id", "task", "root_id", "parent_id", "group", "retries")
_OF_HEADERS = ("ignore_result", "shadow", "timelimit")
_OF_STAMPS = ("stamps", "stamped_headers")
_LONGEST_REPR = 1024


def announce(
    app: AppContext,
    messages: tuple[Message, ...],
    options: Mapping[str, Any] | None = None,
    retries: int = 0,
) -> tuple[Message, ...]:
    """Send `before_task_publish` for each message; returns the messages as receivers left them.

    Of what a receiver changes these count: the arguments in `body`; `headers` of the user's own,
    and `shadow`, `timelimit`, `ignore_result`, `eta` and `expires`; the `priority` in `properties`.

    Args:
        app: whose messages they are.
        messages: about to be stored.
        options: of the call; `retry_policy` is shown.
        retries: how often the message was tried already.

    Raises:
        ConfigError: what a receiver left cannot be encoded, or is not to be changed.
        MessageTooLarge: with it the message is larger than `max_message_bytes`.
    """
    if not signals.before_task_publish.receivers:
        return messages
    policy = (options or {}).get("retry_policy")
    return tuple(_announced(app, message, policy, retries) for message in messages)


def announced(messages: Sequence[Message], receipts: Sequence[Any]) -> None:
    """Send `after_task_publish` for each message that the store has answered for.

    Args:
        messages: what was sent.
        receipts: the answers; None for what is stored with the commit of the attempt that asked.
    """
    if not signals.after_task_publish.receivers:
        return
    for message, receipt in zip(messages, receipts, strict=True):
        shown = _Shown.of(message)
        signals.after_task_publish.send(
            message.task,
            body=shown.body,
            exchange="",
            routing_key=message.queue,
            headers=shown.headers,
            receipt=receipt,
        )


def hand_over(app: AppContext, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Send both signals for messages that are stored with the commit of the attempt that runs.

    Raises:
        ConfigError, MessageTooLarge: as `announce` does.
    """
    sent = announce(app, messages)
    announced(sent, [None] * len(sent))
    return sent


def hand_over_retry(app: AppContext, claim: Claim, retry: Retry, due_ms: int) -> Retry:
    """The same for a retry of a claimed message; what cannot be sent leaves it as it was.

    Args:
        app: whose message it is.
        claim: of the attempt that is to be tried again.
        retry: the outcome.
        due_ms: when the next attempt is due.
    """
    expires_ms = claim.expires_ms if retry.expires_ms is None else retry.expires_ms
    message = Message(
        id=claim.id,
        task=claim.task,
        queue=retry.queue or claim.queue,
        priority=claim.priority if retry.priority is None else retry.priority,
        payload=claim.payload if retry.payload is None else retry.payload,
        headers=claim.headers if retry.headers is None else retry.headers,
        eta_ms=due_ms,
        expires_ms=expires_ms,
        root_id=claim.root_id,
        parent_id=claim.parent_id,
    )
    try:
        (sent,) = announce(app, (message,), retries=claim.attempt)
    except events.outlived() as exc:
        events.report(f"the retry of {claim.task}[{claim.id}] goes on without the change", exc)
        sent = message
    announced((sent,), (None,))
    names = ("priority", "payload", "headers", "expires_ms")
    changes = {n: getattr(sent, n) for n in names if getattr(sent, n) != getattr(message, n)}
    if sent.eta_ms != due_ms:
        changes["at_ms"] = sent.eta_ms
    return msgspec.structs.replace(retry, **changes) if changes else retry


class _Shown(NamedTuple):
    """A message as receivers see it.

    Attributes:
        body: arguments (a list), keyword arguments (a dict), and what else is in Celery's body.
        headers: Celery's own and the user's, in one dict as Celery has them.
        told: the headers of the message.
        own: Celery's own ones once more, to find out what was changed.
        complete: see `COMPLETE`.
    """

    body: tuple[list[Any], dict[str, Any], dict[str, Any]]
    headers: dict[str, Any]
    told: Headers
    own: dict[str, Any]
    complete: bool

    @classmethod
    def of(cls, message: Message, retries: int = 0) -> _Shown:
        told = decode_headers(message.headers)
        args, kwargs = loads_call(message.payload, told.serializer, (told.serializer,))
        complete = kwargs.pop(COMPLETE, False)
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        own = protocol_headers(message, told, clock.now_ms(), retries)
        own["argsrepr"], own["kwargsrepr"] = (f"{x!r:.{_LONGEST_REPR}}" for x in (args, kwargs))
        user = untagged(told.user)
        copies = {"timelimit": [*own["timelimit"]], "stamps": dict(own["stamps"])}
        return cls(([*args], kwargs, embed), {**own, **copies, **user}, told, own, complete)


def protocol_headers(
    message: Message, told: Headers, now_ms: int, retries: int = 0
) -> dict[str, Any]:
    """The headers of Celery's protocol 2, but for what shows the arguments.

    Args:
        message: whose they are.
        told: its own headers.
        now_ms: the present; delays are counted from it.
        retries: how often the message was tried already, since it came here.
    """
    eta_ms, expires_ms = message.eta_ms, message.expires_ms
    if message.delay_ms:
        eta_ms = now_ms + message.delay_ms
    if message.expires_in_ms is not None:
        expires_ms = now_ms + message.expires_in_ms
    return {
        "lang": "py",
        "task": message.task,
        "id": message.id,
        "shadow": told.shadow,
        "eta": _iso(eta_ms),
        "expires": _iso(expires_ms),
        "group": told.group,
        "group_index": None,
        "retries": retries + told.retries,
        "timelimit": [told.time_limit, told.soft_time_limit],
        "root_id": message.root_id or message.id,
        "parent_id": message.parent_id,
        "origin": told.origin,
        "ignore_result": bool(told.ignore_result),
        "replaced_task_nesting": told.nesting,
        "stamped_headers": None if told.stamps is None else list(told.stamps),
        "stamps": untagged(told.stamps),
    }


def untagged(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Headers of the user's own as they were given."""
    return {name: untag(value) for name, value in (headers or {}).items()}


def _limits(value: Any) -> tuple[float | None, float | None]:
    """The limits, hard and soft, that a receiver has set; None for none of either."""
    what = "headers['timelimit']"
    if value is None:
        return None, None
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - a pair
        raise ConfigError(
            f"{what} must be a list [hard, soft] of seconds or None, got {shown(value)}"
        )
    hard, soft = (None if limit is None else checks.limit(what, limit) for limit in value)
    return hard, soft


def _iso(ms: int | None) -> str | None:
    return None if ms is None else dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat()


# What receivers have changed ---------------------------------------------------------------------


def _announced(app: AppContext, message: Message, policy: Any, retries: int) -> Message:
    shown = _Shown.of(message, retries)
    properties = {
        "correlation_id": message.id,
        "reply_to": "",
        "priority": message.priority,
        **(shown.told.properties or {}),
    }
    signals.before_task_publish.send(
        message.task,
        body=shown.body,
        exchange="",
        routing_key=message.queue,
        declare=[],
        headers=shown.headers,
        properties=properties,
        retry_policy=policy,
    )
    try:
        changed = _changed(app, message, shown, properties)
    except events.outlived() as exc:
        raise ConfigError(
            f"{message.task} cannot be sent as a receiver of before_task_publish has left it: {exc}"
        ) from exc
    limit = app.settings.max_message_bytes
    size = len(changed.payload) + len(changed.headers)
    checks.check_size(f"a message of {message.task}", size, limit, "max_message_bytes")
    return changed


def _changed(
    app: AppContext, message: Message, shown: _Shown, properties: dict[str, Any]
) -> Message:
    told = shown.told
    changes = _changes_of_message(app, shown)
    if properties.get("priority", message.priority) != message.priority:
        changes["priority"] = checks.priority("properties['priority']", properties["priority"])
    args, kwargs, _ = shown.body
    if shown.complete:
        kwargs = {**kwargs, COMPLETE: True}
    payload = dumps_call(tuple(args), kwargs, told.serializer)
    headers = msgspec.structs.replace(told, **_changes_of_headers(shown))
    if payload != message.payload:
        changes["payload"] = payload
        headers, changes["once"] = _keyed(app, message, headers, shown)
    if headers != told:
        changes["headers"] = encode_headers(headers)
    return msgspec.structs.replace(message, **changes) if changes else message


def _differs(shown: _Shown, name: str) -> bool:
    """Whether a receiver has changed one of Celery's headers; the user's own may have its name."""
    mine = name not in (shown.told.user or {}) and name in shown.headers
    return bool(mine and shown.headers[name] != shown.own[name])


def _changes_of_message(app: AppContext, shown: _Shown) -> dict[str, Any]:
    for name in _FIXED:
        if _differs(shown, name):
            raise ConfigError(f"headers[{name!r}] belongs to the message; leave it as it is")
    changes: dict[str, Any] = {}
    for name, span, nothing in (("eta", "delay_ms", 0), ("expires", "expires_in_ms", None)):
        if _differs(shown, name):
            value = shown.headers[name]
            where = f"headers[{name!r}]"
            at = None if value is None else checks.instant_ms(where, value, app.timezone)
            changes |= {f"{name}_ms": at, span: nothing}
    return changes


def _changes_of_headers(shown: _Shown) -> dict[str, Any]:
    own, told = shown.own, shown.told
    # What has no meaning here is carried along, as any header of the user's own is.
    meant = {*_FIXED, *_OF_HEADERS, *_OF_STAMPS, "eta", "expires"}
    extra = {
        name: value
        for name, value in shown.headers.items()
        if name not in own
        or name in (told.user or {})
        or (name not in meant and _differs(shown, name))
    }
    changes: dict[str, Any] = {"user": checks.user_headers("headers", extra) if extra else None}
    if _differs(shown, "shadow"):
        value = shown.headers["shadow"]
        changes["shadow"] = None if value is None else checks.text("headers['shadow']", value)
    if _differs(shown, "ignore_result"):
        flag = checks.flag("headers['ignore_result']", shown.headers["ignore_result"])
        changes["ignore_result"] = flag
    if _differs(shown, "timelimit"):
        hard, soft = _limits(shown.headers["timelimit"])
        checks.limits_fit(soft, hard)
        changes |= {"time_limit": hard, "soft_time_limit": soft}
    if _differs(shown, "stamps"):
        stamps = checks.user_headers("headers['stamps']", shown.headers["stamps"] or {})
        changes["stamps"] = stamps or None
    return changes


def _keyed(
    app: AppContext, message: Message, headers: Headers, shown: _Shown
) -> tuple[Headers, Any]:
    """Check other arguments, and make the once-key of them; a worker makes it where this cannot."""
    task, args, kwargs = app.tasks.get(message.task), tuple(shown.body[0]), shown.body[1]
    if task is None:
        return headers, None
    if task.typing and (shown.complete or not headers.takes):
        task.check_arguments(args, kwargs)
    if message.once is None or task.once_options is None:
        return headers, message.once
    call = (task.signature_of_call, args, kwargs, task.once_options.keys)
    label, key = once_label(message.task, *call), once_key(message.task, *call)
    once = msgspec.structs.replace(message.once, key=key)
    return msgspec.structs.replace(headers, once_label=label), once
