"""What a log's destination may do to a worker: nothing."""

import io
import json
import os
from pathlib import Path

import pytest

from reliable_tasks.errors import ConfigError
from reliable_tasks.log import setup as log
from reliable_tasks.utils.log import get_task_logger
from tests.log.written import lines


class Failing(io.StringIO):
    """A stream that can be told to fail."""

    error: Exception | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file")]
)
def test_a_destination_that_fails_costs_lines_and_says_so_later(error: Exception) -> None:
    stream = Failing()
    undo = log.configure("INFO", stream=stream)
    logger = get_task_logger("shop")
    logger.info("one")
    stream.error = error
    logger.info("two")
    logger.info("three")
    stream.error = None
    logger.info("four")
    undo()
    one, told, four = lines(stream)
    assert (one["event"], four["event"]) == ("one", "four")
    assert (told["event"], told["lines"]) == ("log.dropped", 2)


def test_a_pipe_that_nobody_reads_blocks_no_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reliable_tasks.log.output._PATIENCE_MS", 1)
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        undo = log.configure("INFO", stream=stream)
        for _ in range(100):
            get_task_logger("shop").info("x" * 4000)
        undo()
        os.close(read)


def test_a_file_is_added_to_and_followed_when_it_is_moved(tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    path.write_text("before\n", encoding="utf-8")
    undo = log.configure("INFO", file=str(path))
    logger = get_task_logger("shop")
    # In a field and not in the text: pytest itself could not report text that is no Unicode.
    logger.info("ü", value="\ud800")
    path.rename(tmp_path / "old.log")
    logger.info("after")
    undo()
    before, first = (tmp_path / "old.log").read_text(encoding="utf-8").splitlines()
    assert (before, json.loads(first)["event"]) == ("before", "ü")
    assert json.loads(path.read_text(encoding="utf-8"))["event"] == "after"


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no/x\.log"):
        log.configure("INFO", file=str(tmp_path / "no" / "x.log"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_utf_8_whatever_the_streams_encoding(encoding: str) -> None:
    read, write = os.pipe()
    text = "grün \U0001f600 漢字"
    with os.fdopen(write, "w", encoding=encoding) as stream:
        undo = log.configure("INFO", stream=stream)
        get_task_logger("shop").info(text)
        undo()
    with os.fdopen(read, encoding="utf-8") as reading:
        assert [json.loads(line)["event"] for line in reading] == [text]
