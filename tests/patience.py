"""How long a test waits for what has to come: so long that no busy machine decides it.

A test that passes never waits that long. What has to come *at once* is told from what comes in its
own good time by making the latter longer than our patience, not by a limit of a few seconds. The
environment may name another bound, for runs in which tests are to fail.
"""

import os
from typing import Final

__all__ = ["PATIENCE_S"]

PATIENCE_S: Final = float(os.environ.get("RELIABLE_TASKS_TEST_PATIENCE", "100"))
