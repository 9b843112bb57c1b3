"""How long to pause between tries of something that keeps failing."""

from dataclasses import dataclass

__all__ = ["Backoff"]

_MOST_DOUBLINGS = 64  # beyond that a float's power would overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow with the number of failures, up to a longest one.

    Attributes:
        first_s: the pause after the first failure.
        longest_s: no pause is longer.
        factor: how much longer each pause is than the one before.
        step_s: seconds that are added for each failure after the first.
    """

    first_s: float
    longest_s: float
    factor: float = 2.0
    step_s: float = 0.0

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row; none after none."""
        if failures <= 0:
            return 0.0
        grown = self.first_s * self.factor ** min(failures - 1, _MOST_DOUBLINGS)
        return max(0.0, min(self.longest_s, grown + self.step_s * (failures - 1)))
