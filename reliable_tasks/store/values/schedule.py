"""Schedule entries."""

from reliable_tasks.store.values.base import Value

__all__ = ["Entry"]


class Entry(Value, frozen=True, kw_only=True):
    """A schedule's entry. `spec` and `template` are encoded by beat; the store compares slots.

    Attributes:
        name: unique in the namespace.
        spec: the schedule and its options, encoded.
        template: the task, arguments and options of its messages, encoded.
        origin: "code" or "runtime": who made it.
        next_ms: the next planned slot; None when it has none left.
        last_ms, last_id: the slot fired last, and its message.
        runs, missed: how many slots were fired, and passed over.
        paused: it does not fire.
        version: grows with every change of spec, template or paused.
    """

    name: str
    spec: bytes = b""
    template: bytes = b""
    origin: str = "code"
    next_ms: int | None = None
    last_ms: int | None = None
    last_id: str | None = None
    runs: int = 0
    missed: int = 0
    paused: bool = False
    version: int = 0
