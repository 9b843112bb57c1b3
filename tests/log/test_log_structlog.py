"""structlog in bodies, and nowhere else."""

import json
import subprocess
import sys
from pathlib import Path


def output_of(program: str) -> tuple[str, str]:
    """What a program prints in an interpreter of its own."""
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return found.stdout, found.stderr


def test_structlog_is_imported_only_by_who_uses_it() -> None:
    program = (
        "import sys; from reliable_tasks.log import setup as log\n"
        "log.configure('INFO'); log.get_task_logger('x').warning('hello')\n"
        "print('structlog' in sys.modules)"
    )
    out, err = output_of(program)
    assert (out, json.loads(err)["event"]) == ("False\n", "hello")


def test_structlog_imported_later_ends_up_in_the_log_too() -> None:
    program = (
        "import sys; from reliable_tasks.log import setup as log\n"
        "finders = list(sys.meta_path); log.configure('INFO')\n"
        "import structlog; structlog.get_logger('late').info('hello', size=3)\n"
        "assert sys.meta_path == finders\n"
    )
    out, err = output_of(program)
    line = json.loads(err)
    assert out == ""
    assert (line["event"], line["logger"], line["size"]) == ("hello", "late", 3)


def test_structlog_is_no_longer_waited_for_once_the_log_is_undone() -> None:
    program = (
        "import sys; from reliable_tasks.log import setup as log\n"
        "log.configure('INFO')(); import structlog; print(structlog.is_configured())"
    )
    assert output_of(program) == ("False\n", "")
