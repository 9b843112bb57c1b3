"""A call as another system's producer wrote it: Celery's message protocols 2 and 1. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from reliable_tasks.core.texts import as_seconds, shown
from reliable_tasks.errors import MessageRefused

from .content import content_of

if TYPE_CHECKING:
    from reliable_tasks.contrib.bridge.sources import Delivery

__all__ = ["ForeignCall", "id_told", "read_call", "task_told"]

_SHAPE: Final = "the body of protocol 2 is [[args], {kwargs}, {embed}]"
_PARTS: Final = 3
_ENDED_BY_BACKEND: Final = frozenset({"celery.chord_unlock"})
_OF_PROTOCOL: Final = frozenset(
    {
        *{"lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries"},
        *{"timelimit", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "meth"},
        *{"ignore_result", "replaced_task_nesting", "stamped_headers", "stamps", "compression"},
        *{"taskset", "chord", "chain", "callbacks", "errbacks", "args", "kwargs", "utc"},
    }
)
_NO_LIMITS: Final = [None, None]
_MAX_RETRIES: Final = 2**31


class ForeignCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a message of Celery's asks for. Times and options are as they were written.

    Attributes:
        utc: times without a zone are UTC; else in the zone of the settings.
        callbacks, errbacks: signatures, as dictionaries.
        chain: what follows it, the next one last, as Celery has it.
        user: headers that the protocol does not know.
    """

    id: str
    task: str
    args: Sequence[Any]
    kwargs: dict[str, Any]
    queue: str
    eta: Any = None
    expires: Any = None
    utc: bool = False
    retries: int = 0
    time_limit: float | None = None
    soft_time_limit: float | None = None
    root_id: Any = None
    parent_id: Any = None
    group: Any = None
    priority: Any = None
    reply_to: Any = None
    correlation_id: Any = None
    shadow: Any = None
    ignore_result: bool | None = None
    nesting: int = 0
    origin: str = ""
    stamps: Mapping[str, Any] | None = None
    user: dict[str, Any] | None = None
    callbacks: Sequence[Any] = ()
    errbacks: Sequence[Any] = ()
    chain: Sequence[Any] = ()


def id_told(delivery: Delivery) -> str | None:
    """The id that its headers or properties name, whatever else is wrong with it."""
    for value in (delivery.headers.get("id"), delivery.properties.get("correlation_id")):
        if isinstance(value, str) and value:
            return value
    return None


def task_told(delivery: Delivery) -> str | None:
    """The task that its headers name."""
    value = delivery.headers.get("task")
    return value if isinstance(value, str) and value else None


def read_call(delivery: Delivery, limit: int) -> ForeignCall:
    """Read a delivery whose body may have `limit` bytes.

    Raises:
        MessageRefused: it cannot be understood, or must not be taken over alone.
    """
    content = content_of(delivery, limit)
    headers = delivery.headers
    if "task" in headers and not isinstance(content, Mapping):
        args, kwargs, embed = _parts(content)
        return _call(delivery, headers, args, kwargs, embed)
    if isinstance(content, Mapping) and ("task" in content or "task" in headers):
        # A mixture has the headers of protocol 2 and the body of protocol 1, as Celery allows.
        fields = {**content, **headers} if "task" in headers else content
        group = content.get("group") or content.get("taskset")
        told = {**fields, "group": fields.get("group") or group}
        utc = bool(content.get("utc", True))
        args, kwargs = content.get("args"), content.get("kwargs")
        return _call(delivery, told, args, kwargs, content, utc=utc)
    named = "names no task in its headers" if isinstance(content, list) else "is of another shape"
    raise MessageRefused(
        f"this message {named}; write the headers task and id, and {_SHAPE} "
        "(protocol 1: a dictionary with task, id, args and kwargs)"
    )


