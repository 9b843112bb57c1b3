"""Exceptions on their way: groups, notes, causes, and text that no UTF-8 can be."""

from __future__ import annotations

import copy
import pickle
import socket
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App, RetryPolicy, Task, events
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.core.codec.failures import (
    Failure,
    Opaque,
    decode_failure,
    encode_failure,
)
from reliable_tasks.errors import ConfigError, ReliableTasksError, RemoteError, Retry
from reliable_tasks.testing import bound, run_until_idle
from reliable_tasks.worker.options import WorkerOptions, check_options, expand_hostname
from tests.attempts.running import attempt, detail_of
from tests.worker.fakes import claim_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = "caf\udce9"  # a name of a file that is no UTF-8


class FlakyError(Exception):
    """Of a module that is not imported where the result is asked for."""

    __module__ = "elsewhere"


class Several(ExceptionGroup[Exception]):
    """A group of one's own."""

    __module__ = "elsewhere"


class PickyGroup(ExceptionGroup[Exception]):
    """Its message may not be what it was."""

    def __new__(cls, message: str, parts: Any) -> Any:
        return super().__new__(cls, f"picky {message}", parts)


@pytest.fixture
def app() -> Iterator[App]:
    made = App("failing", broker="sqlite://", set_as_current=False)
    with bound(made):
        yield made


def through(exc: BaseException, *classes: Any) -> BaseException:
    exceptions = SafeExceptions()
    for cls in classes:
        exceptions.register(cls)
    return exceptions.rebuild(decode_failure(encode_failure(exc, "the traceback")))


def described(exc: BaseException | None) -> Any:
    if isinstance(exc, BaseExceptionGroup):
        return type(exc).__name__, exc.message, [described(part) for part in exc.exceptions]
    return type(exc).__name__, *(exc.args if exc else ())


# Groups ------------------------------------------------------------------------------------------


def test_a_group_comes_back_as_one_with_its_parts_notes_and_causes() -> None:
    inner = ExceptionGroup("inner", [KeyError("k"), FlakyError("f")])
    inner.add_note("look here")
    one = ValueError("one")
    one.__cause__ = OSError(2, "No such file")
    one.add_note("in line 3")
    group = ExceptionGroup("outer", [one, inner])
    group.__cause__ = ExceptionGroup("cause", [TypeError("t")])
    back: Any = through(group)
    assert described(back) == described(group)
    assert str(back) == "outer (2 sub-exceptions)"
    assert back.remote_traceback == "the traceback"
    assert back.exceptions[0].__notes__ == ["in line 3"]
    assert back.exceptions[1].__notes__ == ["look here"]
    assert back.__notes__ == ["\nTraceback in the worker:\n\nthe traceback"]
    assert type(back.exceptions[0].__cause__) is FileNotFoundError
    assert described(back.__cause__) == described(group.__cause__)
    assert isinstance(back.exceptions[1].exceptions[1], RemoteError)


def test_except_star_takes_it_apart(app: App) -> None:
    @app.task(name="several")
    def several() -> None:
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two"), OSError("three")])

    result = several.delay()
    run_until_idle(app)
    taken: list[Any] = []
    try:
        result.get()
    except* ValueError as some:
        taken += some.exceptions
    except* (KeyError, OSError) as some:
        taken += some.exceptions
    expected = [("ValueError", "one"), ("KeyError", "two"), ("OSError", "three")]
    assert list(map(described, taken)) == expected


def test_a_group_with_an_exit_in_it_is_a_group_of_stand_ins() -> None:
    back: Any = through(BaseExceptionGroup("exits", [SystemExit(3), ValueError("v")]))
    assert type(back) is ExceptionGroup, "nobody who asks for a result exits by it"
    assert described(back) == ("ExceptionGroup", "exits", [("SystemExit", 3), ("ValueError", "v")])
    back = through(BaseExceptionGroup("exits", [SystemExit(3)]), SystemExit)
    assert type(back) is BaseExceptionGroup, "where that is what was asked for"
    assert type(back.exceptions[0]) is SystemExit


