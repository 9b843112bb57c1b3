"""The page of Celery's names: `python -m tests.celery_names` writes it anew."""
