"""The app of hostile code: one task that misbehaves in the place that its call names."""

from __future__ import annotations

import json
import os
from typing import Any

from reliable_tasks import App
from reliable_tasks.core.retry import RetryPolicy
from tests.hostile.hooks import RECEIVERS, task_with_hooks
from tests.hostile.misdeeds import DEEDS
from tests.hostile.places import MAX_DELIVERIES, MAX_RETRIES, RAISING

__all__ = ["app"]

HARD_LIMIT_S, SOFT_LIMIT_S = 3.0, 2.0

_EFFECTS_PATH = os.path.abspath(os.environ["EFFECTS"])  # noqa: PTH100 - os alone, as in the body
_LIMITED = os.environ.get("HOSTILE_LIMITS") == "yes"


def mark(message_id: str, fence: int) -> None:
    """Note that a body has started: on a descriptor of its own, whatever became of the others."""
    fd = os.open(_EFFECTS_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, json.dumps([message_id, fence]).encode() + b"\n")
    os.close(fd)


def _misbehave(place: str, call: Any) -> Any:
    """Do the deed of this call, if this is its place."""
    return DEEDS[call[1]].do() if call and call[0] == place else None


class _Wait:
    """A policy's function that misbehaves."""

    def __call__(self, state: Any) -> float:
        _misbehave("retry wait", _call_of_now())
        return 0.01


def _predicate(state: Any) -> bool:
    _misbehave("retry predicate", _call_of_now())
    return bool(state.outcome.failed and _call_of_now()[0] in {"retry wait", "on_retry"})


def _call_of_now() -> Any:
    from reliable_tasks import current_task  # noqa: PLC0415 - as programs do it

    return current_task.request.args


app = App("hostile", broker=os.environ["STORE_URL"], set_as_current=False)
app.conf.max_deliveries = MAX_DELIVERIES
_limits = {"time_limit": HARD_LIMIT_S, "soft_time_limit": SOFT_LIMIT_S} if _LIMITED else {}
_policy = RetryPolicy(wait=_Wait(), retry=_predicate, max_retries=MAX_RETRIES)


_options = {
    "bind": True,
    "base": task_with_hooks(lambda _, place, call: _misbehave(place, call)),
    "retry_policy": _policy,
    **_limits,
}


@app.task(name="hostile", once={"keys": ["place", "deed"], "graceful": True}, **_options)
def hostile(self: Any, place: str, deed: str) -> Any:
    mark(self.request.id, self.request.fence)
    if place == "step":
        return self.step("deed", DEEDS[deed].do)
    if place in RAISING:
        raise ValueError("so that its place is reached")
    return _misbehave("body", (place, deed))


@app.task(name="hostile_coroutine", **_options)
async def hostile_coroutine(self: Any, place: str, deed: str) -> Any:
    mark(self.request.id, self.request.fence)
    return DEEDS[deed].do()


@app.task(name="innocent", bind=True)
def innocent(self: Any, n: int) -> int:
    mark(self.request.id, self.request.fence)
    return n


def _receive(place: str) -> Any:
    def receiver(sender: Any, **_: Any) -> None:
        if getattr(sender, "name", "") == "hostile":
            _misbehave(place, _call_of_now())

    return receiver


for _place, _signal in RECEIVERS.items():
    _signal.connect(_receive(_place))
