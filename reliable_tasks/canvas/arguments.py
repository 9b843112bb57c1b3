"""Turn the results of a node's parents into arguments of its call. Pure; used by the executor."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.additions import extension_of
from reliable_tasks.core.codec import loads, loads_call
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.core.message import COMPLETE, decode_headers
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
    request = FailedRequest(app, failed.parent, claim.root_id or None)
    return errback_arguments(app.tasks[claim.task], request, exc, text, args, kwargs)


class FailedRequest(Request):
    """What an errback is told of the call that failed.

    Its id is known. The rest is read from the store when something asks for it: many errbacks never
    do, and the message may be large. Arguments that its own parents had left are not among `args`.
    """

    def __init__(self, app: AppContext, failed_id: str, root_id: str | None) -> None:
        super().__init__(id=failed_id, root_id=root_id, called_directly=False)
        self._app = app
        for name in _STORED:
            del self.__dict__[name]
        here = failed_here.get()
        if here is not None and here[0] == failed_id:
            self.update({**_STORED, **here[1]})

    def __getattr__(self, name: str) -> Any:
        """Read what only the store knows."""
        if name not in _STORED or "_app" not in self.__dict__:
            return super().__getattr__(name)
        self.__dict__.update({**_STORED, **self._stored()})
        return self.__dict__[name]

    def __repr__(self) -> str:
        return f"<FailedRequest of {self.id}>"

    def _stored(self) -> dict[str, Any]:
        (record,) = self._app.store.read([self.id or ""], full=True)
        if record is None:
            return {}
        found: dict[str, Any] = {"task": record.task, "retries": record.attempt - 1}
        if record.payload is not None:
            headers = decode_headers(record.headers)
            args, kwargs = loads_call(record.payload, headers.serializer, self._app.accept_content)
            kwargs.pop(COMPLETE, None)
            found |= {"args": args, "kwargs": kwargs}
        return {**found, "hostname": record.worker, "parent_id": record.parent_id}


_STORED: dict[str, Any] = {
    "task": None,
    "args": (),
    "kwargs": {},
    "retries": 0,
    "hostname": None,
    "parent_id": None,
}

failed_here: ContextVar[tuple[str, dict[str, Any]] | None] = ContextVar("failed_here", default=None)
"""The call that has just failed eagerly, which no store knows: its id and its fields."""


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
