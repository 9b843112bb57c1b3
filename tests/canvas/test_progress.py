"""What a body publishes is told in its order, the end last, however soon it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import Ignore, group

if TYPE_CHECKING:
    from tests.canvas.helpers import Harness


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("return", [("MOST", {"n": 2}), ("SUCCESS", 5)]),
        ("raise", [("MOST", {"n": 2}), ("FAILURE", "boom")]),
        ("ignore", [("MOST", {"n": 2})]),
        ("quiet", [("SUCCESS", 5)]),
    ],
)
def test_the_last_state_is_told_before_the_end(harness: Harness, how: str, told: Any) -> None:
    @harness.app.task(name="work", bind=True)
    def work(self: Any) -> int:
        if how != "quiet":
            self.update_state(state="HALF", meta={"n": 1})
            self.update_state(state="MOST", meta={"n": 2})
        match how:
            case "raise":
                raise ValueError("boom")
            case "ignore":
                raise Ignore
        return 5

    heard: list[Any] = []

    def hear(message: dict[str, Any]) -> None:
        value = message["result"]
        heard.append((message["status"], str(value) if isinstance(value, Exception) else value))
        assert (message["date_done"] is None) == (heard[-1] != told[-1])

    result = work.delay()
    result.get(on_message=hear, propagate=False)
    assert heard == told
    heard.clear()
    group(work.si()).apply_async().get(on_message=hear, propagate=False)
    assert heard == told


def test_what_an_attempt_before_published_is_not_told_as_of_the_last(harness: Harness) -> None:
    @harness.app.task(name="again", bind=True, default_retry_delay=0)
    def again(self: Any) -> int:
        if not self.request.retries:
            self.update_state(state="HALF", meta={"n": 1})
            raise self.retry()
        return 5

    result = again.delay()
    harness.drain()
    heard: list[str] = []
    result.get(on_message=lambda message: heard.append(message["status"]))
    assert heard == ["SUCCESS"]
