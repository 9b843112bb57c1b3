"""Run a canvas in this process, from the same plan that is compiled for the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reliable_tasks.core import context
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.errors import ChordError, CodecError
from reliable_tasks.results.eager import EagerResult
from reliable_tasks.results.groups import GroupResult
from reliable_tasks.store.values import Input
from reliable_tasks.tasks import calls

from .arguments import failed_here
from .plan import Call, Par, Plan, Seq, plan_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.core.context import AppContext

    from .signatures import Signature

__all__ = ["apply_here", "apply_instead"]


@dataclass(frozen=True, slots=True)
class _Passed:
    """The results that flow into the next call: one, or with a `shape` a list nested like it.

    `starter` is the id of what counts as having started that call, as in `Node.parent_id`.
    """

    results: tuple[EagerResult[Any], ...]
    shape: list[Any] | None = None
    starter: str | None = None


@dataclass(frozen=True, slots=True)
class _Broken:
    """Why the next call does not run: what its parents raised."""

    exc: BaseException
    joins: bool
    failed: tuple[str, ...]
    state: str = "FAILURE"


@dataclass(frozen=True, slots=True)
class _Failing:
    """What a message that failed leaves for its errback."""

    left: Input


_Inflow = _Passed | _Broken | _Failing | None


def apply_here(
    sig: Signature, args: Any, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> Any:
    """Run a signature or a canvas in this process; see `Signature.apply`."""
    given = dict(options)
    throw = given.pop("throw", None)
    for name in ("link", "link_error"):
        if given.get(name) is not None and not isinstance(given[name], list | tuple):
            given[name] = [given[name]]
    plan = plan_of(sig, calls.call_args(args), kwargs, given)
    return _Evaluation(sig.app, throw).run(plan, None)


def apply_instead(sig: Signature, task_id: str, name: str, root_id: str) -> EagerResult[Any]:
    """Run a canvas in place of a call; the call ends as the canvas ends."""
    evaluation = _Evaluation(sig.app, throw=False, root_id=root_id, parent_id=task_id)
    done = evaluation.run(plan_of(sig), None)
    if isinstance(done, EagerResult):
        state, value, text = done.state, done.result, done.traceback
    else:
        flow, text = _outflow(done, None), None
        if isinstance(flow, _Broken):
            state, value = flow.state, _error_of(flow)
        else:
            state, value = "SUCCESS", done.get()
    return EagerResult(task_id, value, state, traceback=text, name=name, app=sig.app)


class _Evaluation:
    def __init__(
        self, app: AppContext, throw: bool | None, root_id: str = "", parent_id: str | None = None
    ) -> None:
        running = context.current_attempt.get()
        self._app = app
        self._root_id = root_id or (running.request.root_id or "" if running else "")
        self._parent_id = parent_id  # of the calls that come first; by default what runs here
        self._throws = app.settings.task_eager_propagates if throw is None else throw
        self._fired = set[bytes]()

    def run(self, plan: Plan, inflow: _Inflow) -> Any:
        if isinstance(plan, Call):
            return self._call(plan, inflow)
        if isinstance(plan, Par):
            results = [self.run(part, inflow) for part in plan.parts]
            done = GroupResult(plan.id, results, app=self._app)
            self._follow(plan.links, _outflow(done, inflow))
            return done
        return self._seq(plan, inflow)

    def _seq(self, seq: Seq, inflow: _Inflow) -> Any:
        before: Any = None
        for part in seq.parts:
            done = self.run(part, inflow)
            if before is not None:
                done.parent = before
                if isinstance(before, EagerResult):
                    before.children = [done]
            before, inflow = done, _outflow(done, inflow)
        return before

    def _call(self, call: Call, inflow: _Inflow) -> EagerResult[Any]:
        if isinstance(inflow, _Broken):
            done = self._broken(call, inflow)
        else:
            done = self._run(call, inflow)
        flow = _outflow(done, inflow)
        self._follow(call.links, flow)
        if isinstance(flow, _Broken):
            for errback in call.errbacks:
                self._errback(errback, done, call)
        if self._throws and done.state == "FAILURE":
            raise done.result
        return done

    def _run(self, call: Call, inflow: _Passed | _Failing | None) -> EagerResult[Any]:
        task = self._app.tasks[call.task]
        options = {name: value for name, value in call.options.items() if name not in calls.PUBLISH}
        self._root_id = self._root_id or call.id
        options = {"root_id": self._root_id, **options, "task_id": call.id}
        parent_id = self._parent_id if inflow is None else _starter(inflow)
        if parent_id is not None:
            options["parent_id"] = parent_id
        done: EagerResult[Any] = self._app.apply_eagerly(
            task, call.args, call.kwargs, throw=False, options=options, **self._left(call, inflow)
        )
        return done

    def _left(self, call: Call, inflow: _Passed | _Failing | None) -> dict[str, Any]:
        """What its parents have left for a call, as `apply_eagerly` takes it."""
        if inflow is None:
            return {}
        if call.immutable:
            return {"inputs": ()}
        if isinstance(inflow, _Failing):
            return {"takes": "errback", "inputs": (inflow.left,)}
        takes = "one" if inflow.shape is None else "list"
        inputs = tuple(map(self._input, inflow.results))
        return {"takes": takes, "shape": inflow.shape, "inputs": inputs}

    def _input(self, parent: EagerResult[Any]) -> Input:
        try:
            value = dumps(parent.result, self._app.settings.result_serializer)
        except CodecError:
            value = b""  # its task ignores results, and a worker would pass on None
        return Input(slot=0, parent=parent.id, ok=True, value=value)

    def _broken(self, call: Call, inflow: _Broken) -> EagerResult[Any]:
        return EagerResult(call.id, _error_of(inflow), inflow.state, name=call.task, app=self._app)

    def _follow(self, links: tuple[Signature, ...], flow: _Inflow) -> None:
        """Run callbacks after a success only; nobody holds handles of those that do not run."""
        if isinstance(flow, _Passed):
            for link in links:
                self.run(plan_of(link), flow)

    def _errback(self, errback: Signature, failed: EagerResult[Any], call: Call) -> None:
        """Equal errbacks of a canvas run once, for the first that fails."""
        key = dumps(errback)
        if key not in self._fired:
            self._fired.add(key)
            failure = encode_failure(_raised(failed), failed.traceback or "")
            left = Input(slot=-1, parent=failed.id, ok=False, value=failure)
            known = {"task": call.task, "args": call.args, "kwargs": call.kwargs}
            token = failed_here.set((failed.id, known))
            try:
                self.run(plan_of(errback), _Failing(left))
            finally:
                failed_here.reset(token)


def _starter(inflow: _Passed | _Failing) -> str | None:
    """The id of what counts as having started a call."""
    return inflow.left.parent if isinstance(inflow, _Failing) else inflow.starter


def _error_of(broken: _Broken) -> BaseException:
    """What those end in that cannot start any more."""
    if not broken.joins:
        return broken.exc
    exc = ChordError(f"Dependency {', '.join(broken.failed)} raised {broken.exc!r}")
    exc.__cause__ = broken.exc
    return exc


def _raised(failed: EagerResult[Any]) -> BaseException:
    """What ended it; for a body that never ran, what its member raised."""
    value = failed.result
    if isinstance(value, ChordError) and value.__cause__ is not None:
        return value.__cause__
    return value if isinstance(value, BaseException) else ChordError(f"{failed.id} was ignored")


def _outflow(done: Any, inflow: _Inflow) -> _Inflow:
    """What flows out of a result; a group without calls stops nothing that has failed."""
    if isinstance(done, EagerResult):
        if done.successful():
            return _Passed((done,), starter=done.id)
        return _Broken(_raised(done), False, (done.id,), done.state)
    leaves = list(done.leaves())
    if not leaves and isinstance(inflow, _Broken | _Failing):
        return inflow
    failed = [leaf for leaf in leaves if not leaf.successful()]
    if not failed:
        before = inflow.starter if isinstance(inflow, _Passed) else None
        starter = leaves[-1].id if leaves else before
        return _Passed(tuple(leaves), _shape_of(done), starter)
    first = _raised(failed[0])
    return _Broken(first, len(leaves) > 1, tuple(leaf.id for leaf in failed))


def _shape_of(group: GroupResult) -> list[Any]:
    """How the results of a group are nested; see `Headers.shape`."""
    return [_shape_of(each) if isinstance(each, GroupResult) else 1 for each in group]
