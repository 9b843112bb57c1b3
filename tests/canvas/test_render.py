from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from reliable_tasks import App, chord
from reliable_tasks.canvas import render_dot, render_mermaid, render_tree
from reliable_tasks.cli._context import Chosen
from reliable_tasks.cli.graph import command, workflow_of
from reliable_tasks.errors import UnknownResult
from tests.canvas.helpers import Harness, add_tasks


@pytest.fixture
def workflow(t: Any, harness: Harness) -> Any:
    """A chord of which one member has succeeded and the other failed, with an errback."""
    body = t.xsum.s().set(task_id="body").on_error(t.echo.s().set(task_id="errback"))
    header = [t.echo.si(1).set(task_id="good"), t.boom.si(2).set(task_id="bad")]
    result = chord(header, body | t.echo.s().set(task_id="end"))()
    harness.drain()
    return result


def records(harness: Harness) -> Any:
    return sorted(
        harness.records(), key=lambda r: ("good", "bad", "body", "errback", "end").index(r.id)
    )


def test_a_tree(workflow: Any, harness: Harness) -> None:
    assert workflow.id == "end"
    assert render_tree(records(harness)).splitlines() == [
        "echo good [SUCCESS]",
        "└─ xsum body [FAILURE: parent]",
        "   ├─ (on failure) echo errback [SUCCESS]",
        "   └─ echo end [FAILURE: parent]",
        "boom bad [FAILURE: failed]",
        "└─ ↑ xsum body",
    ]


def test_what_waits_says_for_how_many(t: Any, harness: Harness) -> None:
    chord([t.echo.si(1), t.echo.si(2)], t.xsum.s())()
    assert "[PENDING, waits for 2]" in render_tree(harness.records())


def test_mermaid(workflow: Any, harness: Harness) -> None:
    assert workflow.failed()
    text = render_mermaid(records(harness))
    assert text.startswith("flowchart TD\n")
    assert '    n1["boom<br/>FAILURE: failed"]' in text
    assert "    n0 --> n2" in text
    assert "    n2 -. on failure .-> n3" in text
    assert "    style n1 fill:#ffcdd2,color:#212121" in text


def test_dot(workflow: Any, harness: Harness) -> None:
    assert workflow.failed()
    text = render_dot(records(harness))
    assert text.startswith("digraph workflow {")
    assert '  "bad" [label="boom\\nFAILURE: failed", fillcolor="#ffcdd2"];' in text
    assert '  "body" -> "errback" [label="on failure", style=dashed];' in text
    assert text.endswith("}")


def test_the_workflow_of_any_of_its_messages(workflow: Any, harness: Harness) -> None:
    for message_id in ("good", "body", workflow.id):
        found = workflow_of(harness.app.store, message_id, 100)
        assert {record.id for record in found} == {"good", "bad", "body", "errback", "end"}
    assert len(workflow_of(harness.app.store, "good", 2)) == 2


def test_a_lone_message_is_a_workflow_of_one(t: Any, harness: Harness) -> None:
    lone = t.echo.delay(1)
    assert [record.id for record in workflow_of(harness.app.store, lone.id, 100)] == [lone.id]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    app = App("shop", broker=f"sqlite:///{tmp_path}/shop.db")
    yield app
    app.close()


def test_the_command(app: App) -> None:
    t = add_tasks(app)
    result = (t.echo.si(1) | t.echo.s())()
    run = CliRunner().invoke
    chosen = Chosen(broker=app.settings.broker_url)
    tree = run(command, [result.id], obj=chosen)
    assert tree.exit_code == 0
    assert f"└─ echo {result.id} [PENDING, waits for 1]" in tree.stdout
    assert run(command, [result.id, "--mermaid"], obj=chosen).stdout.startswith("flowchart")
    assert run(command, [result.id, "--dot"], obj=chosen).stdout.startswith("digraph")
    cut = run(command, [result.id, "--limit", "1"], obj=chosen)
    assert "Only 1 messages" in cut.output
    unknown = run(command, ["nobody"], obj=chosen)
    assert isinstance(unknown.exception, UnknownResult)
    assert isinstance(command, click.Command)
