"""The app: puts tasks, settings, results, schedules and the store together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Literal, overload

import msgspec

from reliable_tasks import signals
from reliable_tasks.app import publish
from reliable_tasks.app.coroutines import AsyncSending
from reliable_tasks.app.discovery import Discovery
from reliable_tasks.app.gathering import Gathering
from reliable_tasks.app.handles import GroupsOfApp, ResultsOfApp
from reliable_tasks.app.names import CeleryNames, class_of
from reliable_tasks.app.opening import HasStore
from reliable_tasks.app.plain import PlainSending
from reliable_tasks.bodies import annotating
from reliable_tasks.core import context
from reliable_tasks.core.checks import text
from reliable_tasks.errors import AlreadyQueued, ConfigError, StoreUnavailable
from reliable_tasks.results.result import AsyncResult, handle_of
from reliable_tasks.signals import publishing
from reliable_tasks.store.values import Batch, Enqueued, Receipt, ReceiptKind
from reliable_tasks.tasks import calls
from reliable_tasks.tasks.builtins import register_builtins
from reliable_tasks.tasks.options import duplicate_is_error
from reliable_tasks.tasks.registry import TaskRegistry, task_of_function
from reliable_tasks.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from reliable_tasks.canvas import Signature
    from reliable_tasks.core.message import Message
    from reliable_tasks.core.typevars import P, R
    from reliable_tasks.results.eager import EagerResult
    from reliable_tasks.tasks.typed import AsyncTask, MakesTask

__all__ = ["App"]


class App(AsyncSending, PlainSending, HasStore, CeleryNames, Discovery):
    """A set of tasks, the settings they run under and the store they live in.

    Args:
        main: name of the module the tasks get when it runs as `__main__`.
        broker: URL of the store; `sqlite:///reliable_tasks.db` by default.
        backend: accepted for Celery compatibility; ignored, since results live with the messages:
            a commit is one atomic step. Another server than the broker's is an error.
        include: modules to import when a worker starts.
        config_source: where to load settings from, see `config_from_object`.
        namespace: prefix of the settings' names in `config_source`.
        task_cls: the class of tasks without a `base`, or its dotted name.
        set_as_current: make it `current_app`.
        changes: settings, as a dict.
        config_source_silent: go on with the defaults if `config_source` cannot be imported.
        strict_typing: check the arguments of calls against the function.
        autofinalize: accepted for Celery compatibility; ignored.
        loader, amqp, events, log, control, tasks, fixups: Celery's parts of an app, which are not
            exchanged here; a note says so.
        **settings: any setting by its name.

    Raises:
        ConfigError: a setting is unknown or not possible.
    """

    def __init__(
        self,
        main: str | None = None,
        loader: Any = None,
        backend: str | None = None,
        amqp: Any = None,
        events: Any = None,
        log: Any = None,
        control: Any = None,
        set_as_current: bool = True,
        tasks: Any = None,
        broker: str | None = None,
        include: Sequence[str] = (),
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        fixups: Any = None,
        task_cls: type[Task[Any, Any]] | str | None = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        config_source_silent: bool = False,
        **settings: Any,
    ) -> None:
        parts = {"amqp": amqp, "control": control, "events": events, "fixups": fixups}
        super().__init__({**parts, "loader": loader, "log": log, "tasks": tasks})
        self.main = main
        self.autofinalize = autofinalize
        usual = Task if self.framework is None else self.framework.Task
        self.Task: type[Task[Any, Any]] = class_of(task_cls or self.task_cls or usual, Task)
        self.strict_typing = strict_typing
        self.tasks = TaskRegistry()
        self.commons: dict[str, calls.Common] = {}
        self.gathering = Gathering(self)
        self._store, self._first = None, {}
        if config_source is not None:
            self.config_from_object(config_source, config_source_silent, namespace=namespace)
        given = {"broker_url": broker, "result_backend": backend, "include": tuple(include) or None}
        given = {name: value for name, value in given.items() if value is not None}
        self.conf.update(changes or {})
        self.conf.update_known({**given, **settings})
        register_builtins(self)
        if set_as_current:
            self.set_current()
        self.on_init()

    def __repr__(self) -> str:
        return f"<App {self.main or 'without a name'} at {id(self):#x}>"

    # Tasks ---------------------------------------------------------------------------------------

    @overload
    def task(
        self,
        fun: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
        /,
        *,
        bind: Literal[True],
        **options: Any,
    ) -> AsyncTask[P, R]: ...

    @overload
    def task(
        self, fun: Callable[Concatenate[Any, P], R], /, *, bind: Literal[True], **options: Any
    ) -> Task[P, R]: ...

    @overload
    def task(
        self,
        fun: Callable[P, Coroutine[Any, Any, R]],
        /,
        *,
        bind: Literal[False] = ...,
        **options: Any,
    ) -> AsyncTask[P, R]: ...

    @overload
    def task(
        self, fun: Callable[P, R], /, *, bind: Literal[False] = ..., **options: Any
    ) -> Task[P, R]: ...

    @overload
    def task(self, /, *, bind: Literal[True], **options: Any) -> MakesTask[Literal[True]]: ...

    @overload
    def task(self, /, **options: Any) -> MakesTask[Literal[False]]: ...

    def task(self, fun: Any = None, /, **options: Any) -> Any:
        """Make a task of a function: `@app.task` or `@app.task(bind=True, queue="mail")`.

        Raises:
            ConfigError: an option is unknown or not possible, or the name is taken.
        """
        if fun is not None:
            return task_of_function(self, fun, options)
        return lambda function: task_of_function(self, function, options)

    def register_task(self, task: Any) -> Task[Any, Any]:
        """Register an instance (or a class) of your own subclass of `Task`.

        Raises:
            ConfigError: its name is taken by another task.
        """
        task = task() if isinstance(task, type) else task
        cls = type(task)
        if not task.name:
            made = self.gen_task_name(cls.__qualname__, cls.__module__)
            task.name = text("gen_task_name()", made)
        if type(taken := self.tasks.get(task.name, task)) is not type(task):
            raise ConfigError(f"task {task.name!r} is registered already, as {taken!r}")
        if not hasattr(task, "__wrapped__"):
            task.__wrapped__ = task.run
        task.prepare(self)
        annotating.registered(self, task, Task, self.annotations_so_far)
        self.tasks[task.name] = task
        return task  # type: ignore[no-any-return]

    def gen_task_name(self, name: str, module: str) -> str:
        """The name of a task without `name=`, of its function's name and module; override it."""
        owner = self.main or module if module == "__main__" else module
        return f"{owner}.{name}"

    def set_current(self) -> None:
        """Make this app the `current_app`."""
        context.set_current_app(self)

    set_default = set_current

    # Enqueueing ----------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        countdown: Any = None,
        eta: Any = None,
        task_id: Any = None,
        producer: Any = None,  # noqa: ARG002 - Celery's: there are no connections to hand over
        connection: Any = None,  # noqa: ARG002 - as above
        router: Any = None,
        result_cls: type[AsyncResult[Any]] | None = None,
        expires: Any = None,
        publisher: Any = None,  # noqa: ARG002 - as above
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a call of a task by its name, which need not be registered here.

        Options are those of `Task.apply_async`. A once-task that is not known here gets its key
        from the first worker that claims it. With `result_cls` the handle is of that class.

        Raises:
            ConfigError: an option is unknown or not possible.
        """
        if router is not None:
            raise ConfigError("send_task(router=…) is not supported: set task_routes")
        own = {"countdown": countdown, "eta": eta, "task_id": task_id, "expires": expires}
        options.update((key, value) for key, value in own.items() if value is not None)
        task = self.tasks.get(name)
        call, named = calls.call_args(args), calls.call_kwargs(kwargs)
        if link or link_error:
            sig = self.signature(name, call, named)
            result: AsyncResult[Any] = sig.apply_async(**options, link=link, link_error=link_error)
        else:
            message = calls.build_message(self, name, call, named, options, task)
            result = self.send_message(message, options)
        return result if result_cls is None else result_cls(result.id, task_name=name, app=self)

    def send_message(self, message: Message, options: Mapping[str, Any]) -> AsyncResult[Any]:
        """Enqueue one message and return its handle.

        Raises:
            AlreadyQueued: its once-key is held, or its id by another call (`task_id_conflict`).
        """
        if signals.before_task_publish.receivers:
            (message,) = publishing.announce(self, (message,), options)
        batch = Batch(messages=(message,), durable=options.get("durable"))
        receipts = self.enqueue(batch, options, announced=True).receipts
        if not receipts:  # it is stored when the transaction around this call commits
            return AsyncResult(message.id, task_name=message.task, app=self)
        receipt = receipts[0]
        if receipt.kind != ReceiptKind.CREATED:
            self.check_receipt(receipt, message, options)
        return context.noted_child(handle_of(receipt, message.task, self), options)

    def check_receipt(self, receipt: Receipt, message: Message, options: Mapping[str, Any]) -> None:
        """Raise `AlreadyQueued` if a message was refused, and that is an error."""
        if receipt.kind == ReceiptKind.CREATED:
            return
        if receipt.kind == ReceiptKind.CONFLICT and self.settings.task_id_conflict == "raise":
            raise publish.conflict_of(message, receipt)
        if duplicate_is_error(self.tasks.get(message.task), receipt.kind, options):
            key = message.once.key if message.once else None
            raise AlreadyQueued(receipt.countdown_ms / 1000, receipt.holder, key)

    def enqueue(
        self,
        batch: Batch,
        options: Mapping[str, Any] | None = None,
        *,
        announced: bool = False,
    ) -> Enqueued:
        """Store a batch, retrying as `retry_policy` says while the store is unavailable.

        There are no receipts where the framework's transaction stores it later: see `Framework`.

        Args:
            batch: what to store.
            options: of the call.
            announced: `before_task_publish` was sent for its messages already.

        Raises:
            StoreUnavailable: the store is still away after all the tries.
            StoreError: it refused.
            ConfigError: a receiver of `before_task_publish` left a message that cannot be sent.
        """
        if signals.before_task_publish.receivers and not announced:
            messages = publishing.announce(self, batch.messages, options)
            batch = msgspec.structs.replace(batch, messages=messages)
        if self.framework is not None:
            later = partial(self._enqueue, batch, options)
            if self.framework.defer(self, batch, later):
                return Enqueued()
        return self._enqueue(batch, options)

    def _enqueue(self, batch: Batch, options: Mapping[str, Any] | None) -> Enqueued:
        try:
            enqueued = self.store.enqueue(batch)
        except StoreUnavailable as away:
            enqueued = publish.enqueue_again(self.store, batch, self.settings, options or {}, away)
        publish.tell_stored(batch.messages, enqueued.receipts)
        return enqueued

    def enqueue_many(self, signatures: Iterable[Signature]) -> list[AsyncResult[Any]]:
        """Enqueue many calls in batches: much faster than one by one.

        Each batch of at most `max_batch` calls or 4 MiB of arguments is one atomic step; of calls
        that are more than plain (with a once-key or a countdown) it may be several.

        Raises:
            AlreadyQueued: one of a once-task without `graceful` is a duplicate; the calls of its
                batch that are none have been enqueued.
        """
        results: list[AsyncResult[Any]] = self.canvas.enqueue_many(self, signatures)
        return results

    def apply_eagerly(
        self, task: Task[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], **how: Any
    ) -> EagerResult[Any]:
        """Run a call of a task here and now; see `Task.apply`."""
        from reliable_tasks.attempts.eager import apply_eagerly  # noqa: PLC0415 - few programs do

        return apply_eagerly(task, args, kwargs, **how)

    @property
    def canvas(self) -> Any:
        """The module of workflows, for tasks and signatures, which must not import it."""
        from reliable_tasks import canvas  # noqa: PLC0415 - programs that only run tasks need none

        return canvas

    # Values and handles --------------------------------------------------------------------------

    def signature(self, *args: Any, **kwargs: Any) -> Signature:
        """A call of a task as a value, see `reliable_tasks.signature`."""
        made: Signature = self.canvas.signature(*args, app=self, **kwargs)
        return made

    @property
    def AsyncResult(self) -> ResultsOfApp:  # noqa: N802 - Celery's name
        """Called with an id, it gives the handle on that message."""
        return ResultsOfApp(self)

    @property
    def GroupResult(self) -> GroupsOfApp:  # noqa: N802 - Celery's name
        """Called with an id and handles, it gives a handle on several messages."""
        return GroupsOfApp(self)


def _default_app() -> App:
    app = App("default", set_as_current=False)
    if app.framework is not None:
        app.framework.configure_default(app)
    return app


context.make_default_app(_default_app)
