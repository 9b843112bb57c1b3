"""The command line: `reliable-tasks`, also `python -m reliable_tasks`."""

from ._group import cli

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    cli.main(prog_name="reliable-tasks")
