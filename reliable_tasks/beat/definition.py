"""Turn an entry as a program defines it, in `beat_schedule` or at run time, into a stored one."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from reliable_tasks.canvas import Signature, compile_plan, messages_of, plan_of, signature
from reliable_tasks.core import context
from reliable_tasks.core.checks import instant_ms, span_ms, text
from reliable_tasks.core.codec import dumps, loads
from reliable_tasks.core.message import decode_headers
from reliable_tasks.core.texts import as_seconds, shown
from reliable_tasks.errors import CodecError, ConfigError, MessageTooLarge, suggest
from reliable_tasks.store.steps import check_whole
from reliable_tasks.store.values import Entry
from reliable_tasks.tasks.calls import call_args

from .crontab import crontab
from .encoding import FIRST, Spec, Template, Timetable, decode_spec, encode, relabelled
from .plan import CatchUp
from .schedules import maybe_schedule, schedule
from .solar import solar
from .zones import as_zone, zone_name

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Message

    from .schedules import BaseSchedule

__all__ = [
    "UNRULY",
    "Definition",
    "changed_entry",
    "define",
    "new_entry",
    "rebuilt",
    "unknown_task",
]

_CALL_KEYS = ("task", "schedule", "args", "kwargs", "options")
_SPEC_KEYS = ("relative", "tz", "catch_up", "jitter", "start_at", "end_at")
_ONE_SLOT_ONLY = {
    "eta": "it is one instant; say countdown for a delay after each slot",
    "task_id": "each slot's message gets an id of its own; a OnceTask keeps two from being there",
}
_CANVASES = ("chain", "chord", "chunks", "group")


UNRULY = (Exception, SystemExit, GeneratorExit, CancelledError)
"""What a program's schedule, argument, router or receiver may raise: only its own entry suffers."""

# The methods that define a schedule's slots. A class that overrides them cannot be stored.
_OF_SLOTS = ("next_slot", "_next", "is_due", "remaining_estimate", "_remaining", "now")


class Definition(NamedTuple):
    """An entry as the program defines it."""

    spec: Spec
    template: Template


def define(app: AppContext, name: str, given: Mapping[str, Any], now_ms: int) -> Definition:
    """Read an entry: a value of `beat_schedule`.

    Args:
        app: whose tasks, routes and settings hold for it.
        name: of the entry.
        given: `task`, `schedule`, `args`, `kwargs`, `options`, `relative`, `tz`, `catch_up`,
            `jitter`, `start_at`, `end_at`; all but the first two may also stand in `options`.
        now_ms: where the grid of an interval starts that says nothing of it.

    Raises:
        ConfigError: something in it is not possible; the message names the entry.
    """
    try:
        text("its name", name)
        _check_keys(given)
        options = dict(given.get("options") or {})
        spec_given = {key: options.pop(key) for key in _SPEC_KEYS if key in options}
        spec_given.update((key, given[key]) for key in _SPEC_KEYS if key in given)
        spec = _spec(app, given["schedule"], spec_given, now_ms)
        return Definition(spec, _template(app, _checked(_signature(app, given, options))))
    except (ConfigError, CodecError, MessageTooLarge, TypeError) as error:
        raise ConfigError(f"schedule entry {name!r}: {error}") from error
    except UNRULY as error:
        raise ConfigError(
            f"schedule entry {name!r}: its schedule, an argument or a router raised {error!r}"
        ) from error


def _check_keys(given: Mapping[str, Any]) -> None:
    known = (*_CALL_KEYS, *_SPEC_KEYS)
    for key in given:
        if key not in known:
            raise ConfigError(f"unknown key {key!r}{suggest(str(key), known)}")
    for key in ("task", "schedule"):
        if given.get(key) is None:
            raise ConfigError(f"it needs a {key!r}")


def unknown_task(app: AppContext, template: Template) -> str | None:
    """The first of a template's tasks that is not registered with `app`."""
    return next((m.task for m in template.messages if m.task not in app.tasks), None)


# When ---------------------------------------------------------------------------------------------


def _spec(app: AppContext, when: Any, given: Mapping[str, Any], now_ms: int) -> Spec:
    zone = as_zone(given.get("tz")) or as_zone(app.settings.timezone) or UTC
    catch_up = given.get("catch_up") or app.settings.beat_catch_up
    if catch_up not in get_args(CatchUp):
        known = get_args(CatchUp)
        raise ConfigError(
            f"catch_up={catch_up!r} is not one of {', '.join(known)}{suggest(str(catch_up), known)}"
        )
    jitter_ms = span_ms("jitter", given.get("jitter") or 0)
    if jitter_ms < 0:
        raise ConfigError(f"jitter={given['jitter']!r}: a slot can only be put off")
    bounds = [
        None if given.get(key) is None else instant_ms(key, given[key], zone)
        for key in ("start_at", "end_at")
    ]
    start_ms, end_ms = bounds
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise ConfigError(
            f"end_at={given['end_at']!s} is before start_at={given['start_at']!s}: it has no slots"
        )
    described = _storable(maybe_schedule(when, bool(given.get("relative")))).to_spec()
    free = described.get("type") == "interval" and described.get("anchor_ms") is None
    spec = Spec(
        schedule=described,
        tz=zone_name(zone) or "UTC",
        catch_up=catch_up,
        jitter_ms=jitter_ms,
        anchor_ms=(now_ms if start_ms is None else start_ms) if free else None,
        start_ms=start_ms,
        end_ms=end_ms,
    )
    Timetable.of(spec)  # raises for a schedule that no beat could read back
    return spec


