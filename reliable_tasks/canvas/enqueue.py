"""Turn a graph into messages and store them: all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import msgspec

from reliable_tasks.canvas.sender import BatchSender
from reliable_tasks.core import context, ids
from reliable_tasks.core.message import Message, decode_headers, encode_headers
from reliable_tasks.errors import AlreadyQueued
from reliable_tasks.results.groups import GroupResult
from reliable_tasks.results.result import AsyncResult
from reliable_tasks.store.steps import in_steps, is_plain, size_of, stored_together
from reliable_tasks.store.values import Batch, Receipt, ReceiptKind
from reliable_tasks.tasks import calls
from reliable_tasks.tasks.builtins import COLLECT

from .arguments import nested
from .compile import Graph, Node, Spec, compile_plan
from .plan import Call, Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reliable_tasks.core.context import AppContext

    from .signatures import Signature

__all__ = ["apply_canvas", "enqueue_many", "handles_of", "lone_message", "messages_of"]

_ANYTHING = object()  # stands for an argument that a parent will leave
_REFUSED = frozenset({ReceiptKind.DUPLICATE, ReceiptKind.CONFLICT})
_STORED = frozenset({ReceiptKind.CREATED, ReceiptKind.JOINED})  # as themselves


def apply_canvas(
    sig: Signature, args: Any, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Any:
    """Enqueue a signature or a canvas; see `Signature.apply_async`."""
    app = sig.app
    if app.settings.task_always_eager:
        return sig.apply(args, kwargs, **options)
    plan, publish = _planned(sig, calls.call_args(args), kwargs, options)
    if _is_lone(plan):
        return app.send_message(_lone_message(plan, app), {**plan.options, **publish})
    graph = compile_plan(plan)
    if not graph.nodes:
        return handles_of(graph, app)
    messages = messages_of(graph, app)
    if len(messages) == 1:
        only = graph.nodes[0].call
        result = app.send_message(messages[0], {**only.options, **publish})
        return _handle_of_one(graph, app, result)
    receipts = _store(app, messages, publish)
    _check_duplicates(app, graph, messages, receipts)
    return context.noted_child(handles_of(graph, app, receipts), options)


def lone_message(
    sig: Signature, args: Any, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> tuple[Message, dict[str, Any]] | None:
    """The message of a signature that is a single call, and how to send it; None for the others.

    None also where it is to be applied eagerly, or has callbacks.
    """
    if sig.subtask_type is not None or sig.app.settings.task_always_eager:
        return None
    plan, publish = _planned(sig, calls.call_args(args), kwargs, options)
    if not _is_lone(plan):
        return None
    return _lone_message(plan, sig.app), {**plan.options, **publish}


def _planned(
    sig: Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> tuple[Plan, dict[str, Any]]:
    if not options and not sig["options"]:
        return plan_of(sig, args, kwargs), {}
    clean = sig.cleaned(options)
    given = {**sig.options, **clean}
    publish = {name: given[name] for name in calls.PUBLISH if name in given}
    rest = {name: value for name, value in clean.items() if name not in publish}
    return plan_of(sig, args, kwargs, rest), publish


def _is_lone(plan: Plan) -> TypeGuard[Call]:
    """Whether a plan is a single call, which needs no graph."""
    return isinstance(plan, Call) and not plan.links and not plan.errbacks


# Messages ----------------------------------------------------------------------------------------


def _lone_message(call: Call, app: AppContext) -> Message:
    return _message_of(call, app, _checked(call, app))


def _checked(call: Call, app: AppContext) -> Any:
    """The task of a call, whose arguments fit; None where it is not known here."""
    task = app.tasks.get(call.task)
    if task is not None and task.typing:
        task.check_arguments(call.args, call.kwargs)
    return task


def _message_of(call: Call, app: AppContext, task: Any) -> Message:
    options = _options_of(call)
    return calls.build_message(
        app, call.task, call.args, call.kwargs, options, task, made_id=call.id
    )


def _options_of(call: Call) -> dict[str, Any]:
    options = {name: value for name, value in call.options.items() if name not in calls.PUBLISH}
    return {**options, "task_id": call.id} if call.given_id else options


def messages_of(graph: Graph, app: AppContext, *, joins: bool | None = None) -> list[Message]:
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
    running = context.current_attempt.get()
    root_id = (running.request.root_id or "" if running else "") or graph.nodes[0].id
    if joins is None:
        joins = len(graph.nodes) > 1 or graph.result.members is not None
    waiting = [node for node in graph.nodes if node.waits]
    starting = [node for node in graph.nodes if not node.waits]
    return [_message(node, app, root_id, joins) for node in (*waiting, *starting)]


def _message(node: Node, app: AppContext, root_id: str, joins: bool) -> Message:
    call, args = node.call, node.call.args
    if node.takes == "list" and not node.waits:  # of an empty group: there is nothing to wait for
        args = (nested(node.shape, iter(())), *args)
        node.takes, node.shape = "", None
    task = app.tasks.get(call.task)
    if task is not None and task.typing and node.takes != "errback":
        task.check_arguments((_ANYTHING, *args) if node.takes else args, call.kwargs)
    options = {"root_id": root_id, **node.part_of, **_options_of(call)}
    if node.parent_id:
        options["parent_id"] = node.parent_id
    # A node that waits gets its once-key when its arguments are there: a key held by a message
    # that cannot start yet could make its own parent wait for it.
    keyed = not node.waits
    message = calls.build_message(
        app, call.task, args, call.kwargs, options, task, keyed=keyed, made_id=call.id
    )
    headers = message.headers
    if node.takes or (node.waits and message.delay_ms):
        told = decode_headers(headers)
        # Its countdown begins when its parents have ended, and nobody knows yet when that is.
        told = msgspec.structs.replace(told, takes=node.takes, shape=node.shape, countdown_ms=0)
        headers = encode_headers(told)
    return msgspec.structs.replace(
        message,
        headers=headers,
        edges=tuple(node.edges),
        waits=node.waits,
        any_parent=node.any_parent,
        joins_duplicate=joins,
    )


# Storing -----------------------------------------------------------------------------------------


def _store(
    app: AppContext, messages: Sequence[Message], publish: Mapping[str, Any]
) -> dict[str, Receipt]:
    """Store a graph in one atomic step, or staged where it is larger than one may be.

    Ids that the user chose may be taken. A graph with such ones is staged too, and let go only
    when all of it was stored: a refused part would leave the others waiting for ever.
    """
    durable = publish.get("durable")
    parts = [*in_steps(messages, app.settings.max_batch, size_of)]
    if len(parts) == 1 and _is_one_step(messages):
        stored = app.enqueue(Batch(messages=tuple(messages), durable=durable), publish)
        return {receipt.id: receipt for receipt in stored.receipts}
    stage, receipts = ids.new_id(), dict[str, Receipt]()
    after: str | None = None
    for part in parts:
        batch = Batch(messages=tuple(part), stage=stage, after=after, durable=durable)
        stored = app.enqueue(batch, publish)
        receipts.update((receipt.id, receipt) for receipt in stored.receipts)
        after = after or next((r.id for r in stored.receipts if r.kind in _STORED), None)
    if not any(map(_is_refused, receipts.values())):
        held = 1
        while held:
            sealed = Batch(stage=stage, seal=True, after=after, durable=durable)
            held = app.enqueue(sealed, publish).held
    return receipts


def _is_one_step(messages: Sequence[Message]) -> bool:
    """Whether it takes no long to store these, whose ids we chose, in one step."""
    few = len(messages) <= stored_together(messages)
    return (few or all(map(is_plain, messages))) and not any(m.token for m in messages)


def _is_refused(receipt: Receipt) -> bool:
    return receipt.kind in _REFUSED


def _check_duplicates(
    app: AppContext, graph: Graph, messages: Sequence[Message], receipts: Mapping[str, Receipt]
) -> None:
    """Refuse a canvas if some of its messages are there already, but not all."""
    for message in messages:
        receipt = receipts.get(message.id)
        if receipt is not None and receipt.kind == ReceiptKind.CONFLICT:
            app.check_receipt(receipt, message, {})
    refused = [receipt for receipt in receipts.values() if _is_refused(receipt)]
    own = [node.id for node in graph.nodes if node.call.task != COLLECT]
    if refused and len(refused) < len(own):
        raise AlreadyQueued(0.0, refused[0].holder, None)


def enqueue_many(app: AppContext, signatures: Iterable[Signature]) -> list[Any]:
    """Enqueue many signatures in as few steps as there are batches; see `App.enqueue_many`."""
    if app.settings.task_always_eager:
        return [sig.apply() for sig in signatures]
    results = list[Any]()
    with BatchSender(app, results) as sender:
        for sig in signatures:
            plan, publish = _planned(sig, (), None, {})
            if _is_lone(plan):
                _add_lone(sender, plan, app, publish)
                continue
            graph, receipts = compile_plan(plan), dict[str, Receipt]()
            if graph.nodes:
                messages = messages_of(graph, app)
                receipts = _store(app, messages, publish)
                _check_duplicates(app, graph, messages, receipts)
            results.append(handles_of(graph, app, receipts))
        sender.flush()
    for result in results:
        context.noted_child(result, {})
    return results


def _add_lone(sender: BatchSender, call: Call, app: AppContext, publish: Mapping[str, Any]) -> None:
    task = _checked(call, app)
    if task is not None and not (call.options or call.given_id):
        plain = app.plain_call(task, call.args, call.kwargs)
        if plain is not None:
            sender.add_plain(plain[0], call.id, plain[1], publish)
            return
    sender.add(_message_of(call, app, task), call.options, publish)


# Handles -----------------------------------------------------------------------------------------


def handles_of(graph: Graph, app: AppContext, receipts: Mapping[str, Receipt] | None = None) -> Any:
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


def _handle(spec: Spec, app: AppContext, made: Mapping[int, Any]) -> Any:
    parent = None if spec.parent is None else made[id(spec.parent)]
    if spec.members is None:
        return AsyncResult(spec.id, task_name=spec.task, app=app, parent=parent)
    members = [made[id(member)] for member in spec.members]
    return GroupResult(spec.id, members, parent=parent, app=app)


def _handle_of_one(graph: Graph, app: AppContext, result: AsyncResult[Any]) -> Any:
    """The handle of a graph with one message; a group of one is still a group."""
    spec = graph.result
    if spec.members is None and result.id != spec.id:
        return result  # the handle on the message there already
    return handles_of(graph, app, {} if result.receipt is None else {spec.id: result.receipt})
