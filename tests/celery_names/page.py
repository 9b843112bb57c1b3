"""The page itself."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tests.celery_names.collect import Found, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = "docs/reference/celery-names.md"

_HEAD = """# Celery's names

Every public name of Celery 5.7: *same* as there, *differs* and how, or *not here* and what is
instead. [Coming from Celery](../explanation/compatibility.md) tells of behaviour, and
[a command](../how-to/migrate-from-celery.md) rewrites a program's imports.

<!-- made by python -m tests.celery_names; change reliable_tasks/celery_names, not this page -->

"""
_TITLES = {
    "celery": "`celery`, the package",
    "request": "`self.request`",
    "settings": "Settings",
    "commands": "Commands and their options",
}


def rendered() -> str:
    """The page, made anew."""
    sections = groupby(found(), key=lambda one: one.section)
    return _HEAD + "\n".join(_section(name, list(names)) for name, names in sections)


def _section(section: str, names: list[Found]) -> str:
    same = [one.name for one in names if one.here and one.words is None]
    differing = [one for one in names if one.here and one.words is not None]
    absent = [one for one in names if not one.here]
    counts = f"{len(same)} same, {len(differing)} differ, {len(absent)} not here"
    parts = [f"## {_TITLES.get(section, f'`{section}`')}", f"{counts}."]
    if same:
        parts.append(f"Same: {_codes(same)}.")
    parts += _table(differing, "differs")
    parts += _table(absent, "not here; instead")
    return "\n\n".join(parts) + "\n"


def _table(names: list[Found], title: str) -> Iterator[str]:
    if names:
        rows: dict[str, list[str]] = {}
        for one in names:
            rows.setdefault(one.words or "?", []).append(one.name)
        lines = [f"| {_codes(of)} | {_cell(words)} |" for words, of in rows.items()]
        yield "\n".join([f"| name | {title} |", "| --- | --- |", *lines])


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(words: str) -> str:
    return " ".join(words.replace("|", "\\|").split())
