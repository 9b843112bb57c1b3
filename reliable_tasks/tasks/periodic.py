"""The entries that `add_periodic_task` makes, and their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from reliable_tasks import events
from reliable_tasks.core.checks import MAX_NAME_BYTES, text
from reliable_tasks.core.texts import shown
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.canvas import Signature

__all__ = ["periodic_entry"]

_DIGEST_BYTES = 8


def periodic_entry(
    there: Mapping[str, Any],
    schedule: Any,
    sig: Signature,
    args: Any,
    kwargs: Mapping[str, Any] | None,
    name: str | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Build a schedule entry. Without a name, one is made from everything that defines the entry.

    An entry that is `there` by this name and is to be replaced is told as a `config.note`.

    Raises:
        ConfigError: `sig` is no signature, or `name` is none.
    """
    if not all(hasattr(sig, part) for part in ("task", "args", "kwargs", "options")):
        raise ConfigError(
            f"add_periodic_task needs a signature, such as task.s(…), not {shown(sig)}"
        )
    key = _own_name(schedule, sig, args, kwargs, options) if name is None else text("name", name)
    if key in there:
        note = "the schedule entry {!r} was added before: the later one takes its place"
        events.emit("config.note", note=note.format(key))
    return {
        key: {
            "task": sig.task,
            "schedule": schedule,
            "args": tuple(sig.args) + tuple(args),
            "kwargs": {**sig.kwargs, **(kwargs or {})},
            "options": {**sig.options, **options},
        }
    }


def _own_name(schedule: Any, sig: Signature, *more: Any) -> str:
    """A name that is the same at each start and differs for each call, schedule or option."""
    parts = [repr(sig), str(schedule), *(repr(part) for part in (dict(sig.options), *more) if part)]
    name = " ".join(parts).encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
    if len(name) > MAX_NAME_BYTES:
        digest = hashlib.blake2b(name, digest_size=_DIGEST_BYTES).hexdigest()
        start = name[: MAX_NAME_BYTES - 2 * _DIGEST_BYTES - 4].decode("utf-8", "ignore")
        return f"{start}… {digest}"
    return name.decode()
