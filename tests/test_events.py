"""Events: who hears what, and that listeners harm nobody."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import App, OnceTask, events, signals
from reliable_tasks.errors import Ignore
from reliable_tasks.testing import bound, run_until_idle

PACKAGE = Path(events.__file__).parent


class Heard(list[tuple[str, Mapping[str, Any]]]):
    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        self.append((event, fields))


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    unsubscribe = events.subscribe(heard, "attempt.retried", "config.note")
    yield heard
    unsubscribe()


def test_a_subscriber_hears_what_it_asked_for(heard: Heard) -> None:
    events.emit("attempt.retried", id="1", delay=2.0)
    events.emit("attempt.succeeded", id="1")
    assert heard == [("attempt.retried", {"id": "1", "delay": 2.0})]


def test_a_subscriber_of_everything_hears_everything() -> None:
    heard = Heard()
    unsubscribe = events.subscribe(heard)
    for name in events.EVENTS:
        events.emit(name)
    unsubscribe()
    events.emit("config.note", note="unheard")
    assert heard == [(name, {}) for name in events.EVENTS]


def test_enabled_follows_subscriptions() -> None:
    assert not events.enabled("beat.fired")
    first = events.subscribe(Heard(), "beat.fired")
    second = events.subscribe(Heard(), "beat.fired")
    first()
    assert events.enabled("beat.fired")
    second()
    assert not events.enabled("beat.fired")


def test_a_listener_that_raises_harms_neither_the_emitter_nor_the_others(
    heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError(event)

    unsubscribe = events.subscribe(broken, "config.note")
    late = Heard()
    unsubscribe_late = events.subscribe(late, "config.note")
    events.emit("config.note", note="x")
    unsubscribe()
    unsubscribe_late()
    assert heard == late == [("config.note", {"note": "x"})]
    assert "a subscriber of 'config.note' raised" in caplog.text


@pytest.mark.parametrize("call", [events.emit, events.enabled])
def test_an_event_that_is_not_in_the_table_is_an_error(call: Any) -> None:
    with pytest.raises(LookupError):
        call("attempt.retired")


def test_subscribing_to_an_event_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"attempt\.retired"):
        events.subscribe(Heard(), "attempt.retired", "config.note")
    assert not events.enabled("config.note")


def _literal_events(path: Path) -> Iterator[tuple[str, set[str]]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        first = node.args[0]
        of_events = ast.unparse(node.func) in {"events.emit", "events.enabled"} or name == "_tell"
        if of_events and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value, {k.arg for k in node.keywords if k.arg is not None}


def test_every_event_that_the_package_emits_is_in_the_table_with_its_fields() -> None:
    found = [
        (path, event, fields)
        for path in PACKAGE.rglob("*.py")
        for event, fields in _literal_events(path)
    ]
    assert len(found) > 10
    for path, event, fields in found:
        assert event in events.EVENTS, path
        assert fields <= set(events.EVENTS[event].fields), (path, event)


def test_the_reference_page_is_the_table() -> None:
    page = (PACKAGE.parent / "docs" / "reference" / "events.md").read_text(encoding="utf-8")
    lacking = [row for row in events.events_table().splitlines() if row not in page]
    assert not lacking, f"docs/reference/events.md lacks rows of events.events_table(): {lacking}"
    assert events.events_table() in page, "rows of docs/reference/events.md are in another order"


def test_who_listens_hears_of_each_message_that_is_stored() -> None:
    app = App("told", broker="sqlite://")

    @app.task(name="add", base=OnceTask, once={"graceful": True})
    def add(x: int) -> int:
        return x

    heard = Heard()
    unsubscribe = events.subscribe(heard, "message.enqueued", "message.duplicate")
    first = add.apply_async((1,), countdown=60)
    second = add.apply_async((1,))
    unsubscribe()
    app.close()
    assert second.id == first.id
    (_, stored), (_, duplicate) = heard
    assert (stored["id"], stored["delay"], stored["queue"]) == (first.id, 60.0, "celery")
    assert (duplicate["holder"], duplicate["once_key"]) == (first.id, stored["once_key"])


def test_a_body_that_ends_without_a_result_is_told_of() -> None:
    app = App("told", broker="sqlite://", set_as_current=False)
    heard = Heard()

    @app.task(name="add")
    def add(x: int) -> int:
        return x

    @app.task(name="skips", bind=True)
    def skips(self: Any) -> None:
        self.update_state(state="SKIPPED")
        raise Ignore

    @app.task(name="replaces", bind=True)
    def replaces(self: Any) -> None:
        raise self.replace(add.s(1))

    received: list[str] = []

    @signals.task_received.connect
    def note(request: Any, **_: Any) -> None:
        received.append(request.id)

    with bound(app):
        unsubscribe = events.subscribe(heard, "attempt.ignored", "attempt.replaced")
        results = [skips.delay(), replaces.delay()]
        run_until_idle(app)
        unsubscribe()
    signals.task_received.disconnect(note)
    assert [(event, fields["id"], fields.get("state")) for event, fields in heard] == [
        ("attempt.ignored", results[0].id, "SKIPPED"),
        ("attempt.replaced", results[1].id, None),
    ]
    assert received[:2] == [result.id for result in results]
    assert len(received) == 3, "and what took the second one's place"
