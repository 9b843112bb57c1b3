"""Every store gives the model's answers on every trace: see `agreement`."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from property_tests.agreement.machine import machine_of
from tests.store.factories import FACTORIES

PROFILES = {
    "ci": settings(max_examples=60, stateful_step_count=30),
    "long": settings(max_examples=5000, stateful_step_count=50),
}
PROFILE = settings(
    PROFILES[os.environ.get("RELIABLE_TASKS_PROFILE", "ci")],
    deadline=None,
    database=None,
    derandomize=os.environ.get("RELIABLE_TASKS_PROFILE", "ci") == "ci",
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_store_agrees_with_the_model(name: str) -> None:
    run_state_machine_as_test(machine_of(name), settings=PROFILE)
