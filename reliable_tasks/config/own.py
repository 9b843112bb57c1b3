"""Names that are no settings: values of a program's own, or slips of the pen.

`conf.update(flask_app.config)` and `conf.my_setting = 1` keep what no setting is called, as in
Celery. A name that is almost a setting's is an error instead: nobody would look for a value of
theirs under it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from reliable_tasks.config.names import OLD_NAMES
from reliable_tasks.config.settings import described
from reliable_tasks.core import texts
from reliable_tasks.errors import ConfigError

__all__ = ["OwnValues", "check_name"]

_A_SLIP = 0.85  # 'worker_concurency', 'timezon', 'BROKER_URI'; but not 'beat_schema'
_LIKE = 0.8
_PREFIXES = ("CELERY", "BROKER")
_MOST_NAMES = 20


def _nearest(name: str, known: Iterable[str], cutoff: float) -> str | None:
    import difflib  # noqa: PLC0415 - only names that are no settings need it

    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return near[0] if near else None


def _spellings(prefix: str) -> dict[str, str]:
    """The upper-case spellings of settings with an effect, and which setting each is."""
    prefixed = {f"{prefix or 'CELERY_'}{name.upper()}": name for name in described}
    old = {} if prefix else {old: name for old, name in OLD_NAMES.items() if name in described}
    return prefixed | old


def check_name(spelling: object, prefix: str, given: Collection[str]) -> str:
    """The name under which a value of the program's own is kept.

    Args:
        spelling: as it was given; no setting is called so.
        prefix: of the namespace that it was loaded with.
        given: the settings that were given along with it. One that is almost called the same is
            made of this value, and not meant by it.

    Raises:
        ConfigError: it is no text, or almost the name of a setting.
    """
    if not isinstance(spelling, str):
        raise ConfigError(f"{texts.shown(spelling)} is not the name of a setting; names are texts")
    known: Mapping[str, str] = {}
    if spelling.startswith(prefix or _PREFIXES) and spelling.isupper():
        known = _spellings(prefix)
    elif spelling.islower():
        known = {name: name for name in described}
    near = _nearest(spelling, known, _A_SLIP)
    if near is not None and known[near] not in given:
        raise ConfigError(f"{spelling!r} is not a setting; did you mean {near!r}?")
    return spelling.removeprefix(prefix).lower() if prefix else spelling


class OwnValues(dict[str, Any]):
    """Values of the program's own by their names.

    Attributes:
        told: the names of those to tell of when a worker starts; a module's variables are not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, None] = {}

    def key_of(self, name: str) -> str | None:
        """The name under which a value is kept: itself, or without `CELERY_` in lower case."""
        if name in self:
            return name
        short = name.removeprefix("CELERY_").lower() if name.startswith("CELERY_") else name
        return short if short in self else None

    def keep(self, values: Mapping[str, Any], *, told: bool) -> None:
        """Keep values; `told` says whether there is to be a note of them."""
        self.update(values)
        if told:
            self.told |= dict.fromkeys(values)

    def notes(self) -> list[str]:
        """The line, if any, that says which names are no settings, and what each is like."""
        if not self.told:
            return []
        near = {name: self._like(name) for name in self.told}
        first = sorted(self.told, key=lambda name: near[name] is None)
        named = [f"{n} (did you mean {near[n]!r}?)" if near[n] else n for n in first]
        more = len(named) - _MOST_NAMES
        rest = f", and {more} more" if more > 0 else ""
        return [f"no settings, kept as values of your own: {', '.join(named[:_MOST_NAMES])}{rest}"]

    @staticmethod
    def _like(name: str) -> str | None:
        return _nearest(name.removeprefix("CELERY_").lower(), described, _LIKE)
