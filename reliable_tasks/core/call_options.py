"""The options of a call, and the values that each may have.

Every way to give one ends here: `apply_async`, `send_task`, a signature's options, a route, a
schedule's entry, a retry, and (for those that a task has, too) the decorator.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import checks, texts
from reliable_tasks.core.codec import canonical_serializer
from reliable_tasks.core.once import check_once_of_call
from reliable_tasks.errors import ConfigError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CALL_OPTIONS",
    "MEANINGLESS",
    "PROPERTIES",
    "PUBLISH_RETRY",
    "checked",
    "durability",
    "one",
    "publish_retry",
]


def _instant(name: str, value: Any) -> Any:
    checks.instant(name, value, dt.UTC)  # a naive one gets its zone where its message is made
    return value


def _instant_or_span(name: str, value: Any) -> Any:
    if isinstance(value, dt.datetime | str):
        return _instant(name, value)
    checks.span(name, value)
    return value


def _span(name: str, value: Any) -> Any:
    checks.span(name, value)
    return value


def _headers(name: str, value: Any) -> Any:
    checks.user_headers(name, value)
    return value


PUBLISH_RETRY = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1}
"""How enqueueing is retried where `task_publish_retry_policy` does not say otherwise."""


def publish_retry(value: Any) -> dict[str, Any]:
    """How enqueueing is to be retried, with what is left out filled in; ValueError if not so."""
    if not isinstance(value, Mapping):
        raise ValueError("give a dict")  # noqa: TRY004 - one kind of wrong value, told alike
    for key, number in value.items():
        if key not in PUBLISH_RETRY:
            raise ValueError(f"{key!r} is not part of the policy{suggest(str(key), PUBLISH_RETRY)}")
        if number is None and key == "max_retries":
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise ValueError(f"{key!r} is a number from 0, not {texts.shown(number)}")
    return PUBLISH_RETRY | dict(value)


def durability(value: Any) -> str:
    """What an enqueue waits for; ValueError if unknown."""
    if isinstance(value, str) and re.fullmatch(r"memory|fsync|replicas:[1-9]\d{0,3}", value):
        return value
    raise ValueError("give 'memory', 'fsync' or 'replicas:N' with N from 1")


def _named(check: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    def of_option(name: str, value: Any) -> Any:
        try:
            return check(value)
        except ValueError as exc:
            raise ConfigError(f"{name}={texts.shown(value)}: {exc}") from None

    return of_option


def _nesting(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ConfigError(f"{name} must be a whole number from 0, not {texts.shown(value)}")
    return value


def _stamped(name: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} must be a list of the names of stamps, not {texts.shown(value)}")
    return list(dict.fromkeys(checks.text(f"a name in {name}", each) for each in value))


PROPERTIES = ("app_id", "cluster_id", "message_id", "reply_to", "type", "user_id")
"""Options that mean nothing here but travel, for `request.properties`."""

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(PROPERTIES, checks.text),
    "add_to_parent": checks.flag,
    "chain": checks.message_id,
    "chord": checks.message_id,
    "countdown": _span,
    "durable": _named(durability),
    "eta": _instant,
    "expires": _instant_or_span,
    "group_id": checks.message_id,
    "headers": _headers,
    "ignore_result": checks.flag,
    "once": check_once_of_call,
    "parent_id": checks.message_id,
    "priority": checks.priority,
    "queue": checks.queue,
    "replaced_task_nesting": _nesting,
    "retry": checks.flag,
    "retry_policy": _named(publish_retry),
    "root_id": checks.message_id,
    "routing_key": checks.queue,
    "serializer": lambda _, value: canonical_serializer(value),
    "shadow": checks.text,
    "soft_time_limit": checks.limit,
    "stamped_headers": _stamped,
    "task_id": checks.message_id,
    "time_limit": checks.limit,
}

CALL_OPTIONS = frozenset(_CHECKS)
"""What `apply_async` understands."""

MEANINGLESS = frozenset(
    {
        "argsrepr",
        "compression",
        "connection",
        "delivery_mode",
        "exchange",
        "exchange_type",
        "expiration",
        "group_index",
        "immediate",
        "kwargsrepr",
        "logfile",
        "loglevel",
        "mandatory",
        "producer",
        "publisher",
        "result_cls",
        "retries",
        "route_name",
        "router",
        "task_type",
    }
)
"""Celery's options that are accepted and ignored."""


def one(name: str, value: Any) -> Any:
    """One option, checked and normalised.

    Raises:
        ConfigError: there is none of this name, or the value is not possible.
    """
    check = _CHECKS.get(name)
    if check is not None:
        return check(name, value)
    if name in MEANINGLESS:
        return value
    raise ConfigError(f"unknown option {texts.shown(name)}{suggest(str(name), CALL_OPTIONS)}")


def _with_stamps(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options among which `stamped_headers` says which are stamps: these may be anything."""
    stamped = set(one("stamped_headers", options["stamped_headers"])) - _CHECKS.keys()
    kept = {name: value for name, value in options.items() if name in stamped}
    rest = {name: value for name, value in options.items() if name not in stamped}
    return {**kept, **{name: one(name, value) for name, value in rest.items() if value is not None}}


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """The given options (None counts as not given), checked and normalised.

    Raises:
        ConfigError: one is unknown, its value is not possible, or two contradict each other.
    """
    if options.get("stamped_headers"):
        kept = _with_stamps(options)
    else:
        kept = {name: one(name, value) for name, value in options.items() if value is not None}
    if "eta" in kept and "countdown" in kept:
        raise ConfigError("give either countdown or eta, not both")
    checks.limits_fit(kept.get("soft_time_limit"), kept.get("time_limit"))
    return kept
