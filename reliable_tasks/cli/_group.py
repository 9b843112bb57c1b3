"""The root command: commands that load when they are used, and mistakes told in one line."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from reliable_tasks import __version__
from reliable_tasks.errors import (
    ReliableTasksError,
    StoreError,
    TimeoutError,  # noqa: A004 - Celery's name
    UnknownEntry,
    UnknownResult,
    suggest,
)

from ._accepted import not_needed
from ._context import DEBUG_VARIABLE, Chosen, app_options, keep
from ._elsewhere import ELSEWHERE
from ._say import say

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "DEBUG_VARIABLE", "cli"]

COMMANDS = {
    "audit": "Tell the story of a message, or what happened lately.",
    "backup": "Write a whole copy of a SQLite store while others work on it.",
    "beat": "Run the schedule: enqueue what is due.",
    "bridge": "Take over the messages of another system's broker.",
    "call": "Enqueue a call of a task.",
    "dead": "Look at dead letters, replay them, drop them.",
    "demo": "Run real work, kill a worker, and check that nothing was lost.",
    "graph": "Show a workflow and how its parts stand.",
    "locks": "Say who holds a once-lock and why; free one by hand.",
    "purge": "Revoke everything that waits on a queue.",
    "report": "Show versions, the store and settings, for a bug report.",
    "result": "Show what became of a message.",
    "revoke": "Stop messages from running.",
    "schedules": "Look at schedule entries; run, pause or resume them.",
    "shell": "Start a Python shell with the app and its tasks.",
    "status": "Show queues, messages and workers.",
    "vacuum": "Make the file of a SQLite store smaller while others work on it.",
    "verify": "Check on the audit trail that every promise was kept.",
    "version": "Show the version.",
    "worker": "Run a worker.",
}
"""Each command and its one line of help; the command itself is `command` in the module so named."""

OK, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


class _Root(click.Group):
    """Loads a command when it is used, so that `--help` need not import them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 - the module is one of ours
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            instead = ELSEWHERE.get(args[0])
            hint = f": {instead}" if instead else suggest(args[0], COMMANDS)
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def main(  # type: ignore[override] # it always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run, tell mistakes in one line, and exit: 0 done, 1 not done, 2 a mistake of usage."""
        extra.pop("standalone_mode", None)
        prog_name = prog_name or "reliable-tasks"
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever reads our output has had enough (`| head`); do not complain at exit either.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until exit
            code = FAILED
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what it is gets told
            if os.environ.get(DEBUG_VARIABLE) == "1" and not isinstance(error, click.Abort):
                # Not left to the interpreter: a worker's or a beat's stderr is its log by now.
                say("".join(traceback.format_exception(error)).rstrip(), err=True)
            code = _tell(error, prog_name)
        sys.exit(code if isinstance(code, int) else OK)


def _tell(error: BaseException, prog_name: str) -> int:
    """Say in one line what is wrong; returns the exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return MISTAKE
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else prog_name
            text, code = f"{_line(error.format_message())} (see {path} --help)", MISTAKE
        case click.ClickException():
            text, code = error.format_message(), error.exit_code
        case click.Abort() | KeyboardInterrupt():
            text, code = "stopped", INTERRUPTED
        case StoreError() | UnknownResult() | UnknownEntry() | TimeoutError():
            text, code = str(error), FAILED
        case ReliableTasksError():
            # A KeyError's own text is the repr of its argument.
            text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
            code = MISTAKE
        case _:
            text = f"{type(error).__name__}: {error} (with {DEBUG_VARIABLE}=1: the traceback)"
            code = FAILED
    say(f"Error: {_line(text)}", err=True)
    return code


def _line(text: str) -> str:
    return " ".join(text.split())


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@app_options
@click.option("-B", "--beat", is_flag=True, hidden=True, help="With worker: run a beat as well.")
@click.option(
    *("-q", "--quiet"),
    is_flag=True,
    is_eager=True,  # what other options tell depends on it
    expose_value=False,
    callback=keep("quiet"),
    help="Print results and errors only.",
)
@click.option(
    *("-C", "--no-color", "--no-colour", "no_colour"), is_flag=True, help="Print without colours."
)
@click.option(
    "--config",
    metavar="MODULE",
    expose_value=False,
    callback=keep("config"),
    help="Take settings from this module, too.",
)
@click.option(
    "--result-backend",
    metavar="URL",
    hidden=True,
    expose_value=False,
    callback=keep("result_backend"),
)
@not_needed(
    {("--loader",): "modules are imported as Python does"},
    {("--skip-checks",): "Django's checks are not run from here; manage.py check runs them"},
)
@click.version_option(__version__, message="%(version)s")
@click.pass_obj
def cli(chosen: Chosen, beat: bool, no_colour: bool) -> None:
    """Run tasks reliably.

    Start with a module that makes an app, say tasks.py, and run
    `reliable-tasks -A tasks worker`.
    """
    chosen.beat = chosen.beat or beat
    chosen.colour = False if no_colour or os.environ.get("NO_COLOR") else None
