"""The promise of Celery's tutorials: gevent patches everything, and a callback gets the result.

Other greenlets go on while it waits: they say so before there is a worker.
"""

import gevent.monkey

gevent.monkey.patch_all()

from typing import Any  # noqa: E402 - what is imported before is not patched

import gevent  # noqa: E402
import gevent.event  # noqa: E402
from tasks import add  # noqa: E402

TURNS = 100
received = gevent.event.Event()


def on_result_ready(result: Any) -> None:
    print(f"Received result for id {result.id!r}: {result.result!r}", flush=True)
    received.set()


def turn() -> None:
    for _ in range(TURNS):
        gevent.sleep(0)
    print("others go on", flush=True)


add.delay(2, 2).then(on_result_ready)
waits = gevent.spawn(lambda: add.delay(3, 3).get())
gevent.sleep(0)
gevent.spawn(turn)
received.wait()
print("get", waits.get(), flush=True)
many = [gevent.spawn(lambda number: add.delay(number, number).get(), n) for n in range(20)]
gevent.joinall(many, raise_error=True)
print("many", sum(each.value for each in many), flush=True)
