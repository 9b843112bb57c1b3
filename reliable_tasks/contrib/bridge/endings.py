"""How a message ended, in the words of Celery's result backends. Pure.

A failure is told by the names of its class and its arguments. What is an exception of ours and of
Celery's alike is Celery's there, so that its producers catch what they always caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.core.additions import extension_of
from reliable_tasks.core.codec import loads, trail_of
from reliable_tasks.core.codec.failures import Opaque, decode_failure
from reliable_tasks.core.message import FINAL_STATES, State
from reliable_tasks.errors import CodecError, ReliableTasksError, TaskRevokedError
from reliable_tasks.results.states import exception_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.store.values import Claim, Record

__all__ = ["Ending", "ending_of", "in_words"]

_OF_CELERY = "celery.exceptions"


class Ending(msgspec.Struct, frozen=True):
    """What is told of a message.

    Attributes:
        status: Celery's name of its state.
        result: the value; of a failure `exc_type`, `exc_module` and `exc_message`.
        traceback: of a failure.
        children: what its body has started, as Celery nests ids.
    """

    status: str
    result: Any = None
    traceback: str | None = None
    children: tuple[Any, ...] = ()


def ending_of(
    app: AppContext, claim: Claim, record: Record | None, is_celerys: Callable[[str], bool]
) -> Ending:
    """How the message ended that a claim tells of.

    Args:
        app: whose message it is.
        claim: of the message that tells; its input is what the other one left.
        record: of the other one, as it is now; it may be gone, or run again.
        is_celerys: whether Celery has an exception of this name.
    """
    left = claim.inputs[0] if claim.inputs else None
    if left is None and record is not None and record.state is State.SUCCEEDED:
        return _succeeded(app, record.result or b"")  # what is too large to travel with the claim
    if left is not None and left.ok:
        return _succeeded(app, left.value)
    ended = record if record is not None and record.state in FINAL_STATES else None
    status = state_of(ended) if ended is not None else "FAILURE"
    failure = left.value if left is not None else b""
    if failure:
        try:
            told = decode_failure(failure)
        except CodecError as unreadable:
            return in_words("FAILURE", unreadable, is_celerys)
        args = [arg.text if isinstance(arg, Opaque) else arg for arg in told.args]
        module = _module(told.module, told.type, is_celerys)
        result = {"exc_type": told.type, "exc_module": module, "exc_message": args}
        return Ending(status, result, told.traceback or None, tuple(told.trail))
    if ended is None:
        return in_words("REVOKED", TaskRevokedError("revoked"), is_celerys)
    exc = exception_of(ended, app.exceptions, lambda data: _value(app, data))
    return in_words(status, exc, is_celerys)


def in_words(status: str, exc: BaseException, is_celerys: Callable[[str], bool]) -> Ending:
    """An ending by an exception that nobody raised."""
    name = type(exc).__name__
    module = _module(type(exc).__module__, name, is_celerys)
    result = {"exc_type": name, "exc_module": module, "exc_message": list(exc.args)}
    return Ending(status, result)


def _succeeded(app: AppContext, data: bytes) -> Ending:
    """A success; what cannot be read of it makes it a failure in words.

    Raises:
        CodecError: its result cannot be decoded.
    """
    value = _value(app, data) if data else None
    extension = extension_of(value)
    return Ending("SUCCESS", value if extension is None else extension[0], None, _trail(data))


def _value(app: AppContext, data: bytes) -> Any:
    return loads(data, app.settings.result_serializer, app.accept_results)


def _trail(data: bytes) -> tuple[Any, ...]:
    return tuple(trail_of(data)) if data else ()


def _module(module: str, name: str, is_celerys: Callable[[str], bool]) -> str:
    ours = module.partition(".")[0] == ReliableTasksError.__module__.partition(".")[0]
    return _OF_CELERY if ours and is_celerys(name) else module
