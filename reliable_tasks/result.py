"""Handles on calls, under Celery's name for their module."""

from __future__ import annotations

from . import app  # noqa: F401 - it makes the default app, should there be none
from .results.eager import EagerResult
from .results.groups import GroupResult
from .results.result import AsyncResult
from .results.wait import allow_join_result

__all__ = ["AsyncResult", "EagerResult", "GroupResult", "allow_join_result"]
