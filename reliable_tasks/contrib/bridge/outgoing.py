"""A message of ours as Celery's protocol 2 has it, so that Celery's workers could take it, too.

Pure: nothing of kombu or Celery is needed to say what goes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks.core.codec import loads_call
from reliable_tasks.core.message import decode_headers
from reliable_tasks.core.texts import shown
from reliable_tasks.signals.publishing import protocol_headers, untagged

if TYPE_CHECKING:
    from reliable_tasks.core.context import AppContext
    from reliable_tasks.core.message import Headers, Message

__all__ = ["Outgoing", "outgoing"]

_LEAST_URGENT = 9
_LONGEST_REPR = 1024  # as long as Celery's


class Outgoing(msgspec.Struct, frozen=True):
    """What is published of one message.

    Attributes:
        id: of the message.
        queue: where to.
        body: arguments, keyword arguments, and what follows.
        headers: Celery's, and those of the call.
        properties: what AMQP has places of its own for.
        priority: 0 to 9.
        serializer: of the body.
    """

    id: str
    queue: str
    body: tuple[Any, ...]
    headers: dict[str, Any]
    properties: dict[str, Any]
    priority: int
    serializer: str


def outgoing(
    app: AppContext, message: Message, now_ms: int, reply_to: str = "", *, high_first: bool = False
) -> Outgoing:
    """Say a message in Celery's words.

    Args:
        app: whose message it is.
        message: without edges, which have no place in a broker.
        now_ms: the present; delays are counted from it.
        reply_to: the queue that results are told to, for `rpc://`.
        high_first: the broker serves high priorities first, as RabbitMQ does.
    """
    headers = decode_headers(message.headers)
    args, kwargs = loads_call(message.payload, headers.serializer, {headers.serializer})
    properties = {"correlation_id": message.id, "reply_to": reply_to, **(headers.properties or {})}
    follows = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    told = protocol_headers(message, headers, now_ms)
    told["ignore_result"] = ignores_result(app, message.task, headers)
    told |= {"argsrepr": _shown(args), "kwargsrepr": _shown(kwargs)}
    return Outgoing(
        id=message.id,
        queue=message.queue,
        body=(args, kwargs, follows),
        headers=untagged(headers.user) | told,
        properties=properties,
        priority=_priority(app, message.priority, high_first=high_first),
        serializer=headers.serializer,
    )


def ignores_result(app: AppContext, task_name: str, headers: Headers) -> bool:
    """Whether nobody wants the result: the call says so, else its task, else the settings."""
    if headers.ignore_result is not None:
        return headers.ignore_result
    of_task = getattr(app.tasks.get(task_name), "ignore_result", None)
    return app.settings.task_ignore_result if of_task is None else bool(of_task)


def _priority(app: AppContext, priority: int, *, high_first: bool) -> int:
    """Here 0 is first. Where 9 is, 0 is what a message has that asks for nothing."""
    if not high_first:
        return priority
    usual = priority == app.settings.task_default_priority
    return 0 if usual else max(1, _LEAST_URGENT - priority)


def _shown(value: object) -> str:
    return shown(value)[:_LONGEST_REPR]
