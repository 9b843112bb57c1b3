"""Worlds that once broke an invariant, kept as what was left of them after shrinking.

`regressions.json` has their schedules, not only their seeds: what a seed means changes with the
simulation, what a step of a schedule does changes little. `simulate --keep` adds one; the tests
replay them all, on every store.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from property_tests.simulation.schedule import Schedule, Step

__all__ = ["PATH", "Regression", "keep", "kept"]

PATH = Path(__file__).with_name("regressions.json")


class Regression(msgspec.Struct, frozen=True, kw_only=True):
    """A world that broke an invariant.

    Attributes:
        showed: which, in the checker's words.
        store: on which store it was found.
        seed: of the world it was shrunk from.
        steps: what is left of its schedule.
        without: the safeguard that has to be switched off for it to fail; "" for a real one.
    """

    showed: str
    store: str
    seed: int
    steps: tuple[tuple[int, str, int], ...]
    without: str = ""

    @property
    def schedule(self) -> Schedule:
        """For `simulate.run`."""
        return Schedule(self.seed, tuple(Step(*step) for step in self.steps))


def kept() -> list[Regression]:
    """All of them."""
    return msgspec.json.decode(PATH.read_bytes(), type=list[Regression])


def keep(schedule: Schedule, store: str, showed: str, without: str = "") -> None:
    """Add one."""
    new = Regression(
        showed=showed,
        store=store,
        seed=schedule.seed,
        steps=schedule.steps,
        without=without,
    )
    lines = ",\n".join(msgspec.json.encode(each).decode() for each in [*kept(), new])
    PATH.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
