"""Idle workers on paper: real supervisors and consumers of one process, without children to fork.

Run as a program (by `idle_fleet`), since it also measures checkouts that do not have it: it is told
what to be as JSON, says a line when all of it is at work, and after each line that it is sent how
much processor time its parts have used so far.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time
from typing import Any

from reliable_tasks import App
from reliable_tasks.store.values import SessionInfo
from reliable_tasks.worker import process, supervisor
from reliable_tasks.worker.consumer import Consumer
from reliable_tasks.worker.exchanger import ThreadedExchanger
from reliable_tasks.worker.host import process_gone

__all__ = ["Member", "main"]

_LONGEST_S = getattr(process, "_TICK_S", float("inf"))  # how often its loop stepped at the least


class Member:
    """One idle worker with one child; stands in for its processes.

    Args:
        url: of the store.
        name: of the worker.
        host: that it says it is on.
    """

    def __init__(self, url: str, name: str, host: str) -> None:
        self._app, self._child_app = App(name, broker=url), App(name, broker=url)
        self._stands_for = subprocess.Popen(["sleep", "infinity"])
        self._host = host
        self._answers = 0
        self._children: list[ThreadedExchanger] = []
        settings = self._app.settings
        info = SessionInfo(
            id="", worker=name, host=host, pid=self._stands_for.pid, queues=("celery",)
        )
        options = supervisor.SupervisorOptions(
            info=info,
            children=1,
            lease_ms=round(settings.session_lease * 1000),
            heartbeat_s=settings.heartbeat_seconds,
        )
        self.supervisor = supervisor.Supervisor(self._app.store, self, options)

    def step(self) -> float:
        """Let the supervisor do what is due; returns when to do so again."""
        now = time.monotonic()
        self.supervisor.step(now)
        return min(now + _LONGEST_S, max(now, self.supervisor.next_due(now)))

    def end(self) -> None:
        """End the process that stands for it."""
        self._stands_for.kill()
        self._stands_for.wait()

    # What it is to its supervisor: the processes

    def spawn(self, session: str) -> int:
        trusted_s = self._app.settings.session_lease / 2
        consumer = Consumer(("celery",), 1, trusted_s=trusted_s)
        child = ThreadedExchanger(
            consumer, self._child_app.store, session, on_answer=self._count_answer
        )
        self._children.append(child)
        child.start()
        return len(self._children)

    def _count_answer(self) -> None:
        self._answers += 1

    def answers(self, _pid: int) -> int:
        return self._answers

    def running(self, _pid: int) -> tuple[()]:
        return ()

    def dead(self) -> list[tuple[int, str]]:
        return []

    def gone_sessions(self, sessions: Any) -> list[str]:
        here = self._host
        return [s.id for s in sessions if s.host == here and process_gone(s.pid, s.pid_started)]

    def __getattr__(self, name: str) -> Any:
        if name in {"quiet", "lively"}:  # what an idle child's scoreboard needs not say
            return lambda *_: None
        raise AttributeError(name)


def _told(timeout_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], max(0.0, timeout_s))[0])


def main(given: dict[str, Any]) -> None:
    """Be so many workers until the standard input ends."""
    threading.stack_size(256 * 1024)
    numbers = range(given["first"], given["first"] + given["workers"])
    members = []
    for number in numbers:
        host = given["host"] or f"host-{number}"
        members.append(Member(given["url"], f"w{number}@{host}", host))
    try:
        _live(members, given["spread_s"])
    finally:
        for member in members:
            member.end()
        os._exit(0)  # its consumers block


def _live(members: list[Member], spread_s: float) -> None:
    tie, now, width = itertools.count(), time.monotonic(), spread_s / max(1, len(members))
    due = [(now + index * width, next(tie), member) for index, member in enumerate(members)]
    started = 0
    while True:
        at, _, member = due[0]
        if started >= len(members) and _told(at - time.monotonic()):
            if not sys.stdin.readline():
                return
            supervisors_s = time.thread_time()
            children_s = time.process_time() - supervisors_s
            print(json.dumps({"supervisors": supervisors_s, "children": children_s}), flush=True)
            continue
        time.sleep(max(0.0, at - time.monotonic()))
        heapq.heapreplace(due, (member.step(), next(tie), member))
        if started < len(members):
            started += 1
            if started == len(members):
                print("ready", flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
