"""A delivery becomes messages: what the store keeps of a call, and of what follows it. Pure.

The same delivery gives the same messages, ids included, however often it comes: so it can be stored
again after a lost acknowledgement, and is there once.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from reliable_tasks.core import checks
from reliable_tasks.core.codec import dumps_call
from reliable_tasks.core.message import Edge, Headers, Message, decode_headers, encode_headers
from reliable_tasks.core.once import once_label
from reliable_tasks.core.texts import shown
from reliable_tasks.errors import MessageRefused, ReliableTasksError
from reliable_tasks.tasks.calls import check_accepted, once_lock

from .foreign import ForeignCall, read_call
from .links import BUILTINS, Here, converted, forward

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.app import App
    from reliable_tasks.canvas import Graph
    from reliable_tasks.contrib.bridge.sources import Delivery

__all__ = ["Translated", "Translator", "digest"]

_LEAST_URGENT: Final = 9
_COMMON: Final = (
    *("serializer", "time_limit", "soft_time_limit", "ignore_result", "shadow"),
    *("nesting", "retries", "group", "origin"),
)
"""The fields of headers that many messages have alike."""


def digest(*parts: bytes) -> str:
    """A short name for these bytes."""
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8))
        made.update(part)
    return made.hexdigest()


class Translated(NamedTuple):
    """A call's message, and all messages of its workflow, itself included, if it has one."""

    call: Message
    workflow: list[Message]


class Translator:
    """Makes messages of deliveries, for one app.

    Args:
        app: whose settings and once-tasks count.
        queues: the names here of the broker's queues; what is not among them keeps its name.
        high_first: the broker serves high priorities first, as RabbitMQ does.

    Raises:
        ConfigError: the app's own workers would not decode what it writes.
    """

    def __init__(self, app: App, queues: Mapping[str, str], *, high_first: bool) -> None:
        self._app = app
        self._queues = dict(queues)
        self._high_first = high_first
        self._settings = app.settings
        self._serializer = app.settings.task_serializer
        check_accepted(app, self._serializer)

    def translate(self, delivery: Delivery) -> Translated:
        """The call's message, and those of what follows it.

        Raises:
            MessageRefused: it cannot be understood, or not be kept.
        """
        try:
            call = read_call(delivery, self._settings.max_message_bytes)
            head = self._head(call)
            if not (call.callbacks or call.errbacks or call.chain):
                return Translated(head, [])
            workflow = self._linked(call, head)
            return Translated(next((m for m in workflow if m.id == head.id), head), workflow)
        except MessageRefused:
            raise
        except TypeError as error:
            raise MessageRefused(f"its workflow does not fit its tasks: {error}") from error
        except RecursionError:
            raise MessageRefused("it is nested too deeply to be read") from None
        except ReliableTasksError as error:
            raise MessageRefused(str(error)) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # routers are users' code, and nothing may stop the bridge
            raise MessageRefused(f"it cannot be translated: {shown(error)}") from error

    # The call itself ------------------------------------------------------------------------------

    def _head(self, call: ForeignCall) -> Message:
        args, kwargs = tuple(call.args), call.kwargs
        name = checks.text("task", BUILTINS.get(call.task, call.task))
        if name != call.task:
            here = Here(self._options, name)
            kwargs = {**kwargs, "task": converted(kwargs.get("task"), here)}
        payload = dumps_call(args, kwargs, self._serializer)
        headers = self._headers(call)
        task = self._app.tasks.get(name)
        once = None
        if task is not None and task.once_options is not None:
            once, headers = self._keyed(task, args, kwargs, headers)
        packed = encode_headers(headers) if once or call.user or call.stamps else _packed(headers)
        most = self._settings.max_message_bytes
        checks.check_size(
            f"a message of {name}", len(payload) + len(packed), most, "max_message_bytes"
        )
        return Message(
            id=checks.message_id("id", call.id),
            task=name,
            queue=checks.queue("queue", self._queues.get(call.queue, call.queue)),
            priority=self._priority(call.priority),
            payload=payload,
            headers=packed,
            eta_ms=self._instant("eta", call.eta, utc=call.utc),
            expires_ms=self._instant("expires", call.expires, utc=call.utc),
            once=once,
            max_deliveries=self._settings.max_deliveries,
            result_ttl_ms=self._app.result_ttl_ms,
            failure_ttl_ms=self._app.failure_ttl_ms,
            root_id=_root(call),
            parent_id=_optional("parent_id", call.parent_id),
            token=digest(name.encode(), payload),
        )

    def _headers(self, call: ForeignCall) -> Headers:
        reply = {"reply_to": call.reply_to, "correlation_id": call.correlation_id}
        if not call.reply_to or call.correlation_id in {None, "", call.id}:
            del reply["correlation_id"]  # it is the id
        properties = {name: checks.text(name, value) for name, value in reply.items() if value}
        return Headers(
            serializer=self._serializer,
            time_limit=call.time_limit,
            soft_time_limit=call.soft_time_limit,
            ignore_result=call.ignore_result,
            shadow=_optional("shadow", call.shadow),
            user=None if call.user is None else checks.user_headers("headers", call.user),
            stamps=None if call.stamps is None else checks.user_headers("stamps", call.stamps),
            properties=properties or None,
            nesting=call.nesting,
            retries=call.retries,
            group=_optional("group", call.group),
            origin=call.origin,
        )

    def _keyed(self, task: Any, args: Any, kwargs: Any, headers: Headers) -> tuple[Any, Headers]:
        """The once-lock; none where the call does not fit, which the worker then says."""
        try:
            lock = once_lock(task, args, kwargs)
            keys = task.once_options.keys
            label = once_label(task.name, task.signature_of_call, args, kwargs, keys)
        except (TypeError, ReliableTasksError):
            return None, headers
        return lock, msgspec.structs.replace(headers, once_label=label)

    def _priority(self, given: Any) -> int:
        """Here 0 is first. A broker that serves 9 first cannot tell 0 from none given."""
        usual = self._settings.task_default_priority
        if given is None or not isinstance(given, int) or isinstance(given, bool) or given < 0:
            return usual
        if not self._high_first:
            return min(given, _LEAST_URGENT)
        return max(0, _LEAST_URGENT - given) if given else usual

    def _instant(self, name: str, value: Any, *, utc: bool) -> int | None:
        if value is None or value == "":
            return None
        return checks.instant_ms(name, value, dt.UTC if utc else self._app.timezone)

    # What follows it ------------------------------------------------------------------------------

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        if "queue" in options:
            options["queue"] = self._queues.get(options["queue"], options["queue"])
        if "priority" in options:
            options["priority"] = self._priority(options["priority"])
        return options

    def _linked(self, call: ForeignCall, head: Message) -> list[Message]:
        """The messages of the graph that the call and what follows it make."""
        canvas = self._app.canvas
        here = Here(self._options, digest(head.id.encode(), head.token.encode()))
        first = {
            "task": head.task,
            "args": tuple(call.args),
            "kwargs": call.kwargs,
            "options": {
                "task_id": head.id,
                "queue": head.queue,
                "link": [converted(each, here) for each in call.callbacks if each],
                "link_error": [converted(each, here) for each in call.errbacks if each],
                **({"root_id": head.root_id} if head.root_id else {}),
            },
        }
        whole = forward(first, call.chain, here) if call.chain else first
        graph = canvas.compile_plan(canvas.plan_of(canvas.signature(whole, app=self._app)))
        if len(graph.nodes) == 1:
            return []
        _name_nodes(graph, head)
        made = canvas.messages_of(graph, self._app)
        return [_as_head(m, head) if m.id == head.id else _as_part(m, head) for m in made]


