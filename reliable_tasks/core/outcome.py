"""How an attempt ended: frozen values that an executor returns and a store commits.

`detail` of an outcome is a small JSON object (encoded) of plain fields for the audit trail and the
log: why it was retried, by which policy, what was raised.
"""

from typing import Final

import msgspec

from reliable_tasks.core.message import Message, OnceLock
from reliable_tasks.core.reasons import Reason

__all__ = [
    "HOOK_DELIVERIES",
    "Failed",
    "Ignored",
    "KeyAssigned",
    "KilledAtLimit",
    "Outcome",
    "Rejected",
    "Released",
    "Replaced",
    "Retry",
    "Revoked",
    "Succeeded",
]

HOOK_DELIVERIES: Final = 2
"""Deliveries beyond `max_deliveries` in which a worker may run the hooks of a message that kills.

Two, because the process that runs the hooks first may die of something else: another body in it, a
deploy, a full machine. If they cost a second process its life, the store dead-letters the message
without them.
"""


class _Outcome(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, kw_only=True, gc=False):
    detail: bytes = b""


class Succeeded(_Outcome, frozen=True, kw_only=True):
    """The body returned. `result` goes to the children; it is stored only with `keep`."""

    result: bytes = b""
    keep: bool = True


class Failed(_Outcome, frozen=True, kw_only=True):
    """The body raised and is not retried: a dead letter. `failure` is the encoded exception."""

    failure: bytes = b""
    reason: str = Reason.FAILED


class Retry(_Outcome, frozen=True, kw_only=True):
    """Run the same message again later: a new attempt, its delivery count back at 0.

    `at_ms` is an instant; otherwise `delay_ms` counts from the commit. `payload`, `headers`,
    `queue`, `priority` and `expires_ms` replace the message's own where given.
    """

    delay_ms: int = 0
    at_ms: int | None = None
    failure: bytes = b""
    payload: bytes | None = None
    queue: str | None = None
    headers: bytes | None = None
    priority: int | None = None
    expires_ms: int | None = None


class Replaced(_Outcome, frozen=True, kw_only=True):
    """`messages` take this one's place: it becomes the mirror of the one that points at it."""

    messages: tuple[Message, ...] = ()


class Released(_Outcome, frozen=True, kw_only=True):
    """Given back to its old place in the queue; not counted as a delivery.

    `bounce` counts it against the limit for messages whose task no worker knows. `begun` says that
    its body had begun, and that its worker was told to stop: that is counted in `bounces` as well,
    so that it can be bounded.
    """

    delay_ms: int = 0
    bounce: bool = False
    begun: bool = False


class KilledAtLimit(_Outcome, frozen=True, kw_only=True):
    """Killed at the hard time limit.

    Requeued once so that a worker can run `on_failure` and dead-letter the message. The next claim
    carries `failure` as its `limit_failure`, and the executor does not run the body again. If the
    hooks exceed a limit as well, the store dead-letters the message without them.
    """

    failure: bytes = b""


class Ignored(_Outcome, frozen=True, kw_only=True):
    """The body asked to end without a result. Its successors do not run."""


class Rejected(_Outcome, frozen=True, kw_only=True):
    """The body refused the message: dead-lettered, or with `requeue` delivered again (counted)."""

    requeue: bool = False
    failure: bytes = b""


class Revoked(_Outcome, frozen=True, kw_only=True):
    """It was revoked while it ran, and its body was stopped."""


class KeyAssigned(_Outcome, frozen=True, kw_only=True):
    """It was enqueued without the once-key that its task requires: admit it again under `once`.

    Where the key is free the message goes back to its place holding it; where it is held, the
    message waits its turn (`reschedule`) or becomes a mirror of the holder. Not counted.
    """

    once: OnceLock


Outcome = (
    Succeeded
    | Failed
    | Retry
    | Replaced
    | Released
    | KilledAtLimit
    | Ignored
    | Rejected
    | Revoked
    | KeyAssigned
)
