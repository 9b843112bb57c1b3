"""Turn the results of a node's parents into arguments of its call. Pure; used by the executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core.additions import extension_of
from reliable_tasks.core.codec import loads
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import COMPLETE
from reliable_tasks.core.request import Request
from reliable_tasks.errors import TaskRevokedError

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Headers
    from reliable_tasks.store.values import Claim, Input
    from reliable_tasks.tasks.task import Task

__all__ = ["arguments_of", "errback_arguments", "nested"]


def arguments_of(
    app: AppContext, claim: Claim, headers: Headers, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a claimed call: its parents' results, then its own.

    Raises:
        CodecError: what a parent left cannot be decoded here.
        NotRegistered: it is an errback of a task that is not registered.
    """
    if COMPLETE in kwargs:
        return args, {name: value for name, value in kwargs.items() if name != COMPLETE}
    if headers.takes == "errback":
        return _of_errback(app, claim, args, kwargs), kwargs
    if headers.takes == "one":
        return (*(_value(app, each) for each in claim.inputs[:1]), *args), kwargs
    if headers.takes == "list":
        values = (_value(app, each) for each in claim.inputs)
        return (nested(headers.shape, values), *args), kwargs
    return args, kwargs


def _of_errback(
    app: AppContext, claim: Claim, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    if not claim.inputs:
        return args
    failed = claim.inputs[0]
    exc: BaseException = TaskRevokedError("revoked")
    text = ""
    if failed.value:
        failure = decode_failure(failed.value)
        exc, text = app.exceptions.rebuild(failure), failure.traceback
    request = Request(id=failed.parent, root_id=claim.root_id or None, called_directly=False)
    return errback_arguments(app.tasks[claim.task], request, exc, text, args, kwargs)


def _value(app: AppContext, given: Input) -> Any:
    if not given.value:
        return None
    serializer = _serializer_of(given.value, app.settings.result_serializer)
    return loads(given.value, serializer, app.accept_results)


def _serializer_of(data: bytes, usual: str) -> str:
    """Tell which codec wrote a result: inputs do not say, and each parent may use its own.

    JSON begins with an ASCII character, which MessagePack reads as a small number and nothing
    after it; so only a single digit can be either, and that is taken for what is usual here.
    """
    if len(data) == 1:
        return usual if data.isdigit() else "msgpack"
    return "json" if data[0] < _FIRST_BEYOND_ASCII else "msgpack"


_FIRST_BEYOND_ASCII = 0x80


def nested(shape: list[Any] | None, values: Iterator[Any]) -> list[Any]:
    """Nest values as `Headers.shape` describes; None means one flat list."""
    if shape is None:
        flat = list[Any]()
        for value in values:
            _append(flat, value)
        return flat
    filled = list[Any]()
    for part in shape:
        if isinstance(part, int):
            for _ in range(part):
                _append(filled, next(values))
        else:
            filled.append(nested(part, values))
    return filled


def _append(filled: list[Any], value: Any) -> None:
    """One value, or several where a member of a chord has added to it."""
    filled += extension_of(value) or [value]


def errback_arguments(
    task: Task[Any, Any],
    request: Request,
    exc: BaseException,
    traceback: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    """Return what an errback is called with, depending on its function's parameters.

    `(request, exc, traceback)` if it takes them, else the id of the message that failed if it takes
    that, each before the arguments it was given; else those alone.
    """
    for extra in ((request, exc, traceback), (request.id,)):
        if _fits(task.signature_of_call, (*extra, *args), kwargs):
            return (*extra, *args)
    return args


def _fits(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True
