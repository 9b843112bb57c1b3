"""For programs that run what others have written, each piece in a context of its own."""

from contextvars import Context

from locks._taker import taken_in

__all__ = ["has_ended"]


def has_ended(context: Context, who: str) -> None:
    """Say that nobody goes on with what was taken in `context`, but in an open `with` block.

    The thread lives on and serves others: without this it would pass for the holder for ever.

    Args:
        context: what ran in it has ended.
        who: that, for the log.
    """
    for holding in taken_in(context):
        holding.ended = f"{who} has ended"
