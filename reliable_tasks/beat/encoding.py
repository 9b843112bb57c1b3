"""An entry's `spec` and `template`: when it fires, and the messages that it sends.

A template holds finished messages with labels instead of ids. So a beat can fire entries of tasks
that it does not know (another program's, or a newer version's), with their queues and once-locks:
for each slot it only fills in the ids. These follow from the namespace, the entry and the slot, so
firing a slot twice finds its messages in the store already.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.core.message import Message, decode_headers, encode_headers
from reliable_tasks.errors import ConfigError

from .plan import DEFAULT_GRACE_MS, CatchUp, DuePlan, due_slots, first_slot, jittered
from .specs import schedule_from_spec
from .zones import as_zone, from_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo

    from .schedules import BaseSchedule

__all__ = [
    "FIRST",
    "Spec",
    "Template",
    "Timetable",
    "decode_spec",
    "decode_template",
    "encode",
    "messages_of_slot",
    "relabelled",
    "slot_id",
]

FIRST = "0"
"""The label of the first message, whose id is the slot's."""

_SLOTS = uuid.UUID("7a1bd3a5-6f0c-4f36-9d40-5b0c6f2b7f11")


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When an entry fires.

    Attributes:
        schedule: what `schedule_from_spec` takes.
        tz: the name of the zone to count in.
        catch_up: what is done about slots that were missed.
        jitter_ms: messages start up to so much after their slot.
        anchor_ms: where the grid of an interval starts.
        start_ms: earlier slots do not count.
        end_ms: later slots do not count.
    """

    schedule: dict[str, Any]
    tz: str = "UTC"
    catch_up: CatchUp = "skip"
    jitter_ms: int = 0
    anchor_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def timing(self) -> tuple[object, ...]:
        """What determines the slots, apart from the anchor."""
        return (self.schedule, self.tz, self.start_ms, self.end_ms)


class Template(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entry sends.

    Attributes:
        task: its name, or that of the first of a workflow's tasks.
        call: the signature it was made of, encoded, for making it anew after a change of the code.
        serializer: of `call`.
        messages: with labels in the place of ids; the first label is `FIRST`.
        durable: durability asked for, see `Batch`.
    """

    task: str
    call: bytes
    serializer: str = "json"
    messages: tuple[Message, ...] = ()
    durable: str | None = None


_encoder = msgspec.msgpack.Encoder()
_specs = msgspec.msgpack.Decoder(Spec)
_templates = msgspec.msgpack.Decoder(Template)


def encode(value: Spec | Template) -> bytes:
    """Pack for `Entry.spec` or `Entry.template`; equal values give equal bytes."""
    return _encoder.encode(value)


def decode_spec(data: bytes) -> Spec:
    """Unpack `Entry.spec`.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return _specs.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"an entry's stored schedule is damaged: {error}") from error


def decode_template(data: bytes) -> Template:
    """Unpack `Entry.template`.

    Raises:
        ConfigError: it is damaged.
    """
    try:
        return _templates.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"an entry's stored call is damaged: {error}") from error


# When ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timetable:
    """A `Spec` with its schedule built, which gives slots."""

    spec: Spec
    schedule: BaseSchedule
    zone: tzinfo
    anchor: datetime | None
    start_at: datetime | None
    end_at: datetime | None

    @classmethod
    def of(cls, spec: Spec) -> Timetable:
        """The timetable of a spec.

        Raises:
            BadSchedule: it cannot be made here (the extra for `solar` is missing, say).
        """
        moments = (spec.anchor_ms, spec.start_ms, spec.end_ms)
        anchor, start, end = (None if ms is None else from_ms(ms) for ms in moments)
        schedule = schedule_from_spec(spec.schedule)
        return cls(spec, schedule, as_zone(spec.tz) or UTC, anchor, start, end)

    def after(self, moment_ms: int) -> int | None:
        """The first slot after `moment_ms`; None if there is none."""
        return first_slot(
            self.schedule,
            now_ms=moment_ms,
            tz=self.zone,
            anchor=self.anchor,
            start_at=self.start_at,
            end_at=self.end_at,
        )

    def upcoming(self, moment_ms: int) -> Iterator[int]:
        """The slots after `moment_ms`, one after another."""
        slot = self.after(moment_ms)
        while slot is not None:
            yield slot
            slot = self.after(slot)

    def due(self, next_ms: int | None, now_ms: int, limit: int) -> DuePlan:
        """What to do about the slots from `next_ms` to `now_ms`; see `due_slots`."""
        return due_slots(
            self.schedule,
            next_slot_ms=next_ms,
            now_ms=now_ms,
            policy=self.spec.catch_up,
            limit=limit,
            tz=self.zone,
            anchor=self.anchor,
            start_at=self.start_at,
            end_at=self.end_at,
        )


# What ---------------------------------------------------------------------------------------------


def slot_id(namespace: str, entry: str, slot_ms: int, label: str = FIRST) -> str:
    """The id of a slot's message: the same wherever and however often it is computed."""
    return str(uuid.uuid5(_SLOTS, f"{namespace}\0{entry}\0{slot_ms}\0{label}"))


def relabelled(
    messages: tuple[Message, ...], rename: Callable[[str], str], origin: str
) -> tuple[Message, ...]:
    """The same messages under other ids, wherever these stand."""
    rename = lru_cache(None)(rename)
    return tuple(_relabelled(message, rename, origin) for message in messages)


def _relabelled(message: Message, rename: Callable[[str], str], origin: str) -> Message:
    headers = decode_headers(message.headers)
    parts = {"group": headers.group, "chord": headers.chord, "chain": headers.chain}
    named = {part: rename(value) for part, value in parts.items() if value}
    return msgspec.structs.replace(
        message,
        root_id=rename(message.root_id),
        id=rename(message.id),
        edges=tuple(
            msgspec.structs.replace(edge, child=rename(edge.child)) for edge in message.edges
        ),
        headers=encode_headers(msgspec.structs.replace(headers, origin=origin, **named)),
    )


def messages_of_slot(
    template: Template, spec: Spec, *, namespace: str, entry: str, slot_ms: int, now_ms: int
) -> tuple[Message, ...]:
    """The messages of one slot.

    None of them starts before the slot, even if this beat's clock is fast. If it is caught up on
    later, its jitter and countdown begin now.
    """
    late = now_ms - slot_ms > DEFAULT_GRACE_MS
    offset_ms = jittered(slot_ms, entry, spec.jitter_ms) - slot_ms
    messages = relabelled(
        template.messages,
        lambda label: slot_id(namespace, entry, slot_ms, label),
        origin=f"beat:{entry}",
    )
    base_ms = (now_ms if late else slot_ms) + offset_ms
    return tuple(m if m.waits else _timed(m, base_ms, offset_ms) for m in messages)


def _timed(message: Message, base_ms: int, offset_ms: int) -> Message:
    span = message.expires_in_ms
    return msgspec.structs.replace(
        message,
        eta_ms=base_ms + message.delay_ms,
        delay_ms=0,
        # The jitter takes nothing from the time in which the message may start.
        expires_in_ms=None if span is None else span + offset_ms,
    )
