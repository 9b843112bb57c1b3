"""Routes: the queue (and other options) that a call gets by `task_routes`.

`task_routes` is a dict, or a list whose parts are asked one after the other until one answers:
dicts of a task's name, glob or regular expression to a route; pairs of these; functions; and the
dotted names of functions, which are imported when they are first needed.
"""

# ruff: noqa: TRY004 - a value of a wrong type is one kind of wrong value, and told in the same way

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from reliable_tasks.config import kinds
from reliable_tasks.config.importing import import_object
from reliable_tasks.core import call_options, texts
from reliable_tasks.errors import ConfigError, suggest

__all__ = ["Router", "find_route", "queues_of", "routes"]

Router = dict[Any, dict[str, Any]] | Callable[..., Any] | str
"""A part of `task_routes`, frozen."""

_OPTIONS = frozenset(
    {
        "countdown",
        "expires",
        "headers",
        "priority",
        "queue",
        "serializer",
        "soft_time_limit",
        "time_limit",
    }
)
_OF_BROKERS = frozenset({"exchange", "exchange_type", "routing_key", "delivery_mode"})
_REMEDY = "give {'task name or glob': queue}, a router function, or a list of these"


# Freezing ----------------------------------------------------------------------------------------


def _route(what: str, value: object) -> dict[str, Any]:
    """One route, checked and normalized; ValueError if it is none."""
    if isinstance(value, str):
        return {"queue": kinds.name.check(value)}
    if not isinstance(value, Mapping):
        raise ValueError(f"{what}: give the name of a queue or {{'queue': name}}")
    for key in value:
        if key not in _OPTIONS | _OF_BROKERS:
            near = suggest(str(key), _OPTIONS)
            raise ValueError(f"{what}: {key!r} is not an option of a route{near}")
    if "queue" not in value and not _OF_BROKERS.isdisjoint(value):
        raise ValueError(f"{what}: there are no exchanges here, name a 'queue'")
    route = {key: kinds.copied(value[key]) for key in value if key in _OPTIONS}
    if not isinstance(route.get("queue"), str | None):  # kombu's Queue has a name
        route["queue"] = getattr(route["queue"], "name", route["queue"])
    try:
        return call_options.checked(route)
    except ConfigError as error:
        raise ValueError(f"{what}: {error}") from None


def _by_name(items: Iterable[tuple[Any, Any]]) -> dict[Any, dict[str, Any]]:
    routes: dict[Any, dict[str, Any]] = {}
    for pattern, route in items:
        if not isinstance(pattern, str | re.Pattern):
            raise ValueError(
                f"route {texts.shown(pattern)}: name tasks by a string, a glob or a compiled regex"
            )
        routes.setdefault(pattern, _route(f"route {pattern!r}", route))
    return routes


def _is_pair(part: Any) -> bool:
    if not isinstance(part, tuple | list) or len(part) != 2:  # noqa: PLR2004 - a pair
        return False
    return isinstance(part[0], str | re.Pattern) and isinstance(part[1], str | Mapping)


def _table(part: Any) -> dict[Any, dict[str, Any]] | None:
    """The routes of a dict or a list of pairs; None if it is neither."""
    if isinstance(part, Mapping):
        return _by_name(part.items())
    if isinstance(part, tuple | list) and all(map(_is_pair, part)):
        return _by_name((pair[0], pair[1]) for pair in part)
    return None


def _parts(value: Any) -> Iterator[Any]:
    """The parts of a setting; pairs that follow each other are one table, as in one dict."""
    if value is None:
        return
    if not isinstance(value, list | tuple):
        yield value
        return
    for are_pairs, parts in itertools.groupby(value, key=_is_pair):
        if are_pairs:
            yield list(parts)
        else:
            yield from parts


def _frozen(value: object) -> tuple[Router, ...]:
    """Routes as a tuple of routers; ValueError if something is none."""
    found: list[Router] = []
    for part in _parts(value):
        table = _table(part)
        if table is not None:
            found += [table] if table else []
        elif isinstance(part, str):
            if not re.fullmatch(r"[^\W\d]\w*([.:][^\W\d]\w*)+", part):
                raise ValueError(f"router {part!r} is no dotted name of a function; {_REMEDY}")
            found.append(part)
        elif callable(part) or hasattr(part, "route_for_task"):
            found.append(part)
        else:
            raise ValueError(f"route {texts.shown(part)}: {_REMEDY}")
    return tuple(found)


def _check(value: Any) -> Any:
    """Check by freezing, but keep the program's own value, which it may go on changing."""
    _frozen(value)
    return () if value is None else value


routes: kinds.Kind = kinds.Kind(
    "dict of name, glob or regex to queue; router; list of these",
    _check,
    kinds.parse_json,
    _frozen,
    lends=True,
)


# Asking ------------------------------------------------------------------------------------------


def find_route(
    routers: tuple[Router, ...],
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    task: Any,
) -> Mapping[str, Any]:
    """What the first router that answers says of a call; nothing if none does.

    Args:
        routers: the setting `task_routes`, frozen.
        name: of the task.
        args: of the call.
        kwargs: of the call.
        options: of the call and its task.
        task: None where only its name is known.

    Raises:
        ConfigError: a router cannot be imported, or its answer is no route.
        Exception: what a router raises.
    """
    for router in routers:
        if isinstance(router, dict):
            found = router.get(name)
            if found is None:
                found = next((r for pattern, r in router.items() if _fits(pattern, name)), None)
        else:
            found = _answer(router, name, args, kwargs, options, task)
        if found is not None:
            # A call that names a routing key names its queue by that.
            named = options.get("routing_key") and "queue" in found
            return {k: x for k, x in found.items() if k != "queue"} if named else found
    return {}


def queues_of(routers: tuple[Router, ...]) -> list[str]:
    """The queues that are named in routes; those of functions are not known."""
    tables = [router for router in routers if isinstance(router, dict)]
    named = (route.get("queue") for table in tables for route in table.values())
    return list(dict.fromkeys(str(queue) for queue in named if queue))


def _fits(pattern: Any, name: str) -> bool:
    if isinstance(pattern, str):
        return fnmatchcase(name, pattern)
    return pattern.match(name) is not None


@functools.cache
def _imported(dotted: str) -> Any:
    try:
        found = import_object(dotted)
    except ConfigError as error:
        raise ConfigError(f"task_routes: the router {dotted!r}: {error}") from error
    return found() if hasattr(found, "route_for_task") and isinstance(found, type) else found


def _answer(
    router: Callable[..., Any] | str,
    name: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    task: Any,
) -> dict[str, Any] | None:
    asked: Any = _imported(router) if isinstance(router, str) else router
    try:
        if hasattr(asked, "route_for_task"):  # a class of a router, as Celery 3 had them
            found = asked.route_for_task(name, args, kwargs)
        else:
            found = asked(name, args, kwargs, dict(options), task=task)
    except Exception as exc:
        exc.add_note(f"raised by the router {texts.said(router)} of task_routes, for {name}")
        raise
    if found is None:
        return None
    try:
        return _route(f"the router {texts.said(router)} answered {texts.shown(found)}", found)
    except ValueError as error:
        raise ConfigError(f"task_routes, for {name}: {error}") from None
