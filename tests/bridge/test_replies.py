"""The queue that results come to, where the broker gives none."""

from __future__ import annotations

import pytest

from reliable_tasks.contrib.bridge.replies import Replies
from reliable_tasks.errors import StoreUnavailable


def test_a_broker_that_refuses_is_not_waited_for() -> None:
    """A handle needs a queue for its result: it is told as soon as the broker gives none."""
    replies = Replies("amqp://u:secret@127.0.0.1:1//", {}, patience_s=3600.0)
    for _ in range(3):  # also while its thread pauses
        with pytest.raises(StoreUnavailable, match=r"no queue for results: .*refused") as raised:
            replies.address()
        assert "secret" not in str(raised.value)
    replies.close()
