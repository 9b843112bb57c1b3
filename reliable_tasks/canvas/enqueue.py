"""From a graph to messages, and from those to the store: whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import _state, calls, ids
from reliable_tasks._task_options import duplicate_is_error
from reliable_tasks.builtins import COLLECT
from reliable_tasks.errors import AlreadyQueued, StoreError
from reliable_tasks.groups import GroupResult
from reliable_tasks.message import Message, decode_headers, encode_headers
from reliable_tasks.result import AsyncResult
from reliable_tasks.store.values import Batch, Receipt, ReceiptKind

from .arguments import nested
from .compile import Graph, Node, Spec, compile_plan
from .plan import Call, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reliable_tasks.app import App

    from .signatures import Signature

__all__ = ["apply_canvas", "enqueue_many", "handles_of", "messages_of"]

_PUBLISH = ("durable", "retry", "retry_policy")  # about the sending, not about the messages
_ANYTHING = object()  # stands for an argument that a parent will leave


def apply_canvas(
    sig: Signature, args: Any, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Any:
    """Enqueue a signature or a canvas; see `Signature.apply_async`."""
    app = sig.app
    if app.settings.task_always_eager:
        return sig.apply(args, kwargs, **options)
    graph, publish = _compiled(sig, calls.call_args(args), kwargs, options)
    if not graph.nodes:
        return handles_of(graph, app)
    messages = messages_of(graph, app)
    if len(messages) == 1:
        only = graph.nodes[0].call
        task = app.tasks.get(only.task)
        result = app.send_message(messages[0], task, {**only.options, **publish})
        return _handle_of_one(graph, app, result)
    receipts = _store(app, messages, publish)
    _check_duplicates(graph, receipts)
    return handles_of(graph, app, receipts)


def _compiled(
    sig: Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> tuple[Graph, dict[str, Any]]:
    from .signatures import _clean  # noqa: PLC0415 - which imports this module in turn

    given = {**sig.options, **_clean(options, sig.app)}
    publish = {name: given[name] for name in _PUBLISH if name in given}
    rest = {name: value for name, value in _clean(options, sig.app).items() if name not in publish}
    return compile_plan(plan_of(sig, args, kwargs, rest)), publish


# Messages ----------------------------------------------------------------------------------------


def messages_of(graph: Graph, app: App, *, joins: bool | None = None) -> list[Message]:
    """The messages of a graph: those that wait for others first, so that none starts too early.

    A message may end in the very step that stores it (it joins one that has ended), and then
    everything that waits for it must be there.

    Args:
        graph: compiled; at least one node.
        app: whose tasks they are.
        joins: whether a duplicate of a once-task joins the message there already; by default
            where there is more than one message, or a group.

    Raises:
        ConfigError: an option of a call is not possible.
        CodecError: an argument cannot be encoded.
        MessageTooLarge: the arguments of a call are too large.
        TypeError: the arguments of a call do not fit its function.
    """
    running = _state.current_attempt.get()
    root_id = (running.request.root_id or "" if running else "") or graph.nodes[0].id
    if joins is None:
        joins = len(graph.nodes) > 1 or graph.result.members is not None
    waiting = [node for node in graph.nodes if node.waits]
    starting = [node for node in graph.nodes if not node.waits]
    return [_message(node, app, root_id, joins) for node in (*waiting, *starting)]


def _message(node: Node, app: App, root_id: str, joins: bool) -> Message:
    call, args = node.call, node.call.args
    if node.takes == "list" and not node.waits:  # of an empty group: there is nothing to wait for
        args = (nested(node.shape, iter(())), *args)
        node.takes, node.shape = "", None
    task = app.tasks.get(call.task)
    if task is not None and task.typing and node.takes != "errback":
        task.check_arguments((_ANYTHING, *args) if node.takes else args, call.kwargs)
    options = {
        **(task.call_defaults if task else {}),
        **app.route(call.task),
        **node.part_of,
        **{name: value for name, value in call.options.items() if name not in _PUBLISH},
        "task_id": call.id,
        "root_id": root_id,
    }
    # A node that waits gets its once-key when its arguments are there: a key held by a message
    # that cannot start yet could make its own parent wait for it.
    known = None if node.waits else task
    message = calls.build_message(app, call.task, args, call.kwargs, options, known)
    headers = decode_headers(message.headers)
    if node.takes:
        headers = msgspec.structs.replace(headers, takes=node.takes, shape=node.shape)
    return msgspec.structs.replace(
        message,
        headers=encode_headers(headers),
        edges=tuple(node.edges),
        waits=node.waits,
        any_parent=node.any_parent,
        joins_duplicate=joins,
        token=message.token if call.given_id else "",
    )


# Storing -----------------------------------------------------------------------------------------


def _store(app: App, messages: Sequence[Message], publish: Mapping[str, Any]) -> dict[str, Receipt]:
    """Store a graph in one atomic step, or staged where it is larger than a batch.

    Ids that the user chose may be taken. A graph with such ones is staged too, and let go only
    when all of it was stored: a refused part would leave the others waiting for ever.
    """
    limit = app.settings.max_batch
    durable = publish.get("durable")
    if len(messages) <= limit and not any(message.token for message in messages):
        stored = app.enqueue(Batch(messages=tuple(messages), durable=durable), publish)
        return {receipt.id: receipt for receipt in stored.receipts}
    stage, receipts = ids.new_id(), dict[str, Receipt]()
    for at in range(0, len(messages), limit):
        part = tuple(messages[at : at + limit])
        stored = app.enqueue(Batch(messages=part, stage=stage, durable=durable), publish)
        receipts.update((receipt.id, receipt) for receipt in stored.receipts)
    if not any(map(_is_refused, receipts.values())):
        own = [receipt.id for receipt in receipts.values() if receipt.kind == ReceiptKind.CREATED]
        _check_there(app, own[:1])
        held = 1
        while held:
            sealed = Batch(stage=stage, seal=True, durable=durable)
            held = app.enqueue(sealed, publish).held
        _check_there(app, own[:1])
    return receipts


def _check_there(app: App, first: Sequence[str]) -> None:
    """Whether a stage still has what was put on it first: it may be dropped between two batches.

    Raises:
        StoreError: it was, since the batches were too far apart.
    """
    if None in app.store.read(first):
        raise StoreError(
            f"this workflow took longer to enqueue than {app.settings.stage_expires:g} s (setting "
            "stage_expires), so that the store dropped it half-way: enqueue it again"
        )


def _is_refused(receipt: Receipt) -> bool:
    return receipt.kind == ReceiptKind.DUPLICATE


def _check_duplicates(graph: Graph, receipts: Mapping[str, Receipt]) -> None:
    """Refuse a canvas of which a part is there already, unless all of it is."""
    refused = [receipt for receipt in receipts.values() if _is_refused(receipt)]
    own = [node.id for node in graph.nodes if node.call.task != COLLECT]
    if refused and len(refused) < len(own):
        raise AlreadyQueued(0.0, refused[0].holder, None)


def enqueue_many(app: App, signatures: Iterable[Signature]) -> list[Any]:
    """Enqueue many signatures in as few steps as there are batches; see `App.enqueue_many`."""
    if app.settings.task_always_eager:
        return [sig.apply() for sig in signatures]
    results, packer = list[Any](), _Packer(app)
    for sig in signatures:
        graph, publish = _compiled(sig, (), None, {})
        if not graph.nodes:
            results.append(handles_of(graph, app))
        elif len(graph.nodes) > 1:
            messages = messages_of(graph, app)
            receipts = _store(app, messages, publish)
            _check_duplicates(graph, receipts)
            results.append(handles_of(graph, app, receipts))
        else:
            packer.add(len(results), graph, publish)
            results.append(None)
            if len(packer) == app.settings.max_batch:
                packer.flush(results)
    packer.flush(results)
    return results


class _Packer:
    """Lone messages that go to the store together."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._held = list[tuple[int, Graph, Message]]()
        self._publish = dict[str, Any]()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, at: int, graph: Graph, publish: dict[str, Any]) -> None:
        self._held.append((at, graph, messages_of(graph, self._app)[0]))
        self._publish.update(publish)

    def flush(self, results: list[Any]) -> None:
        """Store them and put their handles where they belong.

        Raises:
            AlreadyQueued: one that must not be a duplicate is one; the others are stored.
        """
        held, publish = self._held, self._publish
        self._held, self._publish = [], {}
        if not held:
            return
        batch = Batch(messages=tuple(m for _, _, m in held), durable=publish.get("durable"))
        receipts = self._app.enqueue(batch, publish).receipts
        for (at, graph, message), receipt in zip(held, receipts, strict=True):
            call: Call = graph.nodes[0].call
            task = self._app.tasks.get(call.task)
            if duplicate_is_error(task, receipt.kind, call.options):
                key = message.once.key if message.once else None
                raise AlreadyQueued(receipt.countdown_ms / 1000, receipt.holder, key)
            handle = self._app.handle_of(receipt)
            results[at] = _handle_of_one(graph, self._app, handle)


