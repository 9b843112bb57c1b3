"""Prepared calls and started attempts, and how exceptions are written for hooks and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.bodies.calling import called_by_attempts
from reliable_tasks.core import tracebacks
from reliable_tasks.core.codec import SERIALIZERS, call_decoder, encoder
from reliable_tasks.core.message import PLAIN
from reliable_tasks.core.request import AttemptContext, Request, request_of_claim
from reliable_tasks.core.retry import Attempt
from reliable_tasks.core.texts import printable, said
from reliable_tasks.errors import MessageTooLarge
from reliable_tasks.log.lines import as_json
from reliable_tasks.results.offspring import with_trail
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token

    from reliable_tasks.core.message import Headers
    from reliable_tasks.store.values import Claim

__all__ = [
    "MAX_TEXT",
    "ExceptionInfo",
    "PreparedCall",
    "StartedAttempt",
    "einfo_of",
    "encode_detail",
    "text_of",
    "traceback_of",
]

MAX_TEXT = 1000  # of a text in an outcome's detail
_HOOKS = ("before_start", "on_success", "on_retry", "on_failure", "after_return")


class ExceptionInfo:
    """The `einfo` argument of hooks: an exception and its traceback as text."""

    def __init__(self, exception: BaseException, text: str) -> None:
        self.exception = exception
        self.type = type(exception)
        self.traceback = text

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {said(self.exception)}>"


class PreparedCall:
    """What the calls of a task with the same headers have in common, worked out once per executor.

    Attributes:
        run: what an attempt calls with the arguments; awaited if `is_async`.
        hooks: those that the task overrides; the others are never called.
        encode: makes a result of what the body returned.
        soft_limit_s, hard_limit_s: for the pool to enforce.
        keep: whether the result is stored.
        headers: of the calls.
        decode: makes the arguments of a payload.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        limits: tuple[float | None, float | None],
        hostname: str,
        eager: bool,
    ) -> None:
        settings, (soft, hard) = task.app.settings, limits
        self.task, self.policy = task, task.policy
        self.hostname, self.eager = hostname, eager
        self.run, self.is_async = called_by_attempts(task, Task.__call__)
        framework = task.app.framework
        if framework is not None and not eager:  # then it is around the caller
            self.run = framework.around(self.run, is_async=self.is_async)
        self.hooks = {h for h in _HOOKS if getattr(type(task), h) is not getattr(Task, h)}
        self.serializer = settings.result_serializer
        self.encode = encoder(self.serializer)
        self.soft_limit_s = soft if task.soft_time_limit is None else task.soft_time_limit
        self.hard_limit_s = hard if task.time_limit is None else task.time_limit
        ignores = task.ignore_result
        self.keep = not (settings.task_ignore_result if ignores is None else ignores)
        self.headers, self.decode = PLAIN, call_decoder(PLAIN.serializer, SERIALIZERS)

    def with_headers(self, headers: Headers) -> PreparedCall:
        """The same for calls with these headers.

        Raises:
            CodecError: what they are encoded with is not accepted here.
        """
        made: PreparedCall = object.__new__(PreparedCall)  # a tenth of what `copy` takes
        vars(made).update(vars(self), headers=headers)
        made.decode = call_decoder(headers.serializer, self.task.app.accept_content)
        made.soft_limit_s = headers.soft_time_limit or self.soft_limit_s
        made.hard_limit_s = headers.time_limit or self.hard_limit_s
        if headers.ignore_result is not None:
            made.keep = not headers.ignore_result
        return made


