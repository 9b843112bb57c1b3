"""Tables, spans and instants, and what a terminal cannot show."""

import io
import json
import os
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from reliable_tasks.cli import _output, _say, cli
from reliable_tasks.cli._say import mention, say
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.outcome import Failed, Succeeded
from tests.cli.support import Shop


def test_columns_are_aligned_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    _output.table(("name", "n"), [("漢字", 1), ("a\nb\x1b", None), ("", 22)])
    assert capsys.readouterr().out == "NAME      N\n漢字      1\na\\nb\\x1b  -\n-         22\n"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (1234, "1.23 s"),
        (61_000, "1 min 1 s"),
        (3_660_000, "1 h 1 min"),
        (90_000_000, "1 d 1 h"),
        (-2000, "-2 s"),
    ],
)
def test_spans_are_shown_in_their_largest_units(ms: int, text: str) -> None:
    assert _output.span(ms) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5m", 90), ("250ms", 0.25), ("2h", 7200), ("1w", 604_800)]
)
def test_spans_are_read(text: str, seconds: float) -> None:
    assert _output.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1y", "m", "1 2"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a span of time"):
        _output.seconds_of(text)


def test_since_is_a_span_before_now_or_an_instant() -> None:
    assert _output.since_ms("2m", 1_000_000) == 880_000
    assert _output.since_ms("1970-01-01T00:00:05", 1_000_000) == 5000
    assert _output.since_ms("1970-01-01T01:00:05+01:00", 1_000_000) == 5000
    assert _output.since_ms(None, 1_000_000) is None
    assert _output.instant(5000) == "1970-01-01T00:00:05.000Z"
    assert _output.instant(None) is None


class _Stream(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def shown(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


ODD = "grün \U0001f600 \udc80 \x1b[2J \x9b1m \u202e evil\r漢"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_whatever_is_in_a_name_it_is_shown_and_nothing_of_it_is_obeyed(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _Stream(encoding)
    monkeypatch.setattr("sys.stdout", stream)
    _output.table(("name",), [(ODD,)])
    _output.echo_json({"name": ODD, "big": 2**70, "odd": {(1, 2): 3}, "plain": "grün \x7f\x9b"})
    say(ODD)
    head, row, line, said = stream.shown().splitlines()
    assert head == "NAME"
    for text in (row, said):
        assert "\\udc80 \\x1b[2J \\x9b1m \\u202e evil\\r" in text
    assert ("grün" in row) == (encoding != "ascii")
    assert ("\\U0001f600" in row, "\\u6f22" in row) == (encoding != "utf-8",) * 2
    found = json.loads(line)
    assert found["name"] == ODD.replace("\udc80", "\\udc80")
    assert (found["big"], found["plain"]) == (2**70, "grün \x7f\x9b")
    assert found["odd"] == {"(1, 2)": 3}
    assert "\x7f" not in line
    assert "\x9b" not in line


def test_a_stream_that_is_closed_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    say("nobody hears it")
    _output.table(("name",), [("x",)])


def test_what_nobody_reads_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(_say, "_PATIENCE_MS", 1)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        mention("it is heard")
        assert os.read(read, 100) == b"it is heard\n"
        mention("x" * 1_000_000)  # more than a pipe takes
        os.close(read)
        mention("nobody is there")
        stream.flush()


def test_every_command_writes_through_one_door() -> None:
    other_doors = re.compile(r"click\.(echo|secho|confirm)\(|\bprint\(")
    for path in Path(_output.__file__).parent.glob("*.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [line for line in lines if other_doors.search(line)]
        # Its own bar of "#", which moves back to the start of its line.
        allowed = {"demo.py": 1, "_say.py": 1}.get(path.name, 0)
        assert len(found) <= allowed, (path.name, found)


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(
    "args",
    [
        ("status",),
        ("audit",),
        ("audit", "--json"),
        ("audit", "dead"),
        ("dead", "list"),
        ("dead", "show", "dead"),
        ("dead", "show", "dead", "--json"),
        ("graph", "dead"),
        ("locks", "list"),
        ("locks", "explain", "held"),
        ("locks", "release", "held"),
        ("purge",),
        ("result", "dead"),
        ("result", "good", "--json"),
        ("result", "\udc80"),
    ],
    ids=" ".join,
)
def test_no_command_ends_at_a_character(shop: Shop, args: tuple[str, ...], charset: str) -> None:
    name = "grün \U0001f600 \x1b[2J"
    error = ValueError(f"{name} \udc80")
    failure = encode_failure(error, f"Traceback: {name}\n")
    shop.enqueue("dead", name, task=name, queue="celery", once=f"key {name}")
    shop.end(shop.claim(), Failed(failure=failure))
    shop.enqueue("good", task=name)
    shop.end(shop.claim(), Succeeded(result=dumps({name: name})))
    shop.enqueue("held", name, task=name, queue=name, once=f"other {name}")
    runner = CliRunner(charset=charset)
    ran = runner.invoke(cli, ("-b", shop.url, *args), input="y\n")
    output = ran.stdout_bytes + ran.stderr_bytes
    assert b"\x1b" not in output
    assert b"Traceback (most recent" not in output
    assert ran.exit_code == (1 if args[0] == "result" and args[1] != "good" else 0), ran.output
