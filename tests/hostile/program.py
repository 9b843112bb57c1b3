"""The app of hostile code: one task whose every place can be told to misbehave."""

from __future__ import annotations

import json
import os
from typing import Any

from reliable_tasks import App, Task, signals
from reliable_tasks.core.retry import RetryPolicy
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


class Hostile(Task[Any, Any]):
    """Its hooks misbehave where their call says so."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        _misbehave("before_start", args)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        _misbehave("on_success", args)

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _misbehave("on_retry", args)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _misbehave("on_failure", args)

    def after_return(self, status: str, retval: Any, task_id: str, *call: Any) -> None:
        _misbehave("after_return", call[0])


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


_options = {"bind": True, "base": Hostile, "retry_policy": _policy, **_limits}


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


signals.task_prerun.connect(_receive("prerun receiver"))
signals.task_success.connect(_receive("success receiver"))
signals.task_failure.connect(_receive("failure receiver"))
signals.task_postrun.connect(_receive("postrun receiver"))
