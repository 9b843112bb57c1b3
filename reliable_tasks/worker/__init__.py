"""The worker: a supervisor, its children, and in each child a consumer, a pool and an executor."""

from .process import RESTART, WorkerOptions, run_worker

__all__ = ["RESTART", "WorkerOptions", "run_worker"]
