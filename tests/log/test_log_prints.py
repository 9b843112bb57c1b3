"""What bodies print, and what the program's own logging writes beside ours."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App
from reliable_tasks.log import setup as log
from reliable_tasks.store import values as v
from tests.log.written import lines
from tests.patience import PATIENCE_S
from tests.worker.pooled import POOLS, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Put = Callable[[], io.StringIO]


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], io.StringIO]]:
    """Puts a stream in the place of standard error, called in the test: pytest has its own."""

    def put() -> io.StringIO:
        written = io.StringIO()
        monkeypatch.setattr(sys, "stderr", written)
        return written

    logging.getLogger("shop").setLevel(logging.INFO)
    yield put
    log.configure("INFO")()
    logging.getLogger("shop").handlers.clear()
    logging.getLogger("shop").propagate = True


@pytest.fixture
def app() -> Iterator[App]:
    with App("printing", broker="sqlite://", set_as_current=False) as made:
        made.store.open_session(v.SessionInfo(id="s", worker="w@h"), 60_000)
        yield made


def printed(stream: io.StringIO) -> list[tuple[Any, Any]]:
    found = lines(stream)
    return [(ln["event"], ln.get("id")) for ln in found if ln["logger"] == "reliable_tasks.print"]


@pytest.mark.parametrize("pool", POOLS)
def test_a_print_without_a_lines_end_is_of_the_body_that_printed_it(
    app: App, pool: str, stderr: Put
) -> None:
    stream = stderr()

    @app.task(name="mutters")
    def mutters(word: str) -> None:
        print(word, end="")
        print(word, end="", file=sys.stderr)

    undo = log.configure("INFO", redirect_stdouts="INFO")
    with Running(app, pool):
        results = [mutters.delay(word) for word in "ab"]
        for result in results:
            result.get(timeout=PATIENCE_S)
    undo()
    expected = {(word, result.id) for word, result in zip("ab", results, strict=True)}
    assert set(printed(stream)) == expected
    assert len(printed(stream)) == 4


def test_prints_of_coroutines_that_take_turns_are_kept_apart(app: App, stderr: Put) -> None:
    stream = stderr()
    both = asyncio.Barrier(2)

    @app.task(name="says")
    async def says(word: str) -> None:
        print(word, end="")
        assert await both.wait() in {0, 1}
        print(word)

    undo = log.configure("INFO", redirect_stdouts="INFO")
    with Running(app, "asyncio"):
        results = [says.delay(word) for word in "ab"]
        for result in results:
            assert result.get(timeout=PATIENCE_S) is None
    undo()
    assert sorted(printed(stream)) == [("aa", results[0].id), ("bb", results[1].id)]


def test_a_redirected_stream_says_how_it_writes() -> None:
    undo = log.configure("INFO", redirect_stdouts="INFO")
    for each in (sys.stdout, sys.stderr):
        assert each.encoding.lower() == "utf-8"
        assert each.errors
    undo()


# Lines of the program's own logging --------------------------------------------------------------


def said(stream: io.StringIO) -> list[str]:
    return [line for line in stream.getvalue().splitlines() if "charged" in line]


@pytest.mark.parametrize("redirect", [None, "WARNING"])
@pytest.mark.parametrize("name", ["shop", ""])
def test_a_line_is_written_once_beside_handlers_that_were_there(
    stderr: Put, name: str, redirect: str | None
) -> None:
    stream = stderr()
    handler = logging.StreamHandler()
    logging.getLogger(name).addHandler(handler)
    undo = log.configure("INFO", redirect_stdouts=redirect)
    logging.getLogger("shop").info("charged")
    undo()
    assert [line["event"] for line in lines(stream)] == ["charged"]
    assert handler in logging.getLogger(name).handlers, "and it is back afterwards"
    logging.getLogger(name).removeHandler(handler)


@pytest.mark.parametrize("name", ["shop", ""])
def test_a_line_is_written_once_beside_handlers_that_come_later(stderr: Put, name: str) -> None:
    stream = stderr()
    undo = log.configure("INFO", redirect_stdouts="WARNING")
    handler = logging.StreamHandler()
    logging.getLogger(name).addHandler(handler)
    logging.getLogger("shop").info("charged")
    logging.getLogger(name).removeHandler(handler)
    undo()
    assert [line["event"] for line in lines(stream)] == ["charged"]


def test_what_only_the_programs_own_handler_writes_is_left_to_it(
    stderr: Put,
) -> None:
    stream = stderr()
    logger = logging.getLogger("shop")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    undo = log.configure("INFO", redirect_stdouts="WARNING")
    logger.info("charged before")
    logger.handlers[:] = [logging.StreamHandler()]
    logger.info("charged after")
    undo()
    raw, line = said(stream)
    assert raw == "charged before"
    assert '"event":"charged after"' in line


def test_handlers_that_write_elsewhere_keep_their_lines(stderr: Put) -> None:
    stream = stderr()
    elsewhere = io.StringIO()
    handler = logging.StreamHandler(elsewhere)
    logging.getLogger().addHandler(handler)
    undo = log.configure("INFO")
    logging.getLogger("shop").info("charged")
    undo()
    logging.getLogger().removeHandler(handler)
    assert elsewhere.getvalue() == "charged\n"
    assert len(said(stream)) == 1


@pytest.mark.usefixtures("attempt")
def test_prints_become_lines_when_asked(configure: Any) -> None:
    stream = configure(redirect_stdouts="WARNING")
    print("a", "ü")
    print("no end", end="")
    sys.stdout.flush()
    print("two\nlines", file=sys.stderr)
    print()
    found = lines(stream)
    assert [line["event"] for line in found] == ["a ü", "no end", "two", "lines"]
    assert {(line["level"], line["id"]) for line in found} == {("warning", "id-1")}


def test_prints_are_left_alone_by_default(
    configure: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = configure()
    print("hello")
    assert capsys.readouterr().out == "hello\n"
    assert stream.getvalue() == ""


def test_prints_of_threads_are_kept_apart(configure: Any) -> None:
    stream = configure(redirect_stdouts="INFO")
    barrier = threading.Barrier(2)

    def say(word: str) -> None:
        sys.stdout.write(word)
        barrier.wait(timeout=PATIENCE_S)
        sys.stdout.write(f"-{word}\n")

    threads = [threading.Thread(target=say, args=(word,)) for word in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["event"] for line in lines(stream)) == ["a-a", "b-b"]
