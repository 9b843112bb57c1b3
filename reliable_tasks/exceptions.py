"""The exceptions, under the names and in the module that Celery has them in."""

from __future__ import annotations

from typing import Any

from reliable_tasks.celery_names import no_name
from reliable_tasks.errors import (
    ChordError,
    CodecError,
    ConfigError,
    Ignore,
    IncompleteStream,
    MaxRetriesExceededError,
    NotRegistered,
    Reject,
    ReliableTasksError,
    Retry,
    SoftTimeLimitExceeded,
    StoreError,
    StoreUnavailable,
    TaskPredicate,
    TaskRevokedError,
    TimeLimitExceeded,
    TimeoutError,  # noqa: A004 - Celery's name
    WorkerLostError,
)

__all__ = [
    "AlreadyRegistered",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CeleryError",
    "ChordError",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]

CeleryError = TaskError = ReliableTasksError
ImproperlyConfigured = AlreadyRegistered = QueueNotFound = ConfigError
InvalidTaskError = CodecError
OperationalError = StoreUnavailable
BackendError = BackendGetMetaError = BackendStoreError = StoreError


def __getattr__(name: str) -> Any:
    raise no_name(__name__, name)
