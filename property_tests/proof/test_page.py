"""`docs/explanation/proof.md` says what happens; `python -m property_tests.proof.page` mends it."""

from __future__ import annotations

import re

import pytest

from property_tests.ablations.safeguards import ABLATIONS
from property_tests.agreement.test_small_world import WORLDS
from property_tests.proof.page import PATH, section
from property_tests.proof.timelines import TIMELINES, Timeline

PAGE = PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize("timeline", TIMELINES, ids=lambda timeline: timeline.title)
def test_a_timeline_is_what_its_seed_tells(timeline: Timeline) -> None:
    assert f"### {timeline.title}\n\nSeed {timeline.seed}:" in PAGE
    assert section(PAGE, timeline.title) == timeline.block()


def test_every_safeguard_has_its_row() -> None:
    rows = re.findall(r"^\| ([^|]+) \| \d+ \|", section(PAGE, "ablations"), re.MULTILINE)
    assert rows == [ablation.name for ablation in ABLATIONS]


def test_the_states_of_the_small_worlds_are_those_that_are_counted() -> None:
    shown = re.findall(r"^\| .* \| ([\d,]+) \|$", PAGE, re.MULTILINE)
    assert [int(number.replace(",", "")) for number in shown] == list(WORLDS.values())
