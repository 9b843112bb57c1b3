"""A worker has no parts to exchange: each name of Celery's says what is here instead."""

from __future__ import annotations

from typing import Any

from reliable_tasks.celery_names import no_name


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
