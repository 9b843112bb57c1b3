"""Helpers under the paths that Celery users know."""
