"""The variables of the environment that the command line reads."""

__all__ = ["APP_VARIABLE", "DEBUG_VARIABLE"]

APP_VARIABLE = "RELIABLE_TASKS_APP"
"""Stands in for `-A`."""

DEBUG_VARIABLE = "RELIABLE_TASKS_DEBUG"
"""Set to 1 it shows tracebacks."""
