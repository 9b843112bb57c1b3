"""Find out what a task leaves behind if its worker dies, for each point where it may die."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core.codec import loads
from reliable_tasks.core.codec.failures import decode_failure
from reliable_tasks.results.result import state_of
from reliable_tasks.store.values import MessageQuery, every_of

from .binding import bound
from .deaths import Death, WatchedStore, dying_between_lines
from .time import VirtualTime
from .worker import InlineWorker, NotIdle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reliable_tasks.app import App
    from reliable_tasks.canvas import Signature
    from reliable_tasks.store.values import Record
    from reliable_tasks.tasks.task import Task

__all__ = ["CrashPoint", "CrashReport", "assert_idempotent", "crash_matrix"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """A point at which the worker was killed.

    Attributes:
        number: 1 for the first one of the run.
        where: between what and what, in words.
        differences: how the end differs from that of a run without a crash; empty if it does not.
    """

    number: int
    where: str
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where} (point {self.number})"


@dataclass(frozen=True, slots=True)
class CrashReport:
    """The results of killing the worker at each point.

    Attributes:
        task: name of the task.
        points: all of them, in the order in which an undisturbed run passes them.
        observed: whether the world outside was looked at; otherwise only the messages were.
    """

    task: str
    points: tuple[CrashPoint, ...]
    observed: bool = True

    @property
    def idempotent(self) -> bool:
        """Whether every crash led to the same result as a run without one."""
        return self.first_difference is None

    @property
    def first_difference(self) -> CrashPoint | None:
        """The first point at which a crash led to another result."""
        return next((point for point in self.points if point.differences), None)

    def __str__(self) -> str:
        first = self.first_difference
        if first is None:
            blind = "" if self.observed else "; effects outside were not looked at: pass observe="
            return f"idempotent ({len(self.points)} crash points{blind})"
        bad = sum(bool(point.differences) for point in self.points)
        lines = [
            f"not idempotent: {self.task}: a crash {first.where} leads to another end",
            *(f"  {difference}" for difference in first.differences),
            f"{bad} of {len(self.points)} crash points do:",
            *(f"  {point}" for point in self.points if point.differences),
        ]
        return "\n".join(lines)


def crash_matrix(
    task: Task[Any, Any] | Signature,
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    app: App | None = None,
    observe: Callable[[], Any] | None = None,
    reset: Callable[[], object] | None = None,
    lines: bool = False,
    max_steps: int = 1000,
) -> CrashReport:
    """Run a call once to its end, then once more for each point at which its worker may die.

    Each run has an empty store in memory. The points are the calls that the attempts make to the
    store (claim, steps, progress, messages enqueued, commit), before and after each. After a death
    the message is taken back and delivered again, and everything runs to its end. That end (the
    messages there are, how each one ended, what `observe` sees) is compared with the end of a run
    without a crash.

    A death unwinds the body by an exception that is no `Exception`. Its `finally` blocks run, other
    than in a real one; hooks do not, and nothing reaches the store any more.

    Args:
        task: the task; or a signature, such as a whole chain.
        *args: positional arguments of the call.
        kwargs: keyword arguments of the call.
        app: whose store is replaced; the task's by default.
        observe: gives what the outside world looks like; its copies are compared.
        reset: puts the outside world back to where it was; called before each run.
        lines: die before each line of the bodies as well.
        max_steps: how many attempts a run may take.

    Raises:
        TypeError: `task` is neither a task nor a signature.
        ValueError: two undisturbed runs do not end alike, so that nothing can be concluded.
        NotIdle: an undisturbed run does not come to an end.
    """
    if app is None and not hasattr(task, "app"):
        raise TypeError(f"crash_matrix() runs a task or a signature, not {task!r}")
    matrix = _Matrix(task, args, dict(kwargs or {}), app, observe, reset, lines, max_steps)
    return matrix.report()


def assert_idempotent(task: Task[Any, Any] | Signature, *args: Any, **options: Any) -> CrashReport:
    """Raise AssertionError, with the report, unless `crash_matrix` finds the call idempotent."""
    report = crash_matrix(task, *args, **options)
    if not report.idempotent:
        raise AssertionError(str(report))
    return report


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ended."""

    messages: Counter[str]
    world: Any


