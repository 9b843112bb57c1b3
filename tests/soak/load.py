"""The producer of a soak, a process of its own: enqueues a mixed load until SIGTERM.

What it is about to do, and what came of it, it notes in a file: a message counts as acknowledged
once the line says so. It may be killed at any moment and started again.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from reliable_tasks import chain, chord, group
from reliable_tasks.errors import StoreError
from tests.soak.account import Note
from tests.soak.hostile import DEEDS, HOOKS
from tests.soak.tasks import ONCE, make_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks import Signature

__all__ = ["Producer", "main"]

PATIENT = {"max_retries": 200, "interval_start": 0.05, "interval_step": 0.05, "interval_max": 0.5}
KEYS = 3


class Producer:
    """Makes calls, one at a time.

    Args:
        run: the number of this start of the producer, which makes its ids its own.
        dice: what decides.
        note: writes a line.
    """

    def __init__(
        self, url: str, run: int, dice: random.Random, note: Callable[[Note], None]
    ) -> None:
        self.app = make_app(url, version=2)
        # Most workflows are stored in several steps; what the producer did not live to complete is
        # dropped. No fault keeps one that lives from its next step for so long.
        self.app.conf.max_batch, self.app.conf.stage_expires = 1, 20.0
        self._run = run
        self._dice = dice
        self._note = note
        self._sent = 0
        self._lately: deque[str] = deque(maxlen=60)

    def step(self) -> None:
        """One call, whatever it is."""
        (make,) = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        make(self)

    # Single messages ------------------------------------------------------------------------------

    def plain(self) -> None:
        self._call("plain", self._number())

    def slow(self) -> None:
        self._call("plain", self._number(), self._dice.uniform(0.3, 2.0))

    def later(self) -> None:
        delay_s = self._dice.uniform(0.5, 6.0)
        self._call(
            "plain", self._number(), note={"delay_ms": int(delay_s * 1000)}, countdown=delay_s
        )

    def mortal(self) -> None:
        self._call(
            "plain", self._number(), note={"expires": True}, expires=self._dice.uniform(0.1, 3)
        )

    def failing(self) -> None:
        self._call("failing", self._number(), note={"number": None})

    def flaky(self) -> None:
        failures = self._dice.randint(1, 4)
        self._call("flaky", self._number(), failures, note={"failures": failures})

    def once(self) -> None:
        """One call, or a few in a row that want the same key."""
        scope, key = self._dice.choice(list(ONCE)), self._dice.randrange(KEYS)
        for _ in range(self._dice.choice((1, 1, 4))):
            number = self._number()
            seconds = self._dice.choice((0.0, 0.1, 0.8))
            self._call(scope, key, number, seconds, note={"number": number})

    def stepping(self) -> None:
        failures = self._dice.randint(0, 2)
        self._call("stepping", self._number(), failures, note={"failures": failures})

    def spawning(self) -> None:
        self._call("spawning", self._number())

    def guarded(self) -> None:
        number = self._number()
        self._call("guarded", f"account {number % 3}", number, note={"number": number})

    def poison(self) -> None:
        self._call("poison", self._number(), self._dice.choice((1, 2, 9)))

    def too_long(self) -> None:
        self._call("too_long", note={"number": None})

    def hostile(self) -> None:
        number, deed = self._number(), self._dice.choice(list(DEEDS))
        hook = self._dice.choice(list(HOOKS))
        self._call("hostile", number, deed, hook, note={"number": number})

    def huge(self) -> None:
        self._call("huge", self._number(), note={"number": None})

    def greet(self) -> None:
        self._call("greet", note={"number": None})

    def newcomer(self) -> None:
        self._call("newcomer", self._number())

    # Workflows ------------------------------------------------------------------------------------

    def chain(self) -> None:
        first, then = self._part("add", [0, self._number()], self._number()), []
        total = first[1].number or 0
        for _ in range(self._dice.randint(1, 3)):
            number = self._number()
            total += number
            then.append(self._part("add", number, becomes=total))
        parts = [first, *then]
        self._send(chain(*(part for part, _ in parts)), [note for _, note in parts])

    def group(self) -> None:
        parts = [self._part("plain", self._number()) for _ in range(self._dice.randint(1, 5))]
        self._send(group(part for part, _ in parts), [note for _, note in parts])

    def chord(self) -> None:
        parts = [self._part("plain", self._number()) for _ in range(self._dice.randint(2, 6))]
        body, note = self._part("total", becomes=sum(n.number or 0 for _, n in parts))
        self._send(chord([part for part, _ in parts], body), [*(n for _, n in parts), note])

    def broken_chord(self) -> None:
        parts = [self._part("plain", self._number()), self._part("failing", self._number())]
        body, note = self._part("total")
        self._send(chord([part for part, _ in parts], body), [*(n for _, n in parts), note])

    # Revocations ----------------------------------------------------------------------------------

    def revoke(self) -> None:
        if not self._lately:
            return
        message_id = self._dice.choice(self._lately)
        self._note(Note("revoking", message_id, _now_ms()))
        try:
            found = self.app.control.revoke(message_id, terminate=self._dice.random() < 0.4)
        except StoreError as error:
            self._note(Note("failed", message_id, _now_ms(), text=str(error)))
        else:
            self._note(Note("revoked", message_id, _now_ms(), text=found[message_id]))

    # ----------------------------------------------------------------------------------------------

    def _number(self) -> int:
        return self._dice.randrange(1000)

    def _id(self, task: str) -> str:
        self._sent += 1
        return f"{task}-{self._run}-{self._sent}"

    def _call(
        self, task: str, *args: Any, note: dict[str, Any] | None = None, **options: Any
    ) -> None:
        message_id = self._id(task)
        number = args[0] if args and isinstance(args[0], int) else None
        asked = Note("sending", message_id, _now_ms(), task, **{"number": number, **(note or {})})

        def send() -> Any:
            return self.app.tasks[task].apply_async(
                args, task_id=message_id, retry_policy=PATIENT, **options
            )

        self._noting(send, [asked])
        self._lately.append(message_id)

    def _part(self, task: str, *args: Any, becomes: int | None = None) -> tuple[Signature, Note]:
        """A message of a workflow, with what it is expected to say."""
        numbers = [a[1] if isinstance(a, list) else a for a in args]
        number = sum(numbers) if becomes is None and task not in {"failing", "total"} else becomes
        message_id = self._id(task)
        part = self.app.tasks[task].s(*args).set(task_id=message_id)
        return part, Note("sending", message_id, _now_ms(), task, number)

    def _send(self, workflow: Signature, notes: list[Note]) -> None:
        self._noting(lambda: workflow.apply_async(retry_policy=PATIENT), notes)

    def _noting(self, send: Callable[[], Any], notes: list[Note]) -> None:
        for asked in notes:
            self._note(asked)
        try:
            result = send()
        except StoreError as error:
            self._note(Note("failed", notes[-1].id, _now_ms(), text=str(error)))
            return
        for asked in notes:
            duplicate = getattr(result, "duplicate", False)
            event, text = ("duplicate", result.id) if duplicate else ("sent", "")
            self._note(Note(event, asked.id, _now_ms(), asked.task, text=text))


WEIGHTS: dict[Callable[[Producer], None], int] = {
    Producer.plain: 28,
    Producer.slow: 9,
    Producer.later: 8,
    Producer.mortal: 5,
    Producer.failing: 4,
    Producer.flaky: 8,
    Producer.once: 10,
    Producer.stepping: 8,
    Producer.spawning: 6,
    Producer.guarded: 8,
    Producer.poison: 2,
    Producer.too_long: 1,
    Producer.hostile: 8,
    Producer.huge: 1,
    Producer.greet: 4,
    Producer.newcomer: 4,
    Producer.chain: 4,
    Producer.group: 3,
    Producer.chord: 4,
    Producer.broken_chord: 2,
    Producer.revoke: 7,
}


def _now_ms() -> int:
    return round(time.time() * 1000)


def main(argv: list[str]) -> None:
    """`python -m tests.soak.load SEED RUN RATE NOTES`: calls a second on average, until TERM."""
    seed, run, rate, path = int(argv[0]), int(argv[1]), float(argv[2]), Path(argv[3])
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    dice = random.Random(f"{seed} load {run}")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(note: Note) -> None:
        os.write(file, msgspec.json.encode(note) + b"\n")

    producer = Producer(os.environ["STORE_URL"], run, dice, write)
    while not stopped.wait(dice.expovariate(rate)):
        producer.step()
    producer.app.close()


if __name__ == "__main__":
    main(sys.argv[1:])
