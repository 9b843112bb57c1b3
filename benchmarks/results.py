"""What was measured: every number of every round, kept as JSON, and what is said of them."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["Results", "Spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The rounds of one number."""

    median: float
    low: float
    high: float


@dataclass(slots=True)
class Results:
    """All that a run of the suite found.

    Attributes:
        about: machine, versions and scale, in words.
        values: measure -> system -> number's name -> one value for each round.
        failures: runs that came to nothing, and why.
    """

    about: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, measure: str, system: str, numbers: dict[str, float]) -> None:
        """The numbers of one run."""
        found = self.values.setdefault(measure, {}).setdefault(system, {})
        for name, value in numbers.items():
            found.setdefault(name, []).append(value)

    def spread(self, measure: str, system: str, name: str) -> Spread | None:
        """A number over the rounds; None where there is none."""
        values = self.values.get(measure, {}).get(system, {}).get(name)
        if not values:
            return None
        return Spread(statistics.median(values), min(values), max(values))

    def median(self, measure: str, system: str, name: str) -> float | None:
        """The median over the rounds."""
        spread = self.spread(measure, system, name)
        return None if spread is None else spread.median

    def keep(self, before: Results, measured: Collection[str]) -> None:
        """Take over what an earlier run found, but for what is measured now."""
        self.about = {**before.about, **self.about}
        for measure, found in before.values.items():
            if measure not in measured:
                self.values.setdefault(measure, found)
        left = [f for f in before.failures if f.partition(",")[0] not in measured]
        self.failures.extend(left)

    def has(self, system: str) -> bool:
        """Whether anything was measured of a system."""
        return any(system in found for found in self.values.values())

    def save(self, path: Path) -> None:
        """Write all of it."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
