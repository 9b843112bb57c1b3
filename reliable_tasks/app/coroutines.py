"""What an app enqueues for coroutines: no event loop is blocked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from reliable_tasks.results.result import AsyncResult, handle_of
from reliable_tasks.store.values import ReceiptKind
from reliable_tasks.tasks import calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reliable_tasks.canvas import Signature
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Message

__all__ = ["AsyncSending"]


class AsyncSending:
    """The twins of an app's methods that enqueue."""

    async def asend_call(
        self: AppContext,
        task: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        options: dict[str, Any],
        links: Mapping[str, Any],
    ) -> AsyncResult[Any]:
        """Enqueue a call of a task, from a coroutine; see `Task.aapply_async`."""
        if links or self.settings.task_always_eager or not task.sends_plainly:
            send = partial(task.apply_async, args, kwargs, **options, **links)
            linked: AsyncResult[Any] = await self.gathering.in_thread(
                f"a call of {task.name}", send
            )
            return linked
        call, named = calls.call_args(args), calls.call_kwargs(kwargs)
        if task.typing:
            task.check_arguments(call, named)
        plain = None if options else self.plain_call(task, call, named)
        if plain is None:
            message = calls.build_message(self, task.name, call, named, options, task)
            result: AsyncResult[Any] = await self.asend_message(message, options)
            return result
        kind, payload = plain
        receipt = await self.gathering.enqueue_plain(kind, payload)
        if receipt.kind != ReceiptKind.CREATED:
            self.check_receipt(receipt, kind.message(receipt.id, payload), {})
        stored: AsyncResult[Any] = handle_of(receipt, kind.task, self)
        return stored

    async def asend_task(
        self: AppContext,
        name: str,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue a call of a task by its name, from a coroutine; see `send_task`."""
        task = self.tasks.get(name)
        if self.settings.task_always_eager or options.get("link") or options.get("link_error"):
            send = partial(self.send_task, name, args, kwargs, **options)
            linked: AsyncResult[Any] = await self.gathering.in_thread(f"a call of {name}", send)
            return linked
        call, named = calls.call_args(args), calls.call_kwargs(kwargs)
        options = {key: x for key, x in options.items() if key not in {"link", "link_error"}}
        message = calls.build_message(self, name, call, named, options, task)
        result: AsyncResult[Any] = await self.asend_message(message, options)
        return result

    async def asend_message(
        self: AppContext, message: Message, options: Mapping[str, Any]
    ) -> AsyncResult[Any]:
        """Enqueue one message from a coroutine and return its handle.

        Raises:
            AlreadyQueued: its once-key is held.
        """
        receipt = await self.gathering.enqueue(message, options)
        self.check_receipt(receipt, message, options)
        result: AsyncResult[Any] = handle_of(receipt, message.task, self)
        return result

    async def aenqueue_many(
        self: AppContext, signatures: Iterable[Signature]
    ) -> list[AsyncResult[Any]]:
        """Enqueue many calls in batches, from a coroutine; see `enqueue_many`.

        A thread takes the signatures one by one, so they may come from a generator that does I/O.
        One that is cancelled goes on all the same, once it has begun.
        """
        many = partial(self.enqueue_many, signatures)
        results: list[AsyncResult[Any]] = await self.gathering.in_thread(
            "enqueueing many calls", many
        )
        return results