def test_a_group_of_ones_own_is_itself_where_it_is_registered_and_a_group_elsewhere() -> None:
    mine = Several("mine", [ValueError("v")])
    assert type(through(mine, Several)) is Several
    stand_in: Any = through(mine)
    assert isinstance(stand_in, RemoteError)
    assert isinstance(stand_in, ExceptionGroup)
    assert described(stand_in) == described(mine)
    assert (stand_in.message, str(stand_in)) == ("mine", "mine (1 sub-exception)")
    assert stand_in.remote_type == "elsewhere.Several"
    for again in (copy.copy(stand_in), pickle.loads(pickle.dumps(stand_in))):
        assert (type(again), described(again)) == (type(stand_in), described(stand_in))
    picky: Any = through(PickyGroup("m", [ValueError("v")]), PickyGroup)
    assert described(picky)[2] == [("ValueError", "v")]


def test_a_failure_has_bounds_however_many_are_in_it() -> None:
    wide: Any = through(ExceptionGroup("wide", [ValueError(n) for n in range(1000)]))
    assert len(wide.exceptions) <= 100
    assert type(wide.exceptions[-1]) is ReliableTasksError
    assert str(wide.exceptions[-1]) == f"{1001 - len(wide.exceptions)} more are not kept"
    deep: Exception = ValueError("core")
    for n in range(200):
        deep = ExceptionGroup(f"{n}", [deep])
    found, levels = through(deep), 0
    while isinstance(found, ExceptionGroup):
        found, levels = found.exceptions[0], levels + 1
    assert 5 < levels <= 11
    assert str(found) == "1 more are not kept"
    bushy: Exception = ValueError("x" * 60_000)
    for _ in range(7):
        bushy.add_note("n" * 60_000)
        bushy = ExceptionGroup("y" * 60_000, [bushy] * 7)
        bushy.__cause__ = ValueError("z" * 60_000)
    assert len(encode_failure(bushy)) < 1_500_000


def test_text_that_takes_six_times_its_room_has_bounds_in_bytes() -> None:
    exc = ValueError("\x01" * 60_000)
    exc.__cause__ = ValueError("\x01" * 60_000)
    exc.add_note("\x01" * 60_000)
    data = encode_failure(exc, "\x01" * 60_000)
    assert len(data) <= 2**20
    assert decode_failure(data).message == "\x01" * 60_000


def test_many_large_attributes_have_bounds_together() -> None:
    exc = KeyError()
    for n in range(40):
        setattr(exc, f"of_{n}", "x" * 60_000)
    state = decode_failure(encode_failure(exc)).state
    texts = [value.text if isinstance(value, Opaque) else value for value in state.values()]
    assert texts[0] == "x" * 60_000
    assert sum(map(len, texts)) <= 65_536 + 1000


def test_a_cause_that_is_its_own_cause_has_bounds() -> None:
    exc = ValueError("round")
    exc.__cause__ = exc
    assert len(encode_failure(ExceptionGroup("g", [exc] * 50))) < 100_000


def test_notes_that_are_none_are_left_out_and_others_are_text() -> None:
    exc = ValueError("v")
    exc.__notes__ = 5  # type: ignore[assignment]
    assert len(through(exc).__notes__) == 1, "that of the traceback in the worker"
    exc.__notes__ = [ODD, 5, *"x" * 100]  # type: ignore[list-item]
    kept = through(exc).__notes__
    assert (kept[:3], len(kept)) == (["caf\\udce9", "5", "x"], 21)


def test_what_an_older_worker_wrote_is_read() -> None:
    old = {"type": "ValueError", "module": "builtins", "message": "v", "args": [[True, "v"]]}
    failure = decode_failure(dumps({**old, "traceback": "", "cause": None}))
    assert failure == Failure(type="ValueError", module="builtins", message="v", args=("v",))


class Hostile(Exception):
    """Whatever is asked of it is an exit."""

    __notes__ = property(lambda _: exec("raise SystemExit"))

    def __str__(self) -> str:
        raise SystemExit

    def __json__(self) -> Any:
        raise KeyboardInterrupt

    __repr__ = __str__


class HostileOSError(OSError):
    def __reduce__(self) -> Any:
        raise ValueError


