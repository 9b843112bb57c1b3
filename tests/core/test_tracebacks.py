"""Tracebacks as text: what exceptions say in them is bounded before it is written."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from reliable_tasks import App
from reliable_tasks.core import tracebacks
from reliable_tasks.core.codec import dumps, failures
from reliable_tasks.core.codec.failures import decode_failure, encode_failure
from reliable_tasks.log.lines import JsonFormatter
from tests.attempts.running import attempt, failing
from tests.worker.fakes import claim_of

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = "line\n" * 100_000
MAX_WRITTEN = 300_000


def raised(exc: Exception) -> Exception:
    try:
        raise exc  # noqa: TRY301 - what it is about
    except Exception as caught:  # noqa: BLE001 - whatever it is
        return caught


def noted() -> Exception:
    exc = ValueError("short")
    for _ in range(100):
        exc.add_note(HUGE)
    return exc


def chained() -> Exception:
    exc = raised(ValueError(HUGE))
    for _ in range(50):
        following = ValueError(HUGE)
        following.__cause__ = exc
        exc = raised(following)
    return exc


def spoilt() -> Exception:
    exc = ValueError("short")
    exc.__notes__ = HUGE  # type: ignore[assignment]
    return exc


LARGE: list[Callable[[], Exception]] = [
    lambda: ValueError(HUGE),
    lambda: KeyError(HUGE),
    lambda: ValueError(HUGE.encode()),
    lambda: SyntaxError(HUGE, ("f.py", 1, 1, HUGE)),
    lambda: ExceptionGroup(HUGE, [ValueError(HUGE), noted()]),
    noted,
    chained,
    spoilt,
]


@pytest.mark.parametrize("make", LARGE)
def test_what_is_written_is_bounded_before(
    make: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = list[int]()
    write = traceback.TracebackException.format_exception_only

    def counted(self: traceback.TracebackException, **how: bool) -> object:
        handed.append(len(str(self)) + sum(len(note) for note in self.__notes__ or ()))
        return write(self, **how)

    monkeypatch.setattr(traceback.TracebackException, "format_exception_only", counted)
    exc = raised(make())
    text = tracebacks.written(exc)
    assert max(handed) < MAX_WRITTEN
    assert len(text) < 2 * MAX_WRITTEN
    assert type(exc).__name__ in text
    assert "characters cut]" in text or make is spoilt


def test_what_is_short_is_written_as_python_does() -> None:
    exc = raised(ExceptionGroup("several", [raised(ValueError("ü\n1")), SyntaxError("no")]))
    exc.__cause__ = raised(KeyError("k"))
    exc.add_note("a note\nof two lines")
    assert tracebacks.written(exc) == "".join(traceback.format_exception(exc))


def _deep(depth: int) -> int:
    return 1 // depth if depth <= 0 else _deep(depth - 1)


def _following(exc: Exception, *, suppressed: bool = False) -> None:
    following = RuntimeError("after it")
    following.__context__ = raised(exc)
    following.__suppress_context__ = suppressed
    raise following


def _meanwhile() -> None:
    try:
        _deep(0)
    finally:
        vars()["nothing"]


def _generated() -> None:
    exec(compile("\n\nundefined_name", "<made up>", "exec"), {})


FAILING: list[Callable[[], object]] = [
    lambda: _deep(0),
    lambda: _deep(2),
    lambda: _deep(50),
    lambda: _following(ValueError("ü")),
    lambda: _following(KeyError("k"), suppressed=True),
    lambda: _following(ExceptionGroup("all", [raised(ValueError("1")), raised(OSError(2, "no"))])),
    _meanwhile,
    _generated,
    lambda: [_deep(n) for n in (3, 0)],
    lambda: msgspec.json.decode(b"{"),
    lambda: exec("f(("),
    lambda: [].not_there,  # type: ignore[attr-defined]
]


@pytest.mark.parametrize("fail", FAILING)
def test_what_is_kept_of_places_in_code_changes_no_text(fail: Callable[[], object]) -> None:
    written = set()
    for _ in range(3):
        try:
            fail()
        except Exception as exc:  # noqa: BLE001 - whatever it is
            written.add(tracebacks.written(exc))
            written.add("".join(traceback.format_exception(exc)))
    assert len(written) == 1


def test_two_functions_in_one_place_are_told_apart() -> None:
    for name in ("first", "second"):
        scope: dict[str, Any] = {}
        exec(compile(f"def {name}(): raise ValueError", "<one place>", "exec"), scope)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - any of it
            scope.pop(name)()
        assert f"in {name}" in tracebacks.written(caught.value)


def test_what_is_kept_of_places_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracebacks, "_MOST_KNOWN", 3)
    tracebacks._known.clear()
    for fail in FAILING[:5]:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - any of it
            fail()
        assert tracebacks.written(caught.value) == "".join(traceback.format_exception(caught.value))
        assert len(tracebacks._known) <= 3


def test_a_limit_of_tracebacks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    exc = raised(ValueError("x"))
    tracebacks.written(exc)
    monkeypatch.setattr("sys.tracebacklimit", 0, raising=False)
    assert tracebacks.written(exc) == "".join(traceback.format_exception(exc))


def test_a_traceback_is_written_once_for_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("t", broker="sqlite://", set_as_current=False)
    write, written = tracebacks.written, list[str]()

    def counted(exc: BaseException) -> str:
        written.append(write(exc))
        return written[-1]

    monkeypatch.setattr(tracebacks, "written", counted)
    failing(app, ValueError(HUGE), autoretry_for=(ValueError,), max_retries=1)
    for number in (1, 2):
        done = attempt(app, claim_of("a", "fails", attempt=number))
        assert len(written) == number, done


def test_an_argument_of_megabytes_is_cut_before_it_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode, encoded = dumps, list[object]()

    def counted(value: object) -> bytes:
        encoded.append(value)
        return encode(value)

    monkeypatch.setattr(failures, "dumps", counted)
    for value in (HUGE, HUGE.encode()):
        encoded.clear()
        failure = decode_failure(encode_failure(ValueError(value)))
        (arg,) = failure.args
        assert value not in encoded
        assert arg.text.startswith(repr(value[:100])[:-1])
        assert len(arg.text) < 100_000
        assert "characters cut]" in arg.text


def test_an_exception_in_the_log_is_bounded() -> None:
    exc = raised(ValueError(HUGE))
    info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("mine", logging.ERROR, "f.py", 1, "it failed", (), info)
    line = msgspec.json.decode(JsonFormatter().format(record))
    assert len(line["message"]) < 20_000
    assert len(line["traceback"]) < 40_000
