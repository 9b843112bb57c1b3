"""Where user code may misbehave, and the bounds that its messages have."""

__all__ = ["MAX_DELIVERIES", "MAX_RETRIES", "PLACES", "RAISING"]

MAX_DELIVERIES, MAX_RETRIES = 2, 1

RAISING = ("on_failure", "failure receiver", "retry predicate", "retry wait", "on_retry")
"""Places that are reached when the body raises."""
PLACES = (
    "body",
    "coroutine",
    "before_start",
    "on_success",
    "after_return",
    "prerun receiver",
    "success receiver",
    "postrun receiver",
    "step",
    *RAISING,
)
