"""The command line as a whole: help, mistakes, exit codes."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from reliable_tasks import __version__
from reliable_tasks.cli import cli
from reliable_tasks.cli._group import COMMANDS
from tests.cli.support import ENVIRONMENT, ROOT

Run = Callable[..., Result]
Mistake = Callable[..., str]
REFERENCE = ROOT / "docs" / "reference" / "cli.md"


def output_of(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)


def test_help_lists_all_commands() -> None:
    found = output_of(sys.executable, "-m", "reliable_tasks", "--help")
    assert all(f"\n  {name} " in found.stdout for name in COMMANDS)


def test_help_imports_no_command() -> None:
    program = (
        "import sys\n"
        "from reliable_tasks.cli import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('reliable_tasks.app', 'structlog', 'redis', 'apsw', 'tenacity', 'msgspec')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program]
    assert output_of(*command).stderr == "[]\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_help_and_a_place_in_the_reference(name: str, run: Run) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    assert run(name, "--help").stdout.startswith("Usage: ")
    assert f"## {name}\n" in REFERENCE.read_text(encoding="utf-8")


def test_version(run: Run) -> None:
    assert run("version").stdout == run("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["wrker"], "there is no command 'wrker'; did you mean 'worker'?"),
        (["status", "--jsn"], "'--json'"),
        (["audit", "--since", "tomorrow", "-b", "sqlite:///shop.db"], "'tomorrow'"),
        (["audit", "--event", "retri", "-b", "sqlite:///shop.db"], "did you mean 'retry'"),
        (["status", "-b", "mysql://x"], "sqlite:///file.db"),
        (["status", "-b", "sqlite://"], "memory"),
        (["status", "--workdir", "/nowhere"], "--workdir /nowhere"),
        (["revoke", "x", "--signal", "SIGTRM"], "did you mean 'SIGTERM'"),
        (["worker"], "name your app: -A module"),
        (["worker", "-A", "x", "--detach"], "systemd"),
        (["worker", "-A", "x", "-l", "infos"], "did you mean 'INFO'"),
        (["dead", "replay", "-b", "sqlite:///shop.db"], "give IDs, or --all"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_mistake_is_one_line_and_code_2(args: list[str], said: str, mistake: Mistake) -> None:
    assert said in mistake(*args)


def test_a_store_that_is_not_there_is_named_and_not_made(mistake: Mistake, tmp_path: Path) -> None:
    said = mistake("status", code=1)
    assert str(tmp_path / "reliable_tasks.db") in said
    assert "-b URL" in said
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_reached_is_code_1(mistake: Mistake) -> None:
    assert "127.0.0.1:1" in mistake("status", "-b", "redis://127.0.0.1:1/0", code=1)


def test_a_fault_of_our_own_is_one_line_too_unless_debugging(
    mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object) -> None:
        raise RuntimeError("inside\nout")

    monkeypatch.setattr("reliable_tasks.cli._context.Chosen.open_app", broken)
    assert "RuntimeError: inside out" in mistake("status", code=1)
    monkeypatch.setenv("RELIABLE_TASKS_DEBUG", "1")
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "RuntimeError: inside\nout\n" in result.stderr


def test_a_reader_that_has_had_enough_is_no_fault() -> None:
    program = f"{sys.executable} -m reliable_tasks --help | true; echo ${{PIPESTATUS[0]}}"
    found = output_of("bash", "-c", program)
    assert found.stderr == ""
    assert re.fullmatch("[01]\n", found.stdout)


def test_options_may_stand_before_or_after_the_command(run: Run, tasks: str) -> None:
    before = run("-A", tasks, "call", "shop.add", "-a", "[1]").stdout
    after = run("call", "shop.add", "-A", tasks, "-a", "[1]").stdout
    assert len(before) == len(after) == len("00000000-0000-0000-0000-000000000000\n")
