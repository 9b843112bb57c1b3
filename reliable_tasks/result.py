"""Handles on calls, under Celery's name for their module."""

from __future__ import annotations

from . import app  # noqa: F401 - it makes the default app, should there be none
from .results.base import ResultBase
from .results.eager import EagerResult
from .results.groups import GroupResult, result_from_tuple
from .results.result import AsyncResult
from .results.sets import ResultSet
from .results.wait import allow_join_result

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "result_from_tuple",
]
