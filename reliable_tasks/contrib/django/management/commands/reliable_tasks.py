"""`manage.py reliable_tasks worker|beat|…`: the command line, for the project's app."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)

__all__ = ["Command"]

_APP = "reliable_tasks.contrib.django.app"
_CHECKED = {"beat", "worker"}


class Command(BaseCommand):
    """All commands and options of `reliable-tasks`; `-A` is the project's app by itself.

    The process becomes that of `reliable-tasks`: signals, exit codes and restarts are the same.
    """

    help = "Run a command of reliable-tasks for this project: worker, beat, status, dead, …"
    requires_system_checks: Any = []  # noqa: RUF012 - Django's

    def run_from_argv(self, argv: list[str]) -> None:
        """Leave the arguments to the command line, but for those that Django has read already."""
        django = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        django.add_argument("--settings")
        django.add_argument("--pythonpath", default="")
        django.add_argument("--skip-checks", action="store_true")
        given, rest = django.parse_known_args(argv[2:])
        if _CHECKED & set(rest) and "--help" not in rest and not given.skip_checks:
            try:
                self.check()
            except SystemCheckError as error:
                self.stderr.write(str(error), lambda text: text)
                sys.exit(1)
        folders = [given.pythonpath, str(Path(argv[0]).absolute().parent)]
        command = _command(rest)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, _environment(folders))  # noqa: S606 - no shell

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command("reliable_tasks", "status")`."""
        parser.add_argument("command", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, command: list[str] | None = None, **_: Any) -> None:
        """Run it to its end, in a process of its own; other codes than 0 are a `CommandError`."""
        done = subprocess.run(  # noqa: S603 - our own command line
            _command([*args, *(command or ())]),
            env=_environment([str(Path.cwd())]),
            capture_output=True,
            text=True,
            check=False,
        )
        self.stdout.write(done.stdout, ending="")
        if done.returncode:
            raise CommandError(done.stderr.strip(), returncode=done.returncode)


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "reliable_tasks", *arguments]


def _environment(folders: list[str]) -> dict[str, str]:
    """Where the modules of the project are, and which app it is unless `-A` says another."""
    paths = [*filter(None, folders), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    return {**os.environ, "PYTHONPATH": path, "RELIABLE_TASKS_APP": _APP}