def _parts(content: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    if not isinstance(content, list | tuple) or len(content) != _PARTS:
        given = f"{len(content)} parts" if isinstance(content, list | tuple) else shown(content)
        raise MessageRefused(f"{_SHAPE}, where embed may be {{}}; this one is {given}")
    args, kwargs, embed = content
    if embed is not None and not isinstance(embed, Mapping):
        raise MessageRefused(f"{_SHAPE}; embed is {shown(embed)}, and not a dictionary")
    return args, kwargs, embed or {}


def _call(
    delivery: Delivery,
    told: Mapping[str, Any],
    args: Any,
    kwargs: Any,
    embed: Mapping[str, Any],
    *,
    utc: bool = False,
) -> ForeignCall:
    task = _text("task", told.get("task"))
    properties = delivery.properties
    _refuse_chord(task, embed)
    hard, soft = _limits(told.get("timelimit"))
    stamped = told.get("stamped_headers") or []
    stamps = told.get("stamps")
    return ForeignCall(
        id=_text("id", told.get("id")),
        task=task,
        args=_list("args", args),
        kwargs=_dict("kwargs", kwargs),
        queue=delivery.queue,
        eta=told.get("eta"),
        expires=told.get("expires"),
        utc=utc,
        retries=_number("retries", told.get("retries")),
        time_limit=hard,
        soft_time_limit=soft,
        root_id=told.get("root_id"),
        parent_id=told.get("parent_id"),
        group=told.get("group"),
        priority=properties.get("priority"),
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id"),
        shadow=told.get("shadow"),
        ignore_result=True if told.get("ignore_result") else None,
        nesting=_number("replaced_task_nesting", told.get("replaced_task_nesting")),
        origin=str(told.get("origin") or "")[:255],
        stamps=_stamps(stamped, stamps),
        user=_user(delivery.headers),
        callbacks=_list("callbacks", embed.get("callbacks")),
        errbacks=_list("errbacks", embed.get("errbacks")),
        chain=_list("chain", embed.get("chain")),
    )


def _refuse_chord(task: str, embed: Mapping[str, Any]) -> None:
    if embed.get("chord") or task in _ENDED_BY_BACKEND:
        raise MessageRefused(
            "it is a part of a chord, whose counter lives in Celery's result backend, so its body "
            "would never start; let the chord's producer use this package, or send the whole chord "
            "as what follows a task (task.s() | group(…) | body), or leave its queue to Celery"
        )


def _text(name: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    what = "is missing" if value in {None, ""} else f"is {shown(value)}, and not text"
    raise MessageRefused(f"its {name} {what}; every message needs a task and an id")


def _list(name: str, value: Any) -> Sequence[Any]:
    if value is None:
        return []
    if isinstance(value, list | tuple):
        return value
    if name in {"callbacks", "errbacks"} and isinstance(value, Mapping):
        return [value]
    raise MessageRefused(f"its {name} must be a list, not {shown(value)}")


def _dict(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise MessageRefused(f"its {name} must be a dictionary with text as keys")
    return dict(value)


def _number(name: str, value: Any) -> int:
    if value is None:
        return 0
    if type(value) is int and 0 <= value < _MAX_RETRIES:
        return value
    raise MessageRefused(f"its {name} must be a whole number from 0, not {shown(value)}")


def _limits(value: Any) -> tuple[float | None, float | None]:
    """The hard and the soft limit; a soft one above the hard one means nothing."""
    if not value or value == _NO_LIMITS:
        return None, None
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - hard and soft
        raise MessageRefused(f"its timelimit must be [hard, soft], not {shown(value)}")
    hard, soft = (None if each is None else as_seconds(each) for each in value)
    if any(
        given is not None and (s is None or s < 0)
        for given, s in zip(value, (hard, soft), strict=True)
    ):
        raise MessageRefused(f"its timelimit must be [hard, soft] in seconds, not {shown(value)}")
    return hard, None if hard and soft and soft > hard else soft


def _stamps(names: Any, stamps: Any) -> Mapping[str, Any] | None:
    if not stamps:
        return None
    if not isinstance(stamps, Mapping) or not isinstance(names, list | tuple):
        raise MessageRefused(f"its stamps must be a dictionary, not {shown(stamps)}")
    return {str(name): stamps[name] for name in names if name in stamps} or None


def _user(headers: Mapping[str, Any]) -> dict[str, Any] | None:
    """Headers of the user's own; those that begin with x- are the broker's."""
    if headers.keys() <= _OF_PROTOCOL:
        return None
    own = {
        name: value
        for name, value in headers.items()
        if name not in _OF_PROTOCOL and not str(name).lower().startswith("x-")
    }
    return own or None
