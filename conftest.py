"""Profiles of Hypothesis: `quick` for every run; for a night, `--hypothesis-profile=long`."""

from hypothesis import HealthCheck, settings

# How fast examples are made says more about the machine's other work than about the test.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("quick", patient)
settings.register_profile("long", patient, max_examples=5000)
settings.load_profile("quick")
