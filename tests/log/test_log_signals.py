"""`after_setup_logger` and `after_setup_task_logger`: receivers change what was set up."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from reliable_tasks import events, signals
from reliable_tasks.utils.log import get_task_logger
from tests.log.written import lines


@pytest.fixture(autouse=True)
def _nobody_listens() -> Iterator[None]:
    yield
    for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
        signal.receivers = ()


def test_both_are_sent_with_celerys_fields(configure: Any) -> None:
    heard = list[tuple[str, Any]]()

    @signals.after_setup_logger.connect
    def root(sender: Any, **fields: Any) -> None:
        heard.append(("root", fields))

    @signals.after_setup_task_logger.connect
    def tasks(sender: Any, **fields: Any) -> None:
        heard.append(("tasks", fields))

    configure("INFO")
    (first, of_root), (second, of_tasks) = heard
    assert (first, second) == ("root", "tasks")
    assert (of_root["logger"], of_root["loglevel"]) == (logging.getLogger(), logging.INFO)
    assert len(of_tasks["logger"].handlers) == 1
    for fields in (of_root, of_tasks):
        assert {"logger", "loglevel", "logfile", "format", "colorize"} < set(fields)


def test_a_formatter_for_all_lines(configure: Any) -> None:
    @signals.after_setup_logger.connect
    def choose(logger: logging.Logger, **_: Any) -> None:
        for handler in logger.handlers:
            handler.setFormatter(logging.Formatter("mine: %(message)s"))

    stream = configure("INFO")
    events.emit("config.note", note="x", id=None)
    get_task_logger("shop").info("hello")
    assert stream.getvalue().splitlines() == ["mine: config.note note='x'", "mine: hello"]


def test_a_formatter_for_events_that_nobody_else_sees(configure: Any) -> None:
    @signals.after_setup_logger.connect
    def choose(logger: logging.Logger, **_: Any) -> None:
        logger.handlers[0].setFormatter(logging.Formatter("mine: %(message)s"))

    stream = configure("INFO", hijack_root=False)
    events.emit("config.note", note="x", id=None)
    assert stream.getvalue() == "mine: config.note note='x'\n"


def test_a_handler_beside_ours(configure: Any) -> None:
    seen = list[str]()

    class Mine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    mine = Mine()

    @signals.after_setup_logger.connect
    def add(logger: logging.Logger, **_: Any) -> None:
        logger.addHandler(mine)

    stream = configure("INFO")
    try:
        events.emit("config.note", note="x")
    finally:
        logging.getLogger().removeHandler(mine)
    assert len(lines(stream)) == len(seen) == 1


def test_a_formatter_for_the_lines_of_tasks_alone(configure: Any) -> None:
    @signals.after_setup_task_logger.connect
    def choose(logger: logging.Logger, **_: Any) -> None:
        for handler in logger.handlers:
            handler.setFormatter(logging.Formatter("task: %(name)s %(message)s"))

    stream = configure("INFO")
    get_task_logger("shop").info("hello")
    logging.getLogger("shop").info("plain")
    first, second = stream.getvalue().splitlines()
    assert first == "task: shop hello"
    assert '"plain"' in second


def test_what_was_set_up_for_tasks_is_undone(configure: Any) -> None:
    @signals.after_setup_task_logger.connect
    def hear(**_: Any) -> None:
        return

    configure("INFO")
    signals.after_setup_task_logger.disconnect(hear)
    stream = configure("INFO")
    get_task_logger("shop").info("hello")
    assert [line["event"] for line in lines(stream)] == ["hello"]
    assert logging.getLogger("reliable_tasks.task").handlers == []
