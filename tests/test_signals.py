"""Signals: connecting in all of Celery's ways, and that receivers harm nobody."""

import gc
from types import SimpleNamespace
from typing import Any

import celery.signals
import pytest

from reliable_tasks import signals
from reliable_tasks.errors import ConfigError
from reliable_tasks.signals import Signal


@pytest.fixture
def signal() -> Signal:
    return Signal("tried")


def test_a_receiver_gets_the_sender_the_signal_and_the_fields(signal: Signal) -> None:
    def receiver(**kwargs: Any) -> Any:
        return kwargs

    assert signal.connect(receiver) is receiver
    fields = {"signal": signal, "sender": "me", "task_id": "1"}
    assert signal.send("me", task_id="1") == [(receiver, fields)]


def test_connect_is_a_decorator_with_and_without_arguments(signal: Signal) -> None:
    @signal.connect
    def plain(**_: Any) -> str:
        return "plain"

    @signal.connect(sender="shop.add")
    def narrow(**_: Any) -> str:
        return "narrow"

    assert signal.send("shop.add") == [(plain, "plain"), (narrow, "narrow")]
    assert signal.send("shop.sub") == [(plain, "plain")]


def test_a_task_and_its_name_are_one_sender(signal: Signal) -> None:
    task = SimpleNamespace(name="shop.add")
    heard: list[Any] = []
    signal.connect(lambda sender, **_: heard.append(sender), sender=task)
    signal.send("shop.add")
    signal.send(task)
    signal.send(None)
    assert heard == ["shop.add", task]


def test_receivers_make_a_cheap_test(signal: Signal) -> None:
    assert not signal.receivers
    assert not signal.has_listeners
    signal.connect(print_nothing)
    assert signal.receivers
    assert signal.has_listeners


def print_nothing(**_: Any) -> None:
    pass


def test_connecting_twice_calls_once(signal: Signal) -> None:
    signal.connect(print_nothing)
    signal.connect(print_nothing)
    assert len(signal.send(None)) == 1


def test_a_uid_names_a_receiver(signal: Signal) -> None:
    signal.connect(print_nothing, dispatch_uid="one")
    signal.connect(lambda **_: 2, dispatch_uid="one")
    assert [answer for _, answer in signal.send(None)] == [None]
    assert signal.disconnect(dispatch_uid="one")
    assert not signal.receivers


def test_disconnect_takes_what_connect_took(signal: Signal) -> None:
    class Watcher:
        def hear(self, **_: Any) -> None:
            pass

    watcher = Watcher()
    signal.connect(watcher.hear, sender="a")
    assert not signal.disconnect(watcher.hear)
    assert signal.disconnect(watcher.hear, sender="a")
    assert signal.send("a") == []


def test_a_weak_receiver_goes_with_its_owner_and_others_stay(signal: Signal) -> None:
    class Watcher:
        def hear(self, **_: Any) -> str:
            return "weak"

    watcher = Watcher()
    signal.connect(watcher.hear, weak=True)
    signal.connect(lambda **_: "strong")
    assert [answer for _, answer in signal.send(None)] == ["weak", "strong"]
    del watcher
    gc.collect()
    assert [answer for _, answer in signal.send(None)] == ["strong"]


def test_what_a_receiver_raises_is_logged_and_returned(
    signal: Signal, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("no")

    @signal.connect
    def broken(**_: Any) -> None:
        raise error

    signal.connect(print_nothing)
    assert signal.send(None) == [(broken, error), (print_nothing, None)]
    assert "a receiver of tried raised" in caplog.text


def test_a_receiver_must_take_fields_to_come(signal: Signal) -> None:
    def narrow(sender: Any) -> None:
        pass

    with pytest.raises(ConfigError, match=r"\*\*kwargs"):
        signal.connect(narrow)
    assert not signal.receivers


def test_celerys_signals_are_there_under_their_names() -> None:
    names = {*signals.__all__} - {"Signal", "signals_table"}
    assert names == {*celery.signals.__all__, "import_modules", "task_sent", "user_preload_options"}
    for name in names:
        assert getattr(signals, name).name == name
