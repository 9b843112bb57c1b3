"""A short soak on each store; `python -m tests.soak` is the long one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.soak.__main__ import main, repeat
from tests.soak.driver import Soak

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 75.0
SEED = 35


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("soak")  # it mostly waits: beside the others, one store at a time
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_everything_holds_after_a_minute_and_a_quarter_of_faults(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Soak(tmp_path, store, SEED, SECONDS).run()
    again = repeat(store, SEED, SECONDS)
    assert not outcome.found, f"{outcome.report}\n{again}\nits folder is {tmp_path}"
    events = Counter(row.event for row in outcome.account.rows)
    for event in ("succeeded", "failed", "retry", "reaped", "fired", "step", "unknown task"):
        assert events[event], f"nothing was {event}: there was nothing to see"
    assert main(["--check", str(tmp_path)]) == 0
    assert "0 violations" in capsys.readouterr().out
