"""Bodies of every kind, by name: each with the options of its task and its call."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import tenacity

from reliable_tasks import Ignore, Reject, Retry, RetryPolicy
from tests.attempts.observing import Once

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODIES", "CALL", "bound_body", "counting", "raising", "returning"]

Body = tuple["Callable[..., Any]", dict[str, Any]]
CALL: dict[str, tuple[Any, dict[str, Any]]] = {}
BODIES: dict[str, Callable[[], Body]] = {}


def body(name: str, *args: Any, **call: Any) -> Callable[[Callable[[], Body]], None]:
    """A row of the table: makes a function and its options anew for each run."""

    def add(make: Callable[[], Body]) -> None:
        BODIES[name], CALL[name] = make, (args, call)

    return add


def raising(exc: Callable[[], BaseException], **options: Any) -> Callable[[], Body]:
    def make() -> Body:
        def raises(*_: Any, **__: Any) -> None:
            raise exc()

        return raises, options

    return make


def returning(value: Callable[[], Any], **options: Any) -> Callable[[], Body]:
    return lambda: ((lambda *_, **__: value()), options)


def counting(*values: Any, **options: Any) -> Callable[[], Body]:
    """One value for each attempt; exceptions among them are raised."""

    def make() -> Body:
        def counts(self: Any) -> Any:
            value = values[min(self.request.retries, len(values) - 1)]
            if isinstance(value, BaseException):
                raise value
            return value

        return counts, {"bind": True, **options}

    return make


def bound_body(function: Callable[..., Any], **options: Any) -> Callable[[], Body]:
    return lambda: (function, {"bind": True, **options})


def retrying(self: Any, *args: Any, **how: Any) -> None:
    raise self.retry(*args, **how)


def on_odd(**options: Any) -> RetryPolicy:
    odd = tenacity.retry_if_result(lambda n: n % 2 == 1)
    return RetryPolicy(retry=odd, wait=tenacity.wait_fixed(1), **options)


def of_keys(**options: Any) -> RetryPolicy:
    keys = tenacity.retry_if_exception_type(KeyError)
    return RetryPolicy(retry=keys, **{"wait": tenacity.wait_fixed(10), **options})


class Ugly(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


class _Policy:
    def __call__(self, state: Any) -> bool:
        raise SystemExit("the policy")


async def coroutine(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


async def failing_coroutine() -> None:
    await asyncio.sleep(0)
    raise KeyError("in a coroutine")


def reports(self: Any) -> str:
    self.update_state(state="PROGRESS", meta={"done": 1})
    return "done"


def ignored_as(state: str, meta: Any) -> Callable[[Any], None]:
    def ignores(self: Any) -> None:
        self.update_state(state=state, meta=meta)
        raise Ignore

    return ignores


def reports_what_cannot_be(self: Any) -> None:
    self.update_state(state="PROGRESS", meta=threading.Lock())


def retry_returned(self: Any) -> str:
    if self.request.retries == 0:
        self.retry(countdown=1, throw=False)
    return "after the retry"


def retry_with_other_arguments(self: Any, n: int, *, by: int = 1) -> int:
    if n < 3:
        raise self.retry(args=(n + by,), kwargs={"by": 2}, countdown=60)
    return n


def retry_refused(self: Any, **_: Any) -> None:
    raise self.retry(args=(threading.Lock(),), countdown=0)


def retry_too_large(self: Any, **_: Any) -> None:
    raise self.retry(args=("x" * 2_000_000,), countdown=0)


def retry_that_changes_headers(self: Any) -> Any:
    if self.request.retries == 0:
        raise self.retry(countdown=0, headers={"a": (1, 2)}, shadow="other", time_limit=50)
    return list(self.request.headers.items()), self.request.timelimit


def steps(self: Any) -> int:
    return int(self.step("one", lambda n: n + 1, 1))


def gave_up(self: Any) -> None:
    raise self.retry(exc=KeyError("k"), max_retries=1, countdown=0)


def gives_up_at_once(self: Any, exc: Any) -> None:
    raise self.retry(exc=exc, max_retries=0, countdown=0)


def gives_up_with_another(self: Any) -> None:
    try:
        self.retry(exc=KeyError("k"), max_retries=0)
    except KeyError as exc:
        raise ValueError("instead") from exc


def goes_on_for_longer(self: Any) -> int:
    if self.request.retries < 3:
        with contextlib.suppress(Retry):
            self.retry(max_retries=3, countdown=0)
        raise KeyError
    return int(self.request.retries)


def retry_by_name(self: Any, x: int, y: int = 1) -> Any:
    if self.request.retries == 0:
        raise self.retry(kwargs={"x": 5}, countdown=0)
    return x, y, list(self.request.args), self.request.kwargs


def swallowing(self: Any) -> str:
    try:
        self.retry(countdown=0, max_retries=1)
    except Retry:
        return "swallowed"
    return "not there"


body("returns", 1, 2)(returning(lambda: {"a": (1, 2), 3: {4}}))
body("returns nothing")(returning(lambda: None))
body("raises")(raising(lambda: KeyError("k")))
body("raises what it may", throws=(KeyError,))(raising(lambda: KeyError("k"), throws=(KeyError,)))
body("autoretry")(counting(KeyError("k"), KeyError("l"), 5, autoretry_for=(KeyError,)))
body("autoretry in vain")(raising(lambda: KeyError("k"), autoretry_for=(KeyError,), max_retries=2))
body("not for all")(
    raising(lambda: KeyError("k"), autoretry_for=(Exception,), dont_autoretry_for=(KeyError,))
)
body("retry on a result")(counting(1, 3, 4, retry_policy=on_odd(max_retries=5)))
body("retry on a result in vain")(counting(1, retry_policy=on_odd(max_retries=2)))
body("stop after a delay")(
    raising(
        lambda: KeyError("k"),
        retry_policy=of_keys(stop=tenacity.stop_after_delay(35), max_retries=None),
    )
)
body("stop after a delay, results")(
    counting(1, retry_policy=on_odd(stop=tenacity.stop_after_delay(3), max_retries=None))
)
body("a policy that exits")(
    raising(lambda: KeyError("k"), retry_policy=RetryPolicy(retry=_Policy()))
)
body("self.retry")(bound_body(lambda self: retrying(self, countdown=3), max_retries=2))
body("self.retry without a delay")(bound_body(retrying, max_retries=1))
body("self.retry of an exception")(
    bound_body(lambda self: retrying(self, exc=KeyError("k")), max_retries=1)
)
body("self.retry with a policy")(bound_body(retrying, retry_policy=of_keys(max_retries=2)))
body("self.retry, returned")(bound_body(retry_returned))
EVER = {"autoretry_for": (Exception,), "retry_kwargs": {"max_retries": 5, "countdown": 0}}
body("gives up under autoretry")(
    bound_body(lambda self: gives_up_at_once(self, KeyError("k")), **EVER)
)
body("gives up by a class")(bound_body(lambda self: gives_up_at_once(self, KeyError), **EVER))
body("gives up, raises another")(bound_body(gives_up_with_another, **EVER))
body("more retries")(
    bound_body(goes_on_for_longer, autoretry_for=(KeyError,), max_retries=1, default_retry_delay=0)
)
body("self.retry by name", 1, 2)(bound_body(retry_by_name))
body("self.retry with other arguments", 1)(bound_body(retry_with_other_arguments))
body("self.retry of what cannot be encoded")(bound_body(retry_refused))
body("self.retry of what is too large")(bound_body(retry_too_large))
body("self.retry with other headers")(bound_body(retry_that_changes_headers))
body("self.retry, unknown option")(bound_body(lambda self: retrying(self, coundown=3)))
body("self.retry gives up")(bound_body(gave_up, autoretry_for=(KeyError,)))
body("self.retry swallowed")(bound_body(swallowing))
body("raises Retry itself")(raising(lambda: Retry("once more"), max_retries=1))
body("Reject")(raising(lambda: Reject("no", requeue=False)))
body("Reject, requeued")(raising(lambda: Reject("later", requeue=True)))
body("Ignore")(raising(Ignore))
body("Ignore with a state")(bound_body(ignored_as("SKIPPED", {"why": "old"})))
body("Ignore as a success")(bound_body(ignored_as("SUCCESS", {"kept": (1, 2)})))
body("Ignore as a failure")(
    bound_body(ignored_as("FAILURE", {"exc_type": "ValueError", "exc_message": "declined"}))
)
body("update_state")(bound_body(reports))
body("update_state of what cannot be encoded")(bound_body(reports_what_cannot_be))
body("a result that cannot be encoded")(returning(threading.Lock))
body("a result that is too large")(returning(lambda: "x" * 70_000_000))
body("an argument that cannot be encoded", threading.Lock())(returning(lambda: 1))
body("an argument that is too large", "x" * 2_000_000)(returning(lambda: 1))
body("an option that is not possible", queue=5)(returning(lambda: 1))
body("a keyword that cannot be encoded", kwargs={"a": object()})(returning(lambda: 1))
body("arguments as a worker gets them", [1, (2, {3})])(lambda: ((lambda value: value), {}))
body("arguments that do not fit", 1, 2, 3)(lambda: ((lambda: None), {"typing": False}))
body("SystemExit")(raising(lambda: SystemExit(3)))
body("cancelled")(raising(asyncio.CancelledError))
body("an exception that exits when asked")(raising(Ugly))
body("a result that cannot be shown")(
    lambda: (Unprintable, {"retry_policy": on_odd(max_retries=1)})
)
body("coroutine", 1)(lambda: (coroutine, {}))
body("failing coroutine")(lambda: (failing_coroutine, {"autoretry_for": (KeyError,)}))
body("steps")(bound_body(steps))
body("headers", headers={"a": (1, 2)}, shadow="other", time_limit=5)(returning(lambda: 1))
body("a key", 1)(lambda: ((lambda n: n), {"base": Once}))
for _hook in ("before_start", "on_success", "on_retry", "on_failure", "after_return"):
    for _exc in (ValueError("the hook"), SystemExit("the hook")):
        _how = f"{_hook} raises {type(_exc).__name__}"
        body(f"returns, {_how}")(returning(lambda: 5, misdeed=(_hook, _exc)))
        body(f"retries, {_how}")(
            counting(KeyError("k"), 5, autoretry_for=(KeyError,), misdeed=(_hook, _exc))
        )
        body(f"fails, {_how}")(raising(lambda: KeyError("k"), misdeed=(_hook, _exc)))