def _optional(name: str, value: Any) -> str | None:
    return None if value is None or value == "" else checks.message_id(name, value)


def _root(call: ForeignCall) -> str:
    """The workflow it belongs to; left out where it stands alone, so that such calls are alike."""
    root = _optional("root_id", call.root_id)
    return "" if root is None or root == call.id else root


@lru_cache(maxsize=1024)
def _packed_of(common: tuple[Any, ...], properties: tuple[tuple[str, str], ...]) -> bytes:
    told = Headers(**dict(zip(_COMMON, common, strict=True)), properties=dict(properties) or None)
    return encode_headers(told)


def _packed(headers: Headers) -> bytes:
    """Packed headers; a producer's calls mostly have the same."""
    common = tuple([getattr(headers, name) for name in _COMMON])
    return _packed_of(common, tuple((headers.properties or {}).items()))


def _name_nodes(graph: Graph, head: Message) -> None:
    """Give the parts that have no id of their own one that the next delivery gives them, too."""
    names = {
        node.id: digest(head.id.encode(), head.token.encode(), b"%d" % number)
        for number, node in enumerate(graph.nodes)
        if not node.call.given_id
    }
    for node in graph.nodes:
        node.call.id = names.get(node.id, node.id)
        node.edges = [Edge(names.get(e.child, e.child), e.on, e.slot) for e in node.edges]
        node.part_of = {name: names.get(value, value) for name, value in node.part_of.items()}
        if node.parent_id:
            node.parent_id = names.get(node.parent_id, node.parent_id)


def _as_head(message: Message, head: Message) -> Message:
    """The call's message, with its place in the graph."""
    placed, told = decode_headers(message.headers), decode_headers(head.headers)
    headers = msgspec.structs.replace(told, chain=placed.chain, chord=placed.chord)
    return msgspec.structs.replace(
        head,
        headers=encode_headers(headers),
        edges=message.edges,
        joins_duplicate=message.joins_duplicate,
    )


def _as_part(message: Message, head: Message) -> Message:
    root_id = head.root_id or head.id
    return msgspec.structs.replace(message, root_id=root_id, token=head.token)
