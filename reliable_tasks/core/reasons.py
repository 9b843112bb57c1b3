"""Why a message is in its final state, as the stores keep it in `Record.reason`."""

from enum import StrEnum
from typing import Final

__all__ = ["BY_ANOTHER", "Reason"]


class Reason(StrEnum):
    """Why a message ended as it did; the reason of an ordinary success is ""."""

    FAILED = "failed"
    """The body raised, and is not retried."""
    REJECTED = "rejected"
    """The body raised `Reject` without asking for another delivery."""
    IGNORED = "ignored"
    """The body raised `Ignore`."""
    TIME_LIMIT = "time limit"
    """Its process was killed at the hard time limit."""
    KILLED = "killed"
    """Its process was killed for another reason: it was stuck."""
    DELIVERY_LIMIT = "delivery limit"
    """Its process died in each of `max_deliveries` deliveries."""
    INTERNAL_ERROR = "internal error"
    """The worker itself failed."""
    REFUSED = "refused"
    """It came over the bridge, and cannot be taken over."""
    UNREADABLE = "unreadable"
    """What the store has of it cannot be decoded."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    TERMINATED = "terminated"
    """Revoked while it ran, and stopped."""
    PURGED = "purged"
    PARENT = "parent"
    """A parent did not succeed."""
    MIRROR = "mirror"
    """The message that it mirrors did not succeed."""
    NOT_NEEDED = "not needed"
    """An errback whose parents all succeeded."""
    DUPLICATE = "duplicate"
    """The message that it was to mirror is gone."""


BY_ANOTHER: Final = frozenset((Reason.PARENT, Reason.MIRROR))
"""It did not fail by itself, so it is no dead letter, and a replay of the other one revives it."""
