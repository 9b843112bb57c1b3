"""Celery's names that are not here, with what is here instead; and those that mean something else.

Errors, the page of Celery's names and `python -m reliable_tasks.migrate` say it in these words. A
name that comes to be here needs no line: whoever asks looks first whether it is.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reliable_tasks.celery_names.words import Table

__all__ = ["differs", "instead", "no_attribute", "no_name"]

_SAME_WORDS = {
    **dict.fromkeys(("chain", "group", "chord", "chunks", "xmap", "xstarmap"), "Signature"),
    **dict.fromkeys(("GroupResult", "ResultSet", "EagerResult"), "AsyncResult"),
    "crontab": "schedule",
    "celery.app": "celery",
}
"""Sections that say what another one says of a name, unless they say more."""


def _flat(table: Table) -> dict[tuple[str, str], str]:
    """Turn `{section: {words: names}}` into `{(section, name): words}`."""
    return {
        (section, name): words
        for section, of_section in table.items()
        for words, names in of_section.items()
        for name in (names.split(";") if section == "commands" else names.split())
    }


def _said(table: Mapping[tuple[str, str], str], section: str, name: str) -> str | None:
    for where in (section, _SAME_WORDS.get(section, section)):
        for what in (name, "*"):
            if (where, what) in table:
                return table[where, what]
    return None


def instead(section: str, name: str) -> str | None:
    """What is here instead of a name of Celery's that is not; None where nothing is known of it.

    Args:
        section: the module (`celery.utils`) or the class (`App`, `Task`, `Control`, …); `modules`
            for modules as a whole.
        name: in it.
    """
    from reliable_tasks.celery_names.classes import OF_CLASSES  # noqa: PLC0415 - mistakes need it
    from reliable_tasks.celery_names.modules import OF_MODULES  # noqa: PLC0415

    return _said(_flat({**OF_CLASSES, **OF_MODULES}), section, name)


def differs(section: str, name: str) -> str | None:
    """How a name that is here differs from Celery's; None where it does not."""
    from reliable_tasks.celery_names.differing import DIFFERING  # noqa: PLC0415 - mistakes need it

    return _said(_flat(DIFFERING), section, name)


def no_attribute(owner: str, section: str, name: str) -> str:
    """The text of an AttributeError, which says what is here instead."""
    said = None if name.startswith("_") else instead(section, name)
    return f"{owner} has no attribute {name!r}" + (f"; instead: {said}" if said else "")


def no_name(module: str, name: str) -> Exception:
    """What a module raises for a name that it does not have.

    For a name of Celery's it is an ImportError: of an AttributeError, `from module import name`
    would keep only that there is none. A module of ours that bears one of these names, not imported
    yet, is an AttributeError: `from reliable_tasks import worker` then imports it.
    """
    section = f"celery{module.removeprefix('reliable_tasks')}"
    text = no_attribute(f"module {module!r}", section, name)
    known = not name.startswith("_") and instead(section, name)
    if known and not _is_module(module, name):
        return ImportError(text, name=module)
    return AttributeError(text, name=name)


def _is_module(package: str, name: str) -> bool:
    return "__path__" in vars(sys.modules[package]) and find_spec(f"{package}.{name}") is not None
