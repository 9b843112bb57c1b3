"""`self.replace` and `self.add_to_chord`: workflows that change while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from reliable_tasks.core import context
from reliable_tasks.errors import ConfigError, ReliableTasksError
from reliable_tasks.signals.publishing import hand_over
from reliable_tasks.store.steps import check_whole
from reliable_tasks.tasks.builtins import EXTEND

from .compile import compile_plan
from .enqueue import messages_of
from .plan import plan_of
from .primitives import chain, group
from .signatures import Signature, maybe_signature
from .stamping import StampingVisitor

if TYPE_CHECKING:
    from reliable_tasks.core.message import Message
    from reliable_tasks.core.request import AttemptContext
    from reliable_tasks.tasks.task import Task

__all__ = ["ReplaceMessage", "add_to_running_chord", "extended", "replace_running"]


class ReplaceMessage(ReliableTasksError):
    """The message is to be replaced by others.

    Raised by `self.replace()`; the executor makes the outcome `Replaced` of it.

    Attributes:
        messages: for the outcome; one of them has the edge that makes the replaced message its
            mirror.
        canvas: in an eager run, which has no messages: what to run instead.
    """

    def __init__(self, messages: tuple[Message, ...], canvas: Signature | None = None) -> None:
        super().__init__(f"replaced by {len(messages)} messages")
        self.messages = messages
        self.canvas = canvas


def replace_running(task: Task[Any, Any], sig: Signature) -> NoReturn:
    """Let a canvas take the place of the running message: same id, same successors.

    Raises:
        ReplaceMessage: always, where a message runs: the body goes no further.
        ConfigError: no message runs here, or the canvas is not possible here.
    """
    running = context.current_attempt.get()
    if running is None or running.task is not task:
        raise ConfigError("replace() works from inside the body of a task that runs as a message")
    canvas = maybe_signature(sig, task.app)
    if canvas.subtask_type == "chain" and not canvas.tasks:
        raise ConfigError("Cannot replace with an empty chain: it has nothing to run and no result")
    if stamps := running.request.stamps:
        canvas = _stamped_as_well(canvas, stamps)
    if running.store is None:
        raise ReplaceMessage((), canvas)
    raise ReplaceMessage(_graft(task, running, canvas))


def _stamped_as_well(canvas: Signature, stamps: dict[str, Any]) -> Signature:
    """A copy with the stamps of the message whose place it takes; its own ones win."""

    class Underneath(StampingVisitor):
        def on_signature(self, sig: Any, **_: Any) -> dict[str, Any]:
            own = sig.options.get("stamped_headers", ())
            return {name: value for name, value in stamps.items() if name not in own}

    return canvas.clone().stamp(Underneath())


def _graft(task: Task[Any, Any], running: AttemptContext, canvas: Signature) -> tuple[Message, ...]:
    own_id = running.request.id or ""
    nesting = {"replaced_task_nesting": running.request.replaced_task_nesting + 1}
    graph = compile_plan(plan_of(canvas, options=nesting), own_id, running.request.chord)
    limit = task.app.settings.max_batch
    if len(graph.nodes) > limit:
        raise ConfigError(
            f"the replacement has {len(graph.nodes)} messages, but it is stored in one batch of at "
            f"most {limit}; let its calls do more each (task.chunks), or raise max_batch"
        )
    messages = tuple(messages_of(graph, task.app, joins=True))
    check_whole(messages, f"{task.name} cannot be replaced")
    for message in messages:
        if message.id == own_id:
            raise ConfigError(
                f"{message.task} cannot replace {own_id}: it has the same id, so each would wait "
                "for the other; use sig.clone() without a task_id"
            )
    return hand_over(task.app, messages)


def add_to_running_chord(task: Task[Any, Any], sig: Signature, *, lazy: bool = False) -> None:
    """Let the chord's body wait for one more call, which starts when the running one has returned.

    The body finds its result behind that of the running member.

    Raises:
        ConfigError: no message runs here, or it is not a member of a chord's header.
    """
    del lazy  # Celery's: whether to start it now; it starts in the commit of this one
    running = context.current_attempt.get()
    if running is None or running.task is not task or running.store is None:
        raise ConfigError("add_to_chord() works from inside a body that a worker runs")
    if running.request.chord is None:
        raise ConfigError(
            f"{running.request.id} is not a member of a chord's header, so there is no chord to "
            "add to"
        )
    added = running.request.get("additions") or []
    running.request.additions = [*added, maybe_signature(sig, task.app).clone()]


def extended(running: AttemptContext, value: Any) -> tuple[Message, ...]:
    """The messages that take the place of one which returned `value` and added to its chord."""
    app, additions = running.task.app, group(running.request.get("additions"))
    end = Signature(EXTEND, (value,), app=app)
    chord = running.request.chord
    graph = compile_plan(plan_of(chain(additions, end)), running.request.id, chord)
    return hand_over(app, tuple(messages_of(graph, app, joins=True)))
