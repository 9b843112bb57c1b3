"""Profiles of Hypothesis, what a test leaves behind, and which servers the tests ran on.

`quick` is for every run; for a night there is `--hypothesis-profile=long`.
"""

import gc
from collections.abc import Iterator

import apsw
import pytest
from hypothesis import HealthCheck, settings

from tests import leftovers
from tests.redis_server import find_servers

# How fast examples are made says more about the machine's other work than about the test.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("quick", patient)
settings.register_profile("long", patient, max_examples=5000)
settings.load_profile("quick")


def pytest_configure() -> None:
    """What a shell's background or `nohup` has us ignore, the programs of tests are to hear."""
    leftovers.hear_signals()


def pytest_collection_finish() -> None:
    """What was imported is not looked at again after each test."""
    leftovers.adopt_orphans()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Each test ends what it started, and hears itself what complains of its end."""
    with leftovers.nothing_left():
        yield
        leftovers.check_collected()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers the stores were tested on."""
    servers = {f"{'Valkey' if b.is_valkey else 'Redis'} {b.version}" for b in find_servers()}
    found = ", ".join(sorted({*servers, f"SQLite {apsw.sqlite_lib_version()}"}))
    terminalreporter.write_line(f"stores: {found}")
