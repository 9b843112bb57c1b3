"""Runs the examples of a page, as its reader would.

A page has a folder of its own, which is the current one, and a namespace that its blocks share.

- A `python` block whose first line is a comment with a file's name (`# tasks.py`) is written to
  that file and imported, or run if it has a `__main__` part. `# tasks.py, continued` adds to it.
- Other `python` blocks run as they stand; what follows `>>>` is checked as a doctest.
- In a `sh` block, `reliable-tasks -A module worker …` starts that worker, in the place of the one
  before; so does `bridge`. Of all other `reliable-tasks` commands the arguments are checked.

A page that is run line by line, as its reader does (`Page(…, every_line=True)`), has more done:
files are written and not run; each command of a `sh` block is run, workers and beats of one block
side by side; each line of a `text` block appears in what the commands before it print, where `…`
stands for anything.
"""

import doctest
import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from reliable_tasks import App
from reliable_tasks.cli import cli
from tests.patience import PATIENCE_S
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[1]
_LONGEST_WAIT_S = PATIENCE_S
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
_PROGRAMS = {
    "python": [sys.executable],
    "reliable-tasks": [sys.executable, "-m", "reliable_tasks"],
}
"""What a reader's commands run here; what installs and makes folders is done already."""
_SERVERS = {"beat", "bridge", "worker"}
BROKER = "amqp://guest:guest@localhost//"
"""The broker of pages about brokers; they are run where the tests have one."""
_FILE = re.compile(r"# (?P<name>\w+)\.py(?P<more>, continued)?\n")


class Page:
    """The run of one page's examples in a folder.

    Args:
        path: of the page.
        folder: to run in; it must be the current one, and on the path.
        every_line: run what a reader would; see above.
    """

    def __init__(self, path: Path, folder: Path, *, every_line: bool = False) -> None:
        self.path = path
        self._every_line = every_line
        self._said = ""
        self._folder = folder
        self._modules: set[str] = set()
        self._stack = ExitStack()
        self._running: dict[subprocess.Popen[bytes], Path] = {}
        self._namespace: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop()
        for value in self._namespace.values():
            if isinstance(value, App):
                value.close()
        for name in self._modules:
            sys.modules.pop(name, None)
        self._stack.close()

    def run(self) -> int:
        """Run every example; returns how many there were."""
        python = PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS)
        python.codeblock_parser = CodeBlockParser("python", self._python)
        shell = CodeBlockParser("sh", self._shell)
        parsers: list[Any] = [python, shell]
        if self._every_line:
            parsers.append(CodeBlockParser("text", self._printed))
        document = Sybil(parsers=parsers, pattern="*.md").parse(self.path)
        self._namespace = document.namespace
        count = 0
        for example in document.examples():
            example.evaluate()
            count += 1
        return count

    def log(self) -> str:
        """What the workers have logged."""
        return "".join(p.read_text(errors="replace") for p in self._folder.glob("*.log"))

    # Python --------------------------------------------------------------------------------------

    def _python(self, example: Example) -> None:
        text = str(example.parsed)
        named = _FILE.match(text)
        namespace = example.namespace
        if "redis_url" in text and "redis_url" not in namespace:
            namespace["redis_url"] = self._stack.enter_context(RedisServer()).url
        if named is None:
            namespace.setdefault("__name__", "__page__")
            line = example.line + example.parsed.line_offset
            exec(compile("\n" * line + text, example.path, "exec"), namespace)
            return
        file = self._folder / f"{named['name']}.py"
        before = file.read_text() if named["more"] else ""
        file.write_text(before + text)
        self._modules.add(named["name"])
        if self._every_line:
            return
        if '__name__ == "__main__"' in text:
            exec(compile(text, file, "exec"), {"__name__": "__main__"})
            return
        sys.modules.pop(named["name"], None)
        importlib.invalidate_caches()
        importlib.import_module(named["name"])

    # The shell -----------------------------------------------------------------------------------

    def _shell(self, example: Example) -> None:
        lines = str(example.parsed).replace("\\\n", " ").splitlines()
        commands = [words for line in lines if (words := shlex.split(line, comments=True))]
        servers = [words for words in commands if "-A" in words and _SERVERS & {*words}]
        if not self._every_line:
            servers = [words for words in servers if "beat" not in words]
        if servers:
            self._stop()
        self._said = ""
        for command, *arguments in commands:
            if command == "reliable-tasks":
                check_arguments(arguments)
            if [command, *arguments] in servers:
                self._start(arguments)
            elif self._every_line and command in _PROGRAMS:
                self._said += self._run_program(*_PROGRAMS[command], *arguments)

    def _run_program(self, *command: str) -> str:
        """What a command printed; it has to succeed."""
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=_ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout)
        return done.stdout

    def _printed(self, example: Example) -> None:
        """Wait until each line of the block was printed by the commands of the block before."""
        for line in str(example.parsed).splitlines():
            parts = [r"\s+".join(map(re.escape, part.split())) for part in line.split("…")]
            pattern = re.compile(".*".join(parts))
            deadline = time.monotonic() + _LONGEST_WAIT_S
            while not pattern.search(printed := self._said + self._logged()):
                assert time.monotonic() < deadline, f"{line!r} is not in {printed}"
                assert all(process.poll() is None for process in self._running), self.log()
                time.sleep(0.05)

    def _logged(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self._running.values())

    def _start(self, arguments: list[str]) -> None:
        path = self._folder / f"{len(list(self._folder.glob('*.log')))}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*_PROGRAMS["reliable-tasks"], *arguments],
                cwd=self._folder,
                env=_ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[process] = path

    def _stop(self) -> None:
        running, self._running = self._running, {}
        for process in running:
            try:
                assert process.poll() is None, self.log()
                _quit(process)
            finally:
                with suppress(ProcessLookupError):  # nothing of it is left
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _quit(worker: subprocess.Popen[bytes]) -> None:
    """Tell a worker to end, until it does: while Python begins, a signal may be ignored."""
    deadline = time.monotonic() + PATIENCE_S
    while worker.poll() is None:
        assert time.monotonic() < deadline, "the worker does not end"
        worker.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(1)


def check_arguments(arguments: list[str]) -> None:
    """Raise what the command line would complain of."""
    command: click.Command = cli
    parent, rest = None, arguments
    if rest in (["--help"], ["--version"]):
        return
    while isinstance(command, click.Group):
        context = command.make_context(command.name, list(rest), parent=parent)
        remaining = [*context._protected_args, *context.args]
        _, found, rest = command.resolve_command(context, remaining)
        assert found is not None
        command, parent = found, context
    command.make_context(command.name, list(rest), parent=parent)
