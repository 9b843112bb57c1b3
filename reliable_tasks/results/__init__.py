"""Handles on the results of calls."""
