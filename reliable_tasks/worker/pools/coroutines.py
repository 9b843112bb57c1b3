"""Coroutine bodies in a thread that runs one body at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine

__all__ = ["Coroutines"]


class Coroutines:
    """Runs coroutines one after the other, all on one loop, which is made when it is needed.

    What one of them leaves open on the loop (connections, say) the next one finds there.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, body: Coroutine[Any, Any, Any], context: contextvars.Context) -> Any:
        """Run `body` in `context`; returns what it returns, raises what it raises."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        runner = self._runner
        ended = False

        async def to_its_end() -> tuple[Any, BaseException | None]:
            nonlocal ended
            try:
                return await body, None
            except BaseException as exc:  # noqa: BLE001 - asyncio looks into what a task raises, and
                return None, exc  # runs for ever where that raises in turn (`__getattribute__`)
            finally:
                ended = True

        try:
            value, error = runner.run(to_its_end(), context=context)
        finally:
            if not ended:
                # An exit in some other task of the loop left it in the middle: it ends here, so
                # that it does not go on beside the next body.
                self._runner = None
                runner.close()
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Close the loop."""
        if self._runner is not None:
            self._runner.close()
