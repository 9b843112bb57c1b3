"""The log: one line for each thing, saying whose it is, that no destination can break."""

import io
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from reliable_tasks import events, signals
from reliable_tasks.errors import ConfigError
from reliable_tasks.log import setup as log
from reliable_tasks.log.output import LineHandler, StreamTarget
from reliable_tasks.utils.log import get_task_logger
from tests.log.written import lines

WHOSE = {"task": "shop.add", "id": "id-1", "attempt": 2, "once_key": "shop.add:k"}


# Whose line it is --------------------------------------------------------------------------------


@pytest.mark.usefixtures("attempt")
def test_every_line_of_a_body_says_which_attempt_it_is_of(configure: Any) -> None:
    stream = configure()
    get_task_logger("shop").info("adding %s", 1, amount=3)
    logging.getLogger("elsewhere").warning("plain %s", "line", extra={"size": 2})
    structlog.get_logger("third").info("structured", depth=4)
    found = lines(stream)
    assert [line["event"] for line in found] == ["adding 1", "plain line", "structured"]
    assert [line["logger"] for line in found] == ["shop", "elsewhere", "third"]
    for line in found:
        assert {key: line[key] for key in WHOSE} == WHOSE
    assert (found[0]["amount"], found[1]["size"], found[2]["depth"]) == (3, 2, 4)


def test_outside_of_a_body_a_line_is_nobodys(configure: Any) -> None:
    stream = configure()
    get_task_logger("shop").info("starting")
    assert set(lines(stream)[0]) == {"timestamp", "level", "event", "logger"}


@pytest.mark.usefixtures("attempt")
def test_a_field_cannot_cover_whose_line_it_is(configure: Any) -> None:
    stream = configure()
    get_task_logger("shop").info("x", id="forged", event="forged")
    (line,) = lines(stream)
    assert (line["id"], line["id_"]) == ("id-1", "forged")
    assert (line["event"], line["event_"]) == ("x", "forged")


@pytest.mark.usefixtures("attempt")
def test_handlers_of_ones_own_get_the_context_by_a_filter() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(log.TaskContext())
    handler.setFormatter(logging.Formatter("%(task_name)s[%(task_id)s] %(attempt)s %(message)s"))
    logger = logging.getLogger("own")
    logger.addHandler(handler)
    logger.warning("hello")
    logger.removeHandler(handler)
    assert stream.getvalue() == "shop.add[id-1] 2 hello\n"


# Loggers -----------------------------------------------------------------------------------------


def test_a_task_logger_follows_the_levels_of_the_standard_library(configure: Any) -> None:
    stream = configure("INFO")
    task_logger, plain = get_task_logger("shop.levels"), logging.getLogger("shop.levels")
    task_logger.debug("too low")
    plain.setLevel("DEBUG")
    task_logger.debug("let through")
    plain.setLevel("NOTSET")
    task_logger.debug("too low again")
    task_logger.setLevel("ERROR")
    task_logger.info("too low for itself")
    task_logger.setLevel("NOTSET")
    assert [line["event"] for line in lines(stream)] == ["let through"]


def test_a_task_logger_tells_where_it_was_called(caplog: pytest.LogCaptureFixture) -> None:
    get_task_logger("shop").warning("here")
    assert caplog.records[0].filename == Path(__file__).name
    assert caplog.records[0].funcName == "test_a_task_logger_tells_where_it_was_called"


def test_one_name_is_one_logger() -> None:
    assert get_task_logger("shop") is get_task_logger("shop")
    assert isinstance(get_task_logger("shop"), logging.Logger)


def test_an_exception_is_told_with_its_type_message_and_traceback(configure: Any) -> None:
    stream = configure()
    get_task_logger("shop").error("failed", exc_info=ValueError("grün\nzwei"))
    (line,) = lines(stream)
    assert (line["exception"], line["message"]) == ("ValueError", "grün\nzwei")
    assert line["traceback"] == "ValueError: grün\nzwei\n"
    assert line["level"] == "error"


