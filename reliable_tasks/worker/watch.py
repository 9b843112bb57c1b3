"""The supervisor's watch over living children, whatever the store does: limits and progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reliable_tasks import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.worker.children import Child
    from reliable_tasks.worker.process_control import ProcessControl
    from reliable_tasks.worker.scoreboard import Posted

__all__ = ["TICK_S", "Watch"]

TICK_S = 0.1
"""How late a time limit may be noticed."""
_LEAST_PATIENCE_AT_START_S = 60.0


class Watch:
    """Enforces time limits, and ends children that make no progress.

    Args:
        processes: does what is done to processes.
        children: the living ones, by pid.
        grace_s: how long the neighbours of a body that is past its limit may go on.
        patience_s: how long a child that runs no body may hear nothing from a store that answers
            us, before it is taken for stuck.
    """

    def __init__(
        self,
        processes: ProcessControl,
        children: Mapping[int, Child],
        grace_s: float,
        patience_s: float,
    ) -> None:
        self._processes = processes
        self._children = children
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._patience_at_start_s = max(_LEAST_PATIENCE_AT_START_S, 3 * patience_s)

    def has_some(self) -> bool:
        """Whether there is a child to be looked at again soon: one with a limit, or in its end."""
        return any(
            child.killed
            or child.retiring
            or child.kill_at
            or any(p.soft_deadline or p.hard_deadline for p in self._processes.running(child.pid))
            for child in self._children.values()
        )

    def next_limit(self, now: float) -> float:
        """When the next limit of a running body passes; infinity if there is none."""
        deadlines = (
            at
            for child in self._children.values()
            for posted in self._processes.running(child.pid)
            for at in (posted.soft_deadline, posted.hard_deadline)
            if at > now
        )
        return min(deadlines, default=float("inf"))

    def limits(self, now: float) -> None:
        """Tell bodies of their soft limits, and kill children whose bodies are past hard ones."""
        for child in self._children.values():
            if child.killed:
                continue
            for posted in self._processes.running(child.pid):
                if 0 < posted.hard_deadline <= now:
                    if not self._is_spared(child, posted, now):
                        self.kill(child, now)
                        break
                elif 0 < posted.soft_deadline <= now and posted.fence not in child.soft_told:
                    child.remember_only(self._processes.begun(child.pid))
                    child.soft_told.add(posted.fence)
                    self._processes.soft_limit(child.pid)
                    child.emit_limit("limit.soft", posted, posted.soft_deadline)
                elif child.kill_at.get(posted.fence, now + 1) <= now:
                    self.kill(child, now)

    def _is_spared(self, child: Child, posted: Posted, now: float) -> bool:
        """Whether a child with a body past its limit lives on, for the other bodies in it.

        It claims no more, and another child takes its place. The other bodies get the time of a
        warm stop; those that still run then are run again, as when a worker is stopped.
        """
        running = self._processes.running(child.pid)
        if all(0 < other.hard_deadline <= now for other in running):
            return False
        if not child.retiring:
            child.retiring = True
            self._processes.drain(child.pid)
            events.emit("child.retired", **child.about, id=posted.id)
        child.stopped = now >= posted.hard_deadline + self._grace_s
        return not child.stopped

    def kill(self, child: Child, now: float) -> None:
        """Kill a child, and remember which of its bodies were past their limits."""
        child.end_past_limits(self._processes.running(child.pid), now)
        child.killed = True
        self._processes.kill(child.pid)

    def progress(self, now: float, passed_s: float, *, store_answers: bool) -> None:
        """Kill a child that runs no body and hears nothing from a store that answers us.

        While a body runs it may hold the interpreter's lock, and nothing else of its process can
        move; the limits see to that. A child that has yet to hear its first word from the store
        gets longer: receivers of `worker_process_init` may load whatever they like.
        """
        for child in self._children.values():
            answers = self._processes.answers(child.pid)
            moves = answers != child.answers or self._processes.running(child.pid)
            child.answers = answers
            child.quiet_s = child.quiet_s + passed_s if store_answers and not moves else 0.0
            patience_s = self._patience_s if answers else self._patience_at_start_s
            if child.quiet_s >= patience_s and not child.killed:
                reason = f"it heard nothing from the store for {child.quiet_s:.0f} s"
                if not answers:
                    reason = (
                        f"it did not come to work within {child.quiet_s:.0f} s: does a receiver of "
                        "worker_process_init hang?"
                    )
                events.emit("child.stuck", **child.about, reason=reason)
                self.kill(child, now)
