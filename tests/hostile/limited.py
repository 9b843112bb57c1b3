"""The program with time limits, for a pool that can enforce them."""

import os

os.environ["HOSTILE_LIMITS"] = "yes"

from tests.hostile.program import app

__all__ = ["app"]