# Events ------------------------------------------------------------------------------------------

RETRY = {
    "task": "shop.add",
    "id": "id-1",
    "root_id": "id-1",
    "attempt": 1,
    "max_retries": 3,
    "delivery": 1,
    "fence": 7,
    "delay": 2.5,
    "next_at": 1_900_000_000_000,
    "policy": "exponential",
    "exception": "ValueError",
    "message": "no",
    "once_key": None,
    "queue": "celery",
    "worker": "w@h",
    "reason": "retry 1 of 3",
}


def test_a_retry_is_one_line_with_all_its_fields(configure: Any) -> None:
    stream = configure()
    events.emit("attempt.retried", **RETRY)
    (line,) = lines(stream)
    assert line["event"] == "attempt.retried"
    assert line["next_at"] == "2030-03-17T17:46:40.000Z"
    same = {key: line[key] for key in RETRY if key != "next_at"}
    assert same == {key: value for key, value in RETRY.items() if key != "next_at"}


class Collecting(logging.Handler):
    """A handler of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.usefixtures("attempt")
@pytest.mark.parametrize("fields", [RETRY, {"note": "x", "event": "forged"}, {"einfo": "T"}])
def test_a_line_is_the_same_whether_others_listen_or_not(
    configure: Any, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.25)
    monkeypatch.setattr("reliable_tasks.core.clock.now_ms", lambda: 1_900_000_000_250)
    stream, other = configure(hijack_root=False), Collecting()
    emit: Any = events.emit
    emit("attempt.retried", **fields)
    logging.getLogger("reliable_tasks").addHandler(other)
    emit("attempt.retried", **fields)
    logging.getLogger("reliable_tasks").removeHandler(other)
    assert len(other.records) == 1
    alone, with_others = stream.getvalue().splitlines()
    assert alone == with_others


def test_a_line_that_nobody_else_sees_is_no_record(
    configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = configure(hijack_root=False)
    monkeypatch.setattr(logging.Logger, "makeRecord", None)
    events.emit("config.note", note="x")
    assert lines(stream)[0]["note"] == "x"


def test_filters_and_record_factories_see_events(configure: Any) -> None:
    stream = configure(hijack_root=False)

    def refuse(_: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("reliable_tasks")
    filtered: tuple[logging.Filterer, ...] = (logger, *logger.handlers)
    for each in filtered:
        each.addFilter(refuse)
        events.emit("config.note", note="x")
        each.removeFilter(refuse)
    assert stream.getvalue() == ""
    made: list[str] = []
    factory = logging.getLogRecordFactory()

    def making(*args: Any, **more: Any) -> logging.LogRecord:
        made.append(args[0])
        return factory(*args, **more)

    logging.setLogRecordFactory(making)
    events.emit("config.note", note="x")
    logging.setLogRecordFactory(factory)
    assert (made, len(lines(stream))) == (["reliable_tasks"], 1)


def test_only_events_of_the_level_are_asked_for(configure: Any) -> None:
    configure("WARNING")
    assert not events.enabled("attempt.succeeded")
    assert events.enabled("attempt.failed")
    configure("INFO")
    assert events.enabled("attempt.succeeded")
    assert not events.enabled("attempt.started")


def test_an_expected_failure_is_no_alarm(configure: Any) -> None:
    stream = configure()
    events.emit("attempt.failed", id="1", expected=True, einfo="Traceback …")
    events.emit("attempt.failed", id="2", expected=False, einfo="Traceback …")
    expected, other = lines(stream)
    assert (expected["level"], "traceback" in expected) == ("info", False)
    assert (other["level"], other["traceback"]) == ("error", "Traceback …")


@pytest.mark.usefixtures("attempt")
def test_an_event_of_another_message_keeps_that_ones_id(configure: Any) -> None:
    stream = configure()
    events.emit("message.duplicate", id="id-2", task="shop.sub", holder="id-0")
    events.emit("config.note", note="x")
    duplicate, note = lines(stream)
    assert (duplicate["id"], duplicate["task"]) == ("id-2", "shop.sub")
    assert note["id"] == "id-1"


def test_undoing_ends_it_all() -> None:
    root, handlers = logging.getLogger(), list(logging.getLogger().handlers)
    level, out = root.level, sys.stdout
    undo = log.configure("DEBUG", stream=io.StringIO(), redirect_stdouts="INFO")
    undo()
    assert (root.level, root.handlers, sys.stdout) == (level, handlers, out)
    assert not events.enabled("config.note")


def test_a_second_call_replaces_the_first(configure: Any) -> None:
    first, second = configure(), configure()
    events.emit("config.note", note="x")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_without_the_root_only_events_are_shown(configure: Any) -> None:
    stream = configure(hijack_root=False)
    get_task_logger("shop").error("goes wherever the program sends it")
    events.emit("config.note", note="x")
    assert [line["event"] for line in lines(stream)] == ["config.note"]


def test_a_receiver_of_setup_logging_sets_up_the_handlers(
    configure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []

    @signals.setup_logging.connect
    def mine(loglevel: int, **_: Any) -> None:
        asked.append(loglevel)

    caplog.set_level("INFO")
    stream = configure("INFO")
    signals.setup_logging.disconnect(mine)
    events.emit("config.note", note="two words", id=None)
    assert asked == [logging.INFO]
    assert stream.getvalue() == ""
    assert caplog.messages == ["config.note note='two words'"]


# The text ----------------------------------------------------------------------------------------


def test_json_is_one_valid_object_a_line_whatever_is_logged(configure: Any) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    loop: list[Any] = []
    loop.append(loop)
    stream = configure()
    task_logger = get_task_logger("shop")
    for value in ("a\nb", "\ud800", float("nan"), {1: {2, 3}}, Broken(), loop, b"\xff", 2**70):
        task_logger.info("héllo\n\u2028", value=value)
    assert len(stream.getvalue().split("\n")) == 9
    assert {line["event"] for line in lines(stream)} == {"héllo\n\u2028"}


def test_a_line_whose_arguments_do_not_fit_is_shown_as_such() -> None:
    stream = io.StringIO()
    handler = LineHandler(StreamTarget(stream), lambda *_: logging.makeLogRecord({}))
    record = {"msg": "%d", "args": ("no number",), "pathname": "x.py", "lineno": 3}
    handler.handle(logging.makeLogRecord(record))
    assert stream.getvalue() == "(a line logged at x.py:3 cannot be shown: TypeError)\n"


def test_text_cannot_forge_lines_nor_move_the_cursor(configure: Any) -> None:
    stream = configure(json=False)
    get_task_logger("shop").info("one\ntwo\x1b[2J\r", value="a\nb\x1b", name="c\x07")
    text = stream.getvalue()
    assert not {"\x1b", "\r", "\x07"} & set(text)
    first, second = text.splitlines()
    assert second.startswith("    two\\x1b[2J\\r")
    assert first.endswith("one")


def test_text_shows_an_error_in_the_line_and_its_traceback_below(configure: Any) -> None:
    stream = configure(json=False, colour=False)
    events.emit(
        "attempt.failed", id="1", exception="ValueError", message="no", einfo="Traceback\n  x\n"
    )
    first, *below = stream.getvalue().splitlines()
    assert "error='ValueError: no'" in first
    assert below == ["    Traceback", "      x"]


def test_instants_are_utc(configure: Any) -> None:
    stream = configure()
    record = logging.makeLogRecord({"msg": "x", "created": 1_900_000_000.5, "levelno": 20})
    logging.getLogger().handle(record)
    assert lines(stream)[0]["timestamp"] == "2030-03-17T17:46:40.500Z"


def test_an_unknown_level_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'WARNING'"):
        log.configure("warnin")
