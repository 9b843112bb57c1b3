"""Tasks: a function with its options, its hooks and the ways to call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.bodies import annotating, calling, requests
from reliable_tasks.bodies.celery_names import CeleryNames
from reliable_tasks.bodies.coroutines import AsyncCalls
from reliable_tasks.bodies.many import ManyCalls
from reliable_tasks.bodies.rewriting import rewriting_of
from reliable_tasks.core import context
from reliable_tasks.core.once import OnceOptions, check_keys, once_key
from reliable_tasks.core.retry import RetryPolicy, policy_from_options
from reliable_tasks.core.typevars import P, R
from reliable_tasks.errors import AlreadyQueued, MaxRetriesExceededError
from reliable_tasks.tasks import asking, calls
from reliable_tasks.tasks import options as _task_options
from reliable_tasks.tasks.hooks import Hooks
from reliable_tasks.tasks.steps import run_step

if TYPE_CHECKING:
    import datetime as dt
    import inspect
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from reliable_tasks.bodies.rewriting import Rewriting
    from reliable_tasks.canvas import Signature, chunks
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.errors import Retry
    from reliable_tasks.results.eager import EagerResult
    from reliable_tasks.results.result import AsyncResult

__all__ = ["OnceTask", "QueueOnce", "Task"]


class Task(CeleryNames, Hooks, AsyncCalls[P, R], ManyCalls[R]):
    """A registered function with its options. Subclass it to give many tasks the same hooks.

    The class attributes are the options of `@app.task(...)`, with Celery's names and defaults.
    """

    name: str = ""
    abstract: ClassVar[bool] = True
    typing: bool = True
    bind: bool = False
    queue: str | None = None
    priority: int | None = None
    serializer: str | None = None
    ignore_result: bool | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    expires: float | dt.datetime | None = None
    throws: tuple[type[BaseException], ...] = ()
    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: ClassVar[Mapping[str, Any]] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    retry_policy: RetryPolicy | None = None
    once: Any = None
    acks_late: bool = True
    acks_on_failure_or_timeout: bool = True
    reject_on_worker_lost: bool = True
    track_started: bool = True
    trail: bool = True
    store_errors_even_if_ignored: bool = True
    rate_limit: None = None
    resultrepr_maxsize: int = 1024

    MaxRetriesExceededError: ClassVar[type[Exception]] = MaxRetriesExceededError

    app: AppContext
    policy: RetryPolicy
    __wrapped__: Callable[..., Any]
    once_options: OnceOptions | None
    signature_of_call: inspect.Signature
    positional: tuple[int, int]
    call_defaults: dict[str, Any]
    call_rewriting: Rewriting | None

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The body."""
        raise NotImplementedError(f"task {self.name} defines no run()")

    # Calling it ----------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the body here and now, as the plain function that it is.

        A subclass may override it: then attempts call it as well, around the body.
        """
        return requests.call_directly(self, self.run, args, kwargs)  # type: ignore[no-any-return]

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Enqueue a call with these arguments.

        Raises:
            TypeError: the arguments do not fit the function.
            AlreadyQueued: a once-task's message with the same key is there already.
            StoreError: the store refused, or could not be reached.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | UUID | None = None,
        producer: object = None,  # noqa: ARG002 - Celery's position
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call with options.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            task_id: an id of your own. While a message with it lives, the call returns that one.
            producer: accepted for Celery compatibility; ignored.
            link: a signature, or several, to run with the result.
            link_error: a signature, or several, to run when it fails.
            shadow: a name to show in logs.
            **options: `countdown` (seconds), `eta` (datetime), `expires` (seconds or datetime),
                `queue`, `priority` (0 first, to 9), `serializer`, `headers`, `ignore_result`,
                `time_limit` and `soft_time_limit` (seconds), `once` (a dict), `durable`,
                `retry` and `retry_policy` (of the enqueueing, when the store is away).

        Raises:
            TypeError: the arguments do not fit the function.
            ConfigError: an option is not possible.
            AlreadyQueued: a once-task's message with the same key is there already.
            StoreError: the store refused, or could not be reached.
        """
        call, named = calls.call_args(args), calls.call_kwargs(kwargs)
        if self.typing:
            self.check_arguments(call, named)
        if task_id is not None:
            options["task_id"] = task_id
        if shadow is not None:
            options["shadow"] = shadow
        if self.app.settings.task_always_eager:
            return self.apply(call, named, link=link, link_error=link_error, **options)
        if link or link_error:
            sig = self.signature(call, named, link=link, link_error=link_error)
            linked: AsyncResult[R] = sig.apply_async(**options)
            return linked
        sent: AsyncResult[R] | None = None if options else self.app.send_plain(self, call, named)
        if sent is not None:
            return sent
        message = calls.build_message(self.app, self.name, call, named, options, self)
        result: AsyncResult[R] = self.app.send_message(message, options)
        return result

    def check_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError when the arguments do not fit the function."""
        least, most = self.positional
        if kwargs or not least <= len(args) <= most:  # else it is plain that they fit
            _task_options.check_arguments(self, args, kwargs)

    def apply(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | UUID | None = None,
        retries: int = 0,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run a call here and now, with hooks and retries (without their delays).

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            link: signatures to apply with the result.
            link_error: signatures to apply when it fails.
            task_id: an id of your own.
            retries: how many retries there were before, by the request.
            throw: raise what the body raised; by default as `task_eager_propagates` says.
            **options: those of `apply_async`; nothing waits for a countdown.

        Raises:
            ConfigError, CodecError, MessageTooLarge: as `apply_async` does.
        """
        if task_id is not None:
            options["task_id"] = task_id
        if link or link_error:
            sig = self.signature(args, kwargs, link=link, link_error=link_error, **options)
            linked: EagerResult[R] = sig.apply(throw=throw)
            return linked
        call, named = calls.call_args(args), calls.call_kwargs(kwargs)
        result: EagerResult[R] = self.app.apply_eagerly(
            self, call, named, throw=throw, options=options, retries=retries
        )
        return result

    # Inside a body -------------------------------------------------------------------------------

    def retry(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | type[BaseException] | None = None,
        throw: bool = True,
        eta: dt.datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Ask for another attempt of this message, later.

        Args:
            args: other positional arguments for it; the same by default.
            kwargs: other keyword arguments for it; they also replace positional ones of the same
                names.
            exc: what made you ask, an exception or its class: raised when no retry is left.
            throw: raise the `Retry` (the default) instead of returning it.
            eta: when; or
            countdown: after how many seconds; by default as the task's `retry_policy` says, or
                `default_retry_delay`.
            max_retries: instead of the task's, for this attempt, what `autoretry_for` makes of it
                included; None for the task's.
            **options: what changes of the message from now on: `queue`, `priority`, `expires`,
                `time_limit`, `soft_time_limit`, `ignore_result`, `headers`, `shadow`, `serializer`.

        Raises:
            Retry: to end this attempt.
            MaxRetriesExceededError: no retry is left and no `exc` was given.
            ConfigError: an option is not possible, or none that a retry can change.
            TypeError: the arguments do not fit the function.
            MessageTooLarge, CodecError: they are too large, or cannot be encoded.
        """
        timing = {"eta": eta, "countdown": countdown}
        ret = asking.ask_retry(self, (args, kwargs), exc, timing, max_retries, options)
        if throw:
            raise ret
        return ret

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **_: Any
    ) -> None:
        """Publish the progress of the running attempt, for `AsyncResult.state` and `on_message`.

        Raises:
            StaleClaim: the claim was taken away from this worker.
            ConfigError: it is not called from the body of the message that `task_id` names, or
                the state is no name.
            CodecError: `meta` cannot be encoded.
            MessageTooLarge: it is larger than a result may be.
        """
        asking.publish_state(self, task_id, state, meta)

    def step(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` once in the life of this message, and replay what it returned.

        A later attempt gets the recorded value without calling it again; it may be as large as a
        result. See the guide on side effects for what happens when a worker dies in the middle.

        Raises:
            StepOutcomeUnknown: an earlier attempt began this step and died before it was recorded.
            StaleClaim: the claim was taken away from this worker.
        """
        return run_step(context.current_attempt.get(), name, function, args, kwargs)

    def replace(self, sig: Signature) -> Any:
        """Let a signature or a canvas take this message's place: same id, same successors."""
        return self.on_replace(sig)

    def add_to_chord(self, sig: Signature, lazy: bool = False) -> Any:
        """Add one more part to the chord that the running message belongs to."""
        return self.app.canvas.add_to_running_chord(self, sig, lazy=lazy)

    # As a value ----------------------------------------------------------------------------------

    def signature(self, args: Any = None, *rest: Any, **options: Any) -> Signature[R]:
        """A call of this task as a value: `add.signature((2, 2), countdown=10)`."""
        made: Signature[R] = self.app.canvas.Signature.of_task(self, args, *rest, **options)
        return made

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A call of this task as a value: `add.s(2, 2)`."""
        return self.signature(args, kwargs)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """The same, taking no argument from its parents."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Any) -> Signature[list[R]]:
        """One message that calls this task with each value."""
        made: Signature[list[R]] = self.app.canvas.xmap(self.s(), it, app=self.app)
        return made

    def starmap(self, it: Any) -> Signature[list[R]]:
        """One message that calls this task with each tuple of arguments."""
        made: Signature[list[R]] = self.app.canvas.xstarmap(self.s(), it, app=self.app)
        return made

    def chunks(self, it: Any, n: int) -> chunks[R]:
        """A group of starmaps, `n` calls each."""
        made: chunks[R] = self.app.canvas.chunks(self.s(), it, n, app=self.app)
        return made

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult[R]:  # noqa: N802 - Celery's
        """A handle on the message with this id."""
        handle: AsyncResult[R] = self.app.AsyncResult(task_id, **kwargs)
        return handle

    def __repr__(self) -> str:
        main = getattr(getattr(self, "app", None), "main", None)
        return f"<@task: {self.name} of {main or 'no app'} at {id(self):#x}>"

    def __reduce__(self) -> Any:
        return (_lookup, (self.name,))

    def annotate(self) -> None:
        """Give it once more what the setting `task_annotations` has for it."""
        annotating.annotate(self.app, self, Task, self.app.annotations)

    # Prepared once, when it is registered --------------------------------------------------------

    def prepare(self, app: AppContext) -> None:
        """Check the options and work out what each call needs.

        Raises:
            ConfigError: an option is not possible.
        """
        self.app = app
        self.sends_plainly = type(self).apply_async is Task.apply_async
        where = f"task {self.name}"
        _task_options.check_task_options(self, where)
        calling.prepare_run(self, Task.__call__)
        self.signature_of_call = _task_options.signature_of(self.run)
        self.positional = _task_options.positional_range(self.signature_of_call)
        self.policy = self.retry_policy or policy_from_options(
            autoretry_for=self.autoretry_for,
            dont_autoretry_for=self.dont_autoretry_for,
            retry_kwargs=self.retry_kwargs,
            retry_backoff=self.retry_backoff,
            retry_backoff_max=self.retry_backoff_max,
            retry_jitter=self.retry_jitter,
            max_retries=self.max_retries,
            default_retry_delay=self.default_retry_delay,
        )
        self.once_options = None
        if self.once is not None:
            self.once_options = OnceOptions.parse(self.once, where=f"{where}: once")
            if self.once_options.keys is not None:
                check_keys(self.signature_of_call, self.once_options.keys, where)
        self.call_rewriting = rewriting_of(self)
        names = ("queue", "routing_key", "exchange", "priority", "serializer", "expires")
        values = {name: getattr(self, name) for name in names}
        self.call_defaults = {k: x for k, x in values.items() if x is not None}
        for cls in (*self.throws, *self.autoretry_for):
            app.exceptions.register(cls)


class OnceTask(Task[P, R]):
    """A task of which no two messages with the same key are there at once.

    Options, in `once={...}`: `keys` (names of the arguments that make the key; all by default),
    `graceful` (return the handle of the one already there instead of raising `AlreadyQueued`),
    `timeout` (seconds after which the key is free even if its message lives), `scope`,
    `on_conflict` and `unlock_before_run`. `once=` of a single call overrides all but `keys`.
    """

    abstract: ClassVar[bool] = True
    once: Any = {}  # noqa: RUF012 - an option, replaced and never changed
    AlreadyQueued = AlreadyQueued

    def get_key(self, args: Any = None, kwargs: Mapping[str, Any] | None = None) -> str:
        """The once-key of a call with these arguments."""
        keys = self.once_options.keys if self.once_options else None
        call = calls.call_args(args)
        return once_key(self.name, self.signature_of_call, call, dict(kwargs or {}), keys)


QueueOnce = OnceTask


def _lookup(name: str) -> Task[Any, Any]:
    found: Task[Any, Any] = context.get_current_app().tasks[name]
    return found