class StartedAttempt(AttemptContext, kw_only=True, eq=False):
    """An attempt whose body is to run now: `run(*args, **kwargs)`, awaited if `is_async`.

    `told` is what is said of its exception, until it is over.
    """

    claim: Claim
    prepared: PreparedCall
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    began: float = 0.0
    tokens: tuple[Token[AttemptContext | None], Token[bool | None]] | None = None
    told: ExceptionInfo | None = None

    @property
    def number(self) -> int:
        """Which attempt it is, with those that were made before the message came here."""
        return self.claim.attempt + self.prepared.headers.retries

    def now_ms(self, now: float) -> int:
        """Estimate the store's time at the monotonic time `now`."""
        return self.claim.started_ms + round((now - self.began) * 1000)

    def einfo(self, exc: BaseException) -> ExceptionInfo:
        """The exception as hooks get it. The traceback is formatted once and kept."""
        if self.told is None or self.told.exception is not exc:
            self.told = einfo_of(exc)
        return self.told

    def for_policy(
        self,
        now: float,
        *,
        exception: BaseException | None = None,
        result: Any = None,
        asked: bool = False,
    ) -> Attempt:
        """This attempt as a retry policy sees it."""
        return Attempt(
            number=self.number,
            first_started_s=self.claim.first_started_ms / 1000,
            now_s=self.now_ms(now) / 1000,
            exception=exception,
            result=result,
            asked=asked,
            fn_name=self.claim.task,
            args=self.args,
            kwargs=self.kwargs,
        )

    def encoded(self, value: Any, most: int) -> bytes:
        """What the body returned, with the trail of what it sent where that fits in as well.

        Raises:
            MessageTooLarge: it has more than `most` bytes.
            CodecError: it cannot be encoded.
        """
        prepared = self.prepared
        result = prepared.encode(value)
        if len(result) > most:
            raise MessageTooLarge(
                f"the result of {self.claim.task} has {len(result):,} bytes; the limit is "
                f"{most:,} (setting max_result_bytes): store it elsewhere, return a reference"
            )
        if self.made is None or not prepared.keep or not self.children:
            return result
        return with_trail(result, value, self.children, prepared.headers, prepared.serializer, most)

    @property
    def forbids_waiting(self) -> bool:
        """Whether its body may not wait for results of others: it would hold up a worker."""
        return not self.prepared.eager

    @property
    def request(self) -> Request:
        """The request that the body sees, made when it is first asked for: most never do."""
        if not isinstance(self.made, Request):
            by = self.prepared
            how: dict[str, Any] = {"hostname": by.hostname, "eager": by.eager}
            how |= {"limits": (by.hard_limit_s, by.soft_limit_s), "ignore_result": not by.keep}
            self.made = request_of_claim(self.claim, by.headers, self.args, self.kwargs, **how)
        return self.made

    @property
    def run(self) -> Callable[..., Any]:
        """The body."""
        return self.prepared.run

    @property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function."""
        return self.prepared.is_async


# `str()`, `repr()` and formatting run methods of the user's values, which may raise anything, even
# SystemExit. These functions always return text, so that the attempt can still end properly.


def encode_detail(fields: Mapping[str, Any]) -> bytes:
    """Encode the fields of an outcome's `detail`; never fails."""
    texts = {key: x for key, x in fields.items() if isinstance(x, str) and not x.isascii()}
    if texts:
        fields = {**fields, **{key: printable(x) for key, x in texts.items()}}
    try:
        return msgspec.json.encode(fields)
    except Exception:  # noqa: BLE001 - such as a lone surrogate: shown as text instead
        return as_json(dict(fields)).encode()


def text_of(exc: BaseException) -> str:
    """The exception's message, cut to `MAX_TEXT` characters."""
    return printable(said(exc, str)[:MAX_TEXT])


def traceback_of(exc: BaseException) -> str:
    """Format the traceback; never fails."""
    try:
        return tracebacks.written(exc)
    except BaseException as broken:  # noqa: BLE001 - see above
        return f"{type(exc).__name__} (its traceback: {type(broken).__name__})\n"


def einfo_of(exc: BaseException) -> ExceptionInfo:
    """The exception as hooks get it."""
    return ExceptionInfo(exc, traceback_of(exc))
