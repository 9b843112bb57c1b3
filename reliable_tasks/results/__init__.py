"""Handles on what calls come to."""
