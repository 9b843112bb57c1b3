"""The bridge beside a worker: a broker that refuses it, and signals that do not end it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.contrib.bridge import companion
from reliable_tasks.contrib.bridge.beside import AtSignal, WithParent
from reliable_tasks.contrib.bridge.bridge import Bridge
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.core.waker import SignalInbox
from reliable_tasks.errors import ConfigError
from tests.bridge.bridging import Broker, app, broker, call, heard, ids, no_pauses, store_url

if TYPE_CHECKING:
    from reliable_tasks import App

__all__ = ["app", "broker", "heard", "no_pauses", "store_url"]


def test_a_broker_that_refuses_it_is_told_in_a_line_and_tried_again(
    app: App,
    broker: Broker,
    heard: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = threading.Event()
    broker.ready = [call("a", 1, 2)]
    broker.fails = [ConfigError("fake://u:***@h refuses the bridge: login"), ConfigError("again")]

    def ended(_: object) -> None:
        broker.acked += 1
        stop.set()

    def bridge_of(*_: object) -> Bridge:
        return Bridge(app, "fake://u:secret@h", {"celery": "celery"})

    monkeypatch.setattr(broker, "ack", ended)
    monkeypatch.setattr(companion, "bridge_of", bridge_of)
    monkeypatch.setattr(companion, "_BACKOFF", Backoff(first_s=0.001, longest_s=0.001))
    companion._serve(app, ["celery"], stop)
    assert (ids(app), broker.acked) == (["a"], 1)
    told = [fields for name, fields in heard if name == "broker.unavailable"]
    assert [each["broker"] for each in told] == ["fake://u:***@h"] * 2
    assert told[0]["error"] == "fake://u:***@h refuses the bridge: login"


@pytest.mark.parametrize("parent", [None, os.getppid()])
def test_a_signal_that_does_not_end_it_wakes_it_once(parent: int | None) -> None:
    inbox = SignalInbox([])
    try:
        inbox.wake()
        stop = AtSignal(inbox) if parent is None else WithParent(inbox, parent)
        assert not stop.wait(0.01)
        assert not inbox.wait(0.0)
    finally:
        inbox.close()