@pytest.mark.parametrize("exc", [Hostile(Hostile()), HostileOSError(2, "x")])
def test_no_exception_is_refused_whatever_it_does(exc: Exception) -> None:
    for raised in (exc, ExceptionGroup("g", [exc])):
        assert decode_failure(encode_failure(raised)).module in {__name__, "builtins"}


# Lone surrogates ---------------------------------------------------------------------------------


def test_a_failure_with_a_lone_surrogate_is_as_any_other(app: App) -> None:
    seen: list[Any] = []

    class Hooked(Task[Any, Any]):
        def on_failure(self, exc: BaseException, *_: Any) -> None:
            seen.append(exc)

        def on_retry(self, exc: BaseException, *_: Any) -> None:
            seen.append(exc)

    @app.task(name="odd", base=Hooked, autoretry_for=(OSError,), max_retries=1)
    def odd(name: str) -> None:
        exc = OSError(2, "No such file", name)
        exc.add_note(name)
        raise exc

    result = odd.delay(ODD)
    run_until_idle(app)
    with pytest.raises(FileNotFoundError) as raised:
        result.get()
    assert raised.value.filename == ODD, "arguments come back as they were"
    assert raised.value.__notes__[0] == "caf\\udce9"
    assert len(seen) == 2, "it was retried, and its hooks ran"
    (record,) = app.store.read([result.id], full=True)
    assert record is not None
    assert r"caf\udce9" in decode_failure(record.failure or b"").message


def broken(_: Any) -> float:
    raise ValueError(ODD)


@pytest.mark.parametrize(
    ("policy", "exc"),
    [
        (None, ValueError(ODD)),
        (None, Retry(ODD, when=3)),
        (RetryPolicy(name=ODD), ValueError("v")),
        (RetryPolicy(wait=broken), ValueError("v")),
    ],
)
def test_the_record_of_an_attempt_keeps_its_numbers(app: App, policy: Any, exc: Any) -> None:
    @app.task(name="odd", retry_policy=policy)
    def odd() -> None:
        raise exc

    outcome = attempt(app, claim_of("a", "odd"))
    assert isinstance(outcome, oc.Retry | oc.Failed)
    detail = detail_of(outcome)
    assert all(type(value) is not str or value.isascii() for value in detail.values())
    if isinstance(outcome, oc.Retry):
        assert type(detail["delay"]) is float


def test_arguments_results_progress_and_steps_keep_them(app: App) -> None:
    app.conf.accept_content = ["json", "msgpack"]

    @app.task(name="keeps", bind=True)
    def keeps(self: Task[Any, Any], text: str, *, more: Any) -> Any:
        self.update_state(state="HALF", meta={"seen": text})
        return [self.step("odd", lambda: text), more]

    for serializer in ("json", "msgpack"):
        result = keeps.apply_async((ODD,), {"more": {ODD: (ODD,)}}, serializer=serializer)
        run_until_idle(app)
        assert result.get() == [ODD, {ODD: (ODD,)}]


def test_a_step_is_named_by_what_a_store_can_keep(app: App) -> None:
    @app.task(name="steps", bind=True)
    def steps(self: Task[Any, Any]) -> Any:
        return self.step(ODD, lambda: 1)

    result = steps.delay()
    run_until_idle(app)
    with pytest.raises(ConfigError, match=r"a step's name='caf\\udce9' must be text that UTF-8"):
        result.get()


def test_a_host_whose_name_is_no_utf_8_gets_one_that_is(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: ODD)
    assert expand_hostname(None) == r"worker@caf\udce9"
    check_options(app, WorkerOptions(hostname=expand_hostname(None)))
    with pytest.raises(ConfigError, match=r"the name of a worker.*lone surrogates"):
        check_options(app, WorkerOptions(hostname=f"{ODD}@h"))


def test_events_of_it_reach_their_subscribers(app: App) -> None:
    told: list[dict[str, Any]] = []

    @app.task(name="odd")
    def odd() -> None:
        raise ValueError(ODD)

    end = events.subscribe(lambda _, fields: told.append(dict(fields)), "attempt.failed")
    attempt(app, claim_of("a", "odd"))
    end()
    assert [fields["message"] for fields in told] == [r"caf\udce9"]
