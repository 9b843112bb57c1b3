"""What a class of tasks can do around each attempt."""

from __future__ import annotations

from typing import Any

__all__ = ["Hooks"]


class Hooks:
    """Methods that do nothing until a subclass of `Task` overrides them.

    They run inside the attempt, before its outcome is committed: at least once, since a worker may
    die in between. What they raise changes nothing of the outcome, but for `before_start`, which
    ends the attempt as the body would.
    """

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Called in each attempt before its body."""

    def on_success(
        self, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Called when the body has returned, before the result is committed."""

    def on_retry(
        self,
        exc: BaseException,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        """Called when the attempt is to be retried."""

    def on_failure(
        self,
        exc: BaseException,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        """Called when the message is about to end as a failure, its worker's death included."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        einfo: Any,
    ) -> None:
        """Called after `on_success` or `on_failure`."""
