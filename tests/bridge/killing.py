"""Kill the bridge, the store and the broker at seeded moments, and see that nothing is lost.

    python -m tests.bridge.killing --broker rabbitmq --messages 20000 --kills 60 --seed 7

Celery's own producer sends, with persistent messages and the broker's confirmations; a bridge, and
a worker of ours, run them over a Redis with an append-only file. A moment is a number of bodies
that have run, so each kill meets a run that goes on. At the end each message has succeeded, with
one commit, the broker has none left, and `reliable-tasks verify` finds nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from celery import Celery
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kombu.exceptions import OperationalError

from reliable_tasks import App
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditQuery
from tests.bridge.rabbitmq import RabbitMQ
from tests.bridge.zookeeper import ZooKeeper
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["Killing", "Outcome", "main", "plan"]

PROGRAM: Final = """
import os
from reliable_tasks import App

app = App("killed", broker=os.environ["KILLED_STORE"], audit="all")
effects = os.open(os.environ["KILLED_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task(name="effect", bind=True)
def effect(self, number):
    os.write(effects, f"{self.request.id}\\n".encode())
    return number
"""
VICTIMS: Final = ("bridge", "store", "broker", "bridge", "bridge", "store", "bridge")
SENDERS: Final = 3
RETRY: Final = {"max_retries": None, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.5}
PAGE: Final = 1000


def plan(seed: int, messages: int, kills: int) -> list[tuple[int, str]]:
    """When to kill whom: the number of bodies that have run, and the victim."""
    rng = random.Random(seed)
    chosen = [VICTIMS[number % len(VICTIMS)] for number in range(kills)]
    rng.shuffle(chosen)
    return list(zip(sorted(rng.sample(range(1, messages * 9 // 10), kills)), chosen, strict=True))


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        states: how many messages are in which state; those that are nowhere are "lost".
        commits: how often each message was committed.
        bodies: how many ran: more than messages, where a commit was lost with the store.
        left: how many the broker still has.
        verified: what `reliable-tasks verify` said.
        killed: whom, and when.
    """

    states: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    bodies: int = 0
    left: int = -1
    verified: str = ""
    killed: list[str] = field(default_factory=list)

    def check(self, messages: int) -> None:
        """Raise AssertionError unless each message has ended once, and well."""
        assert self.states == {State.SUCCEEDED: messages}, self
        assert len(self.commits) == messages, self
        assert set(self.commits.values()) == {1}, self.commits.most_common(3)
        assert self.left == 0, self
        assert "12 of 12 invariants checked" in self.verified, self.verified
        assert "0 violations" in self.verified, self.verified


class Killing:
    """One run.

    Args:
        folder: for its program, logs and effects.
        broker: running; the queue is this run's own.
        store: running, with an append-only file.
        messages: how many are sent.
        moments: when to kill whom.
        bridges: how many read the queue; they are killed in turn.
    """

    def __init__(
        self,
        folder: Path,
        broker: RabbitMQ | ZooKeeper,
        store: RedisServer,
        messages: int,
        moments: Sequence[tuple[int, str]],
        *,
        bridges: int = 1,
    ) -> None:
        self.queue = f"killed-{folder.name}-{os.getpid()}"
        self._folder = folder
        self._broker = broker
        self._store = store
        self._messages = messages
        self._moments = list(moments)
        self._bridges = [f"bridge-{number}" for number in range(bridges)]
        self._effects = folder / "effects"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        (folder / "killed.py").write_text(PROGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for process in self._processes.values():
            process.kill()
            process.wait()

    def run(self) -> Outcome:
        """Send, kill and wait for the end of all messages.

        Raises:
            AssertionError: nothing has moved for as long as our patience lasts.
        """
        outcome = Outcome()
        self._start("worker", "worker", "-c", "1", "-Q", "ours")
        for name in self._bridges:
            self._start_bridge(name)
        senders = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        try:
            for at, victim in self._moments:
                self._await(lambda at=at: self._bodies() >= at, f"{at} bodies")  # type: ignore[misc]
                outcome.killed.append(f"{victim} at {self._bodies()}")
                self._kill(victim)
            self._await(lambda: self._ended() >= self._messages, "all messages end")
        finally:
            self._stop.set()
            for sender in senders:
                sender.join()
        for name in self._bridges:
            self._await_bridge(name)
            self._end(name)
        self._end("worker")
        return self._judge(outcome)

    # What runs ------------------------------------------------------------------------------------

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "reliable_tasks", "-A", "killed", *words]

    @property
    def _environment(self) -> dict[str, str]:
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(self._folder), str(root)])
        told = {"KILLED_STORE": self._store.url, "KILLED_EFFECTS": str(self._effects)}
        return {**os.environ, "PYTHONPATH": path, **told}

    def _start(self, name: str, *words: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._command(*words),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _start_bridge(self, name: str) -> None:
        queue = f"{self.queue}=ours"
        self._start(name, "bridge", "--from", self._broker.url, "-Q", queue)

    def _await_bridge(self, name: str) -> None:
        """Wait until it hears signals; before, a kill meets nothing."""
        said = f"(process {self._processes[name].pid})"
        path = self._folder / f"{name}.log"
        self._await(lambda: said in path.read_text(errors="replace"), f"{name} starts")

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.terminate()
        code = process.wait(PATIENCE_S)
        assert code == 0, f"the {name} ended with {code}: {self._log(name)}"

    def _kill(self, victim: str) -> None:
        if victim == "bridge":
            name = self._bridges[0]
            self._bridges.append(self._bridges.pop(0))
            self._await_bridge(name)
            self._processes[name].kill()
            self._processes[name].wait()
            self._start_bridge(name)
        elif victim == "store":
            self._store.kill9()
            self._store.restart()
        else:
            self._broker.kill9()
            self._broker.start()

    def _send(self, number: int) -> None:
        """Send every so-many-th message, each until the broker has confirmed it."""
        app = Celery("producer", broker=self._broker.url)
        app.conf.update(
            broker_transport_options={"confirm_publish": True},
            broker_connection_timeout=PATIENCE_S,
            task_create_missing_queues=True,
        )
        try:
            for at in range(number, self._messages, SENDERS):
                while not self._stop.is_set():
                    try:
                        app.send_task(
                            "effect",
                            (at,),
                            task_id=f"m-{at}",
                            queue=self.queue,
                            retry=True,
                            retry_policy=RETRY,
                        )
                        break
                    except (OSError, OperationalError, KazooException):
                        app.pool.force_close_all()
                        self._stop.wait(0.1)
        finally:
            app.close()

    # What is seen ---------------------------------------------------------------------------------

    def _bodies(self) -> int:
        return self._effects.read_bytes().count(b"\n") if self._effects.exists() else 0

    def _ended(self) -> int:
        states = self._app.store.counts().states
        return sum(states.get(state, 0) for state in (State.SUCCEEDED, State.FAILED, State.REVOKED))

    @cached_property
    def _app(self) -> App:
        return App("killed", broker=self._store.url, audit="all", set_as_current=False)

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for as long as anything moves."""
        before, deadline = self._bodies(), time.monotonic() + PATIENCE_S
        while not condition():
            if self._bodies() > before:
                before, deadline = self._bodies(), time.monotonic() + PATIENCE_S
            for name, process in self._processes.items():
                assert process.poll() is None, f"the {name} has ended: {self._log(name)}"
            logs = {name: self._log(name) for name in self._processes}
            assert time.monotonic() < deadline, f"not to be seen: {what}; {before} ran; {logs}"
            time.sleep(0.02)

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def _judge(self, outcome: Outcome) -> Outcome:
        app = self._app
        for number in range(0, self._messages, PAGE):
            ids = [f"m-{at}" for at in range(number, min(number + PAGE, self._messages))]
            for record in app.store.read(ids):
                outcome.states[record.state if record else "lost"] += 1
        query = AuditQuery(event="succeeded", limit=PAGE)
        while rows := app.store.audit(query):
            outcome.commits.update(row.id for row in rows)
            query = AuditQuery(event="succeeded", limit=PAGE, after=rows[-1].seq)
        outcome.bodies = self._bodies()
        outcome.left = self._left()
        done = subprocess.run(
            self._command("verify"),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        outcome.verified = done.stdout + done.stderr
        return outcome

    def _left(self) -> int:
        if isinstance(self._broker, RabbitMQ):
            with self._broker.connect() as connection:
                declared = connection.channel().queue_declare(self.queue, passive=True)
                return int(declared.message_count)
        client = KazooClient(f"127.0.0.1:{self._broker.port}")
        client.start(PATIENCE_S)
        try:
            return len(client.get_children(f"/{self.queue}"))
        finally:
            client.stop()
            client.close()


def main(argv: list[str] | None = None) -> int:
    """One long run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bridge.killing", description=__doc__)
    parser.add_argument("--broker", choices=("rabbitmq", "zookeeper"), default="rabbitmq")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bridges", type=int, default=1)
    given = parser.parse_args(argv)
    moments = plan(given.seed, given.messages, given.kills)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="killing-")))
        broker: RabbitMQ | ZooKeeper = RabbitMQ() if given.broker == "rabbitmq" else ZooKeeper()
        stack.callback(broker.stop)
        store = stack.enter_context(RedisServer(appendonly=True))
        killing = Killing(folder, broker, store, given.messages, moments, bridges=given.bridges)
        outcome = stack.enter_context(killing).run()
        print(f"{', '.join(outcome.killed)}; {outcome.bodies} bodies ran")
        print(outcome.verified, end="")
        outcome.check(given.messages)
    print(f"{given.messages} messages, none lost, one commit each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
