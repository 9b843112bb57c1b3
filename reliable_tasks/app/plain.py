"""Enqueue plain calls by their kind, which is worked out once: lone ones, and many at a time."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import events, signals
from reliable_tasks.app import publish
from reliable_tasks.core import context, ids, texts
from reliable_tasks.core.codec import dumps_call
from reliable_tasks.core.context import current_attempt
from reliable_tasks.errors import ConfigError, StoreUnavailable
from reliable_tasks.results.result import AsyncResult, handle_of
from reliable_tasks.store.values import Receipt, ReceiptKind, batch_of
from reliable_tasks.tasks import calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Kind

__all__ = ["PlainSending"]


def _common(app: AppContext, task: Any, options: Mapping[str, Any]) -> calls.Common | None:
    """What plain calls of a task with these options share; None if its calls are not plain."""
    settings = app.settings
    if task.once_options is not None or task.call_rewriting is not None or settings.task_routes:
        return None
    if (  # somebody has to see each message
        signals.before_task_publish.receivers
        or signals.after_task_publish.receivers
        or events.listening["message.enqueued"]
        or app.framework is not None
    ):
        return None
    known: calls.Common | None = None if options else app.commons.get(task.name)
    if known is None or not known.holds(settings, task.call_defaults):
        options = calls.checked(options) if options else {}
        if not calls.OF_ONE_MESSAGE.isdisjoint(options):
            return None
        known = calls.common_of(app, settings, task.name, {**task.call_defaults, **options})
    return known if known.kind is not None else None


def _kind_here(common: calls.Common) -> Kind:
    """The kind of calls that are made here: those of a body name it as their parent."""
    assert common.kind is not None  # noqa: S101 - see `_common`
    running = current_attempt.get()
    if running is None:
        return common.kind
    parent = running.request
    return _within(common.kind, parent.root_id or "", parent.id)


@functools.lru_cache(maxsize=64)  # a body may make many calls
def _within(kind: Kind, root_id: str, parent_id: str | None) -> Kind:
    return msgspec.structs.replace(kind, root_id=root_id, parent_id=parent_id)


def _payload(common: calls.Common, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    payload = dumps_call(args, kwargs, common.serializer)
    calls.check_size(common, common.packed, payload)
    return payload


def _call_of(arguments: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(arguments, tuple | list):
        return tuple(arguments), {}
    if isinstance(arguments, Mapping):
        return (), calls.call_kwargs(arguments)
    said = texts.shown(arguments)
    raise ConfigError(
        f"the arguments of a call are a tuple or a dict, not {said}; write ({said},) for one alone"
    )


class PlainSending:
    """What an app does for tasks whose calls are plain."""

    def send_plain(
        self: AppContext, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncResult[Any] | None:
        """Enqueue a call without options; None if it is not plain, and nothing was done.

        Raises:
            CodecError, MessageTooLarge, StoreError: as `Task.delay` does.
        """
        call = self.plain_call(task, args, kwargs)
        if call is None:
            return None
        (kind, payload), message_id = call, ids.new_id()
        (receipt,) = self.store_plain(kind, (message_id,), (payload,), {})
        if receipt.kind != ReceiptKind.CREATED:
            self.check_receipt(receipt, kind.message(message_id, payload), {})
        return context.noted_child(handle_of(receipt, kind.task, self), {})

    def plain_call(
        self: AppContext, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Kind, bytes] | None:
        """The kind and the payload of a call without options; None if it is not plain.

        Raises:
            CodecError, MessageTooLarge: as `Task.delay` does.
        """
        common = _common(self, task, {})
        return None if common is None else (_kind_here(common), _payload(common, args, kwargs))

    def store_plain(
        self: AppContext,
        kind: Kind,
        made: Sequence[str],
        payloads: Sequence[bytes],
        options: Mapping[str, Any],
    ) -> Sequence[Receipt]:
        """Store plain calls, as `enqueue` stores messages. Raises as that does."""
        durable = options.get("durable")
        try:
            receipts = self.store.enqueue_plain(kind, made, payloads, durable)
        except StoreUnavailable as away:
            batch = batch_of(kind, made, payloads, durable)
            again = publish.enqueue_again(self.store, batch, self.settings, options, away)
            receipts = again.receipts
        if not receipts:
            return [Receipt(id=message_id) for message_id in made]
        if any(receipt.kind != ReceiptKind.CREATED for receipt in receipts):
            publish.tell_stored(batch_of(kind, made, payloads).messages, receipts)
        return receipts

    def send_many(
        self: AppContext,
        task: Any,
        arguments: Iterable[tuple[Any, ...] | Mapping[str, Any]],
        options: Mapping[str, Any],
    ) -> list[AsyncResult[Any]]:
        """Enqueue many calls of a task; see `Task.enqueue_many`."""
        from reliable_tasks.canvas.sender import BatchSender  # noqa: PLC0415 - few programs do

        each = map(_call_of, arguments)
        if self.settings.task_always_eager:
            return [task.apply(args, kwargs, **options) for args, kwargs in each]
        if not task.sends_plainly:
            return [task.apply_async(args, kwargs, **options) for args, kwargs in each]
        sending = {name: options[name] for name in calls.PUBLISH if name in options}
        own = {name: value for name, value in options.items() if name not in sending}
        linked = options.get("link") or options.get("link_error")
        common = None if linked else _common(self, task, own)
        if common is None:
            made = (task.signature(args, kwargs, **options) for args, kwargs in each)
            return self.enqueue_many(made)
        handles = list[AsyncResult[Any]]()
        kind = _kind_here(common)
        with BatchSender(self, handles) as sender:
            for args, kwargs in each:
                if task.typing:
                    task.check_arguments(args, kwargs)
                payload = _payload(common, args, kwargs)
                sender.add_plain(kind, ids.new_id(), payload, sending)
            sender.flush()
        for handle in handles:
            context.noted_child(handle, {})
        return handles
