"""The timelines of `docs/explanation/proof.md`: `python -m property_tests.proof.timelines`.

Each is one seed's timeline, cut down to what it is about. The tests compare the page with what is
told here, so a page that no longer shows what happens is noticed.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from property_tests.simulation.runner import run_seed

__all__ = ["TIMELINES", "Timeline"]


_LONG_ID = re.compile(r"\b([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Timeline:
    """One timeline of the page.

    Attributes:
        title: its heading there.
        seed: of the world.
        about: a regular expression; the lines that it is found in are told.
        since, until: seconds of the world's clock.
    """

    title: str
    seed: int
    about: str
    since: float = 0.0
    until: float = 1000.0

    def told(self) -> str:
        """The lines, as they stand on the page."""
        world, found = run_seed(self.seed)
        if found:
            raise AssertionError(f"seed {self.seed} breaks an invariant: {found}")
        lines = [line for line in world.timeline if self._belongs(line)]
        return "\n".join(_LONG_ID.sub(r"\1", line) for line in lines)

    def block(self) -> str:
        """Them as the page has them."""
        return f"```text\n{self.told()}\n```\n"

    def _belongs(self, line: str) -> bool:
        at = float(line.split(maxsplit=1)[0])
        return self.since <= at <= self.until and re.search(self.about, line) is not None


TIMELINES = (
    Timeline("A zombie", 496, r"\bm12\b|worker 2 .*frozen|faults end", since=10.0),
    Timeline("A lost reply", 63, r"\bm17\b|\bm2\b"),
    Timeline("A double beat", 5, r"beat \d|slot", until=4.0),
    Timeline("A crash between commit and reply", 499, r"\bm12\b|\bm14\b|child 1012 +died"),
)


def main() -> int:
    """Print them all."""
    for timeline in TIMELINES:
        print(f"{timeline.title}: seed {timeline.seed}\n{timeline.told()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