# Handles -----------------------------------------------------------------------------------------


def handles_of(graph: Graph, app: App, receipts: Mapping[str, Receipt] | None = None) -> Any:
    """The handle of a canvas's result, with its members, parents and children."""
    made = dict[int, Any]()
    for spec in graph.specs:
        made[id(spec)] = _handle(spec, app, made)
    for spec in graph.specs:
        handle = made[id(spec)]
        if spec.members is None:
            if spec.children:
                handle.children = [made[id(child)] for child in spec.children]
            if receipts is not None:
                handle.receipt = receipts.get(spec.id)
    return made[id(graph.result)]


def _handle(spec: Spec, app: App, made: Mapping[int, Any]) -> Any:
    parent = None if spec.parent is None else made[id(spec.parent)]
    if spec.members is None:
        return AsyncResult(spec.id, task_name=spec.task, app=app, parent=parent)
    members = [made[id(member)] for member in spec.members]
    return GroupResult(spec.id, members, parent=parent, app=app)


def _handle_of_one(graph: Graph, app: App, result: AsyncResult[Any]) -> Any:
    """The handle of a graph with one message; a group of one is still a group."""
    spec = graph.result
    if spec.members is None and result.id != spec.id:
        return result  # the handle on the message there already
    return handles_of(graph, app, {} if result.receipt is None else {spec.id: result.receipt})