@dataclass(slots=True)
class _Matrix:
    task: Task[Any, Any] | Signature
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    app: App | None
    observe: Callable[[], Any] | None
    reset: Callable[[], object] | None
    lines: bool
    max_steps: int

    def report(self) -> CrashReport:
        """Run it all."""
        # One instant for all runs, so that what a body works out from the time is the same.
        start = VirtualTime().now
        end, points = self._run(start, None)
        again, _ = self._run(start, None)
        changed = _differences(end, again)
        if changed:
            raise ValueError(
                "two undisturbed runs end differently, so that crashes cannot be told from chance; "
                "put the outside world back with reset=, and leave out what is random: "
                + "; ".join(changed)
            )
        found = []
        for number, where in enumerate(points):
            try:
                crashed, _ = self._run(start, number)
            except NotIdle as exc:
                differences: tuple[str, ...] = (f"it does not come to an end: {exc}",)
            else:
                differences = _differences(end, crashed)
            found.append(CrashPoint(number + 1, where, differences))
        return CrashReport(self._name, tuple(found), observed=self.observe is not None)

    @property
    def _name(self) -> str:
        return str(getattr(self.task, "name", None) or self.task)

    def _run(self, start: Any, kill_at: int | None) -> tuple[_End, list[str]]:
        """One run from an empty store to the end; gives the points that were passed."""
        if self.reset is not None:
            self.reset()
        app: Any = self.app or self.task.app
        watched: list[WatchedStore] = []

        def watch(store: Any) -> WatchedStore:
            watched.append(WatchedStore(store, kill_at))
            return watched[0]

        with bound(app, VirtualTime(start), through=watch) as time:
            self._enqueue()
            store = watched[0]
            worker = InlineWorker(app, time, store.check)
            tracing = dying_between_lines(app, store) if self.lines else contextlib.nullcontext()
            with contextlib.suppress(Death), store.watching(), tracing:
                worker.run(self.max_steps, advance=True)
            if store.dead:
                store.revive()
                # Others have long gone on with the rest when a claim is found to have lapsed.
                InlineWorker(app, time).run(self.max_steps, advance=False)
                store.reap([worker.session])
                InlineWorker(app, time).run(self.max_steps, advance=True)
            world = copy.deepcopy(self.observe()) if self.observe else None
            return _End(_messages(app, store), world), store.points

    def _enqueue(self) -> None:
        if hasattr(self.task, "run"):
            self.task.apply_async(self.args, self.kwargs)
        else:
            self.task.apply_async(self.args or None, self.kwargs or None)


def _messages(app: App, store: WatchedStore) -> Counter[str]:
    """Every message in the store and how it ended, in words without ids."""
    records = list(every_of(store.find, MessageQuery()))
    told = Counter(f"{store.call_of(app, r)} {_ending(app, r)}" for r in records)
    return Counter({_without_ids(text, records): n for text, n in told.items()})


def _ending(app: App, record: Record) -> str:
    state = state_of(record)
    if record.failure:
        failure = decode_failure(record.failure)
        return f"ended as {state}: {failure.type}: {failure.message}"
    if record.result:
        task = app.tasks.get(record.task)
        serializer = task.app.settings.result_serializer if task else app.settings.result_serializer
        return f"ended as {state} with {loads(record.result, serializer, app.accept_results)!r}"
    return f"ended as {state}"


def _without_ids(text: str, records: list[Record]) -> str:
    for record in records:
        text = text.replace(record.id, "<id>")
    return text


def _differences(expected: _End, found: _End) -> tuple[str, ...]:
    missing, extra = expected.messages - found.messages, found.messages - expected.messages
    said = [f"{_times(n)}missing: {text}" for text, n in missing.items()]
    said += [f"{_times(n)}instead, or beside: {text}" for text, n in extra.items()]
    if expected.world != found.world:
        said.append(f"observed {found.world!r:.500}, without a crash {expected.world!r:.500}")
    return tuple(said)


def _times(n: int) -> str:
    return f"{n} times " if n > 1 else ""
