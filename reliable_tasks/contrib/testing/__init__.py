"""Celery's paths for what tests use; it is all made of `reliable_tasks.testing`."""
