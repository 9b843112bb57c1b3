"""Tables, spans and instants."""

import click
import pytest

from reliable_tasks.cli import _output


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
