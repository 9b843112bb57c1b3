"""Attempts: prepare one, run its hooks, decide its outcome."""
