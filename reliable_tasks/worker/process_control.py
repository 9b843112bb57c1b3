"""What a supervisor does to processes, as it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reliable_tasks.store.values import SessionInfo
    from reliable_tasks.worker.scoreboard import Posted

__all__ = ["ProcessControl"]


class ProcessControl(Protocol):
    """Starts, signals and kills the children of a worker, and knows what they run."""

    def spawn(self, session: str) -> int:
        """Start a child that works for a session; returns its pid.

        Raises:
            OSError: the system has no room for one now.
        """
        ...

    def drain(self, pid: int) -> None:
        """Ask a child to finish what runs, give back the rest and exit."""
        ...

    def soft_limit(self, pid: int) -> None:
        """Raise SoftTimeLimitExceeded in the body that a child runs."""
        ...

    def kill(self, pid: int) -> None:
        """Kill a child."""
        ...

    def terminate(self, pid: int, fence: int, signal: str) -> bool:
        """Signal the body of a claim that its message was revoked.

        Returns:
            whether the signal goes to a process that runs no other body.
        """
        ...

    def dead(self) -> list[tuple[int, str]]:
        """Children that have ended since the last call, and how: "" for a clean exit."""
        ...

    def running(self, pid: int) -> tuple[Posted, ...]:
        """What a child, alive or dead, has on its scoreboard."""
        ...

    def begun(self, pid: int) -> frozenset[int]:
        """The fences of the claims that a child, alive or dead, has begun to run."""
        ...

    def answers(self, pid: int) -> int:
        """How often a child has heard from the store; 0 while it is not at work yet."""
        ...

    def forget(self, pid: int) -> None:
        """Free what belongs to a dead child."""
        ...

    def gone_sessions(self, sessions: tuple[SessionInfo, ...]) -> list[str]:
        """Which of these sessions belong to processes of this machine that have ended."""
        ...
