"""Stand-ins that several tests use."""

START_MS = 1_700_000_000_000


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now = now_ms

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> int:
        """Let time pass; returns the new time."""
        self.now += ms
        return self.now