def _storable(made: BaseSchedule) -> BaseSchedule:
    """Refuse a schedule class of the program's own: every beat rebuilds it from what is stored."""
    base = next((kind for kind in (schedule, crontab, solar) if isinstance(made, kind)), None)
    kind = type(made)
    own = [n for n in _OF_SLOTS if base is None or getattr(kind, n) is not getattr(base, n)]
    if not own:
        return made
    raise ConfigError(
        f"its schedule is a {kind.__name__}, which says by itself when it is due "
        f"({', '.join(own)}). What is stored, for any beat to go by, is a schedule, a crontab or a "
        "solar event: use one of these, if need be a more frequent one whose task looks whether "
        "it is time"
    )


# What ---------------------------------------------------------------------------------------------


def _signature(app: AppContext, given: Mapping[str, Any], options: dict[str, Any]) -> Signature:
    for key, remedy in _ONE_SLOT_ONLY.items():
        if options.get(key) is not None:
            raise ConfigError(f"{key}={options[key]!r}: {remedy}")
    task, args = given["task"], call_args(given.get("args"))
    kwargs = dict(given.get("kwargs") or {})
    if isinstance(task, Mapping):
        return signature(dict(task), app=app).clone(args, kwargs or None, **options)
    name = task if isinstance(task, str) else getattr(task, "name", None)
    if not name:
        raise ConfigError(f"its task must be a task, its name or a signature, not {task!r}")
    sig = {"task": name, "args": args, "kwargs": kwargs, "options": options}
    # `add_periodic_task` passes a canvas on as the name of its kind and its parts.
    package, _, kind = name.rpartition(".")
    if package == "reliable_tasks" and kind in _CANVASES and name not in app.tasks:
        sig["subtask_type"] = kind
    return Signature.from_dict(sig, app)


def _checked(sig: Signature) -> Signature:
    """Refuse options with which no slot's message could ever run."""
    expires, countdown = (as_seconds(sig.options.get(key)) for key in ("expires", "countdown"))
    if expires is not None and expires <= 0:
        raise ConfigError(
            f"expires={shown(sig.options['expires'])}: each of its messages would have expired "
            "before it could start; give more than 0 seconds"
        )
    if countdown is not None and countdown < 0:
        raise ConfigError(
            f"countdown={shown(sig.options['countdown'])}: no message starts before its slot; give "
            "0 or more seconds"
        )
    return sig


def _template(app: AppContext, sig: Signature) -> Template:
    # If a task's body schedules an entry, its messages are not children of that task's message.
    outer = context.current_attempt.set(None)
    try:
        graph = compile_plan(plan_of(sig))
        made = messages_of(graph, app) if graph.nodes else []
    finally:
        context.current_attempt.reset(outer)
    if not made:
        raise ConfigError("there is nothing to run in it")
    if len(made) > app.settings.max_batch:
        raise ConfigError(
            f"it makes {len(made)} messages, and a slot's are stored in one step of at most "
            f"max_batch={app.settings.max_batch}; schedule a task that starts the workflow"
        )
    check_whole(made, f"an entry that calls {made[0].task}")
    messages = _labelled(tuple(made))
    serializer = decode_headers(made[0].headers).serializer
    first = next(m for m in messages if m.id == FIRST)
    return Template(
        task=first.task,
        call=dumps(dict(sig), serializer),
        serializer=serializer,
        messages=messages,
        durable=sig.options.get("durable"),
    )


def _labelled(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Labels instead of ids, so that a template rebuilt from the same call is equal."""
    labels = {messages[0].root_id: FIRST}
    return relabelled(messages, lambda name: labels.setdefault(name, str(len(labels))), origin="")


def rebuilt(app: AppContext, template: Template) -> Template:
    """The template as the present code makes it, with the task's queue, once-lock and so on.

    The same one comes back if this app does not know the task, or its call cannot be made any more.
    """
    if unknown_task(app, template) is not None:
        return template
    try:
        sig = loads(template.call, template.serializer, app.accept_content)
        return _template(app, signature(sig, app=app))
    except UNRULY:
        # The stored call can still be sent; its task will say what is wrong with it.
        return template


# Entries ------------------------------------------------------------------------------------------


def new_entry(name: str, definition: Definition, origin: str, now_ms: int) -> Entry:
    """An entry that starts with the first slot after `now_ms`."""
    return Entry(
        name=name,
        spec=encode(definition.spec),
        template=encode(definition.template),
        origin=origin,
        next_ms=Timetable.of(definition.spec).after(now_ms),
    )


def changed_entry(old: Entry, definition: Definition, now_ms: int) -> Entry:
    """`old` as the program defines it now; equal to `old` if nothing has changed.

    It keeps its next slot, which may have passed already, unless the schedule itself has changed.
    """
    spec, before = definition.spec, decode_spec(old.spec)
    fields: dict[str, Any] = {"template": encode(definition.template)}
    if spec.schedule == before.schedule and spec.start_ms == before.start_ms:
        spec = msgspec.structs.replace(spec, anchor_ms=before.anchor_ms)
    fields["spec"] = encode(spec)
    if spec.timing != before.timing:
        fields["next_ms"] = Timetable.of(spec).after(max(now_ms, old.last_ms or 0))
    return msgspec.structs.replace(old, **fields)
