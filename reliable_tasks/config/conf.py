"""Settings: Celery's names, old and new, checked where they are set and frozen where they are used.

A program writes to a `Conf` (it is `app.conf`); everything else reads the frozen `Settings` that
`Conf.settings()` gives. What is wrong is a ConfigError that names the setting, its value (with
passwords covered) and the remedy.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from reliable_tasks.config.backend import check_backend
from reliable_tasks.config.brokers import DEFAULT_STORE, is_broker
from reliable_tasks.config.checks import checked, copied, invalid, is_lent, note, parsed
from reliable_tasks.config.importing import import_object
from reliable_tasks.config.masks import mask_url, masked, shown
from reliable_tasks.config.names import NOTED_VALUES, known_names, resolve
from reliable_tasks.config.overriding import Overriding
from reliable_tasks.config.own import OwnValues
from reliable_tasks.config.readers import Readers
from reliable_tasks.config.reference import settings_table
from reliable_tasks.config.settings import READ_AT_OPENING, Settings, described
from reliable_tasks.config.sources import items, one_spelling, pairs
from reliable_tasks.config.url import StoreUrl, parse_store_url
from reliable_tasks.errors import ConfigError, suggest

__all__ = [
    "ENV_PREFIX",
    "Conf",
    "Settings",
    "StoreUrl",
    "check_backend",
    "mask_url",
    "settings_table",
    "store_text",
    "store_url",
]

ENV_PREFIX = "RELIABLE_TASKS_"
"""What an environment variable's name begins with to stand for a setting."""

_DEFAULTS = Settings()


def store_url(settings: Settings) -> StoreUrl:
    """Read where the store is.

    Raises:
        ConfigError: `broker_url` (or `store_url`) is not the URL of a store that is supported.
    """
    service = settings.broker_transport_options.get("master_name")
    name = "store_url" if settings.store_url or is_broker(settings.broker_url) else "broker_url"
    service = None if service is None else str(service)
    return parse_store_url(store_text(settings), name=name, service=service)


def store_text(settings: Settings) -> str:
    """The URL of the store, as it was given."""
    if settings.store_url:
        return settings.store_url
    return DEFAULT_STORE if is_broker(settings.broker_url) else settings.broker_url


_COMMAND_LINE = frozenset({f"{ENV_PREFIX}APP", f"{ENV_PREFIX}DEBUG"})
"""Variables that the command line reads, which are no settings."""


class Conf(Readers, Overriding, Mapping[str, Any]):
    """A program's settings, to be read and changed; `app.conf` is one.

    Settings are attributes and items, under present and old names: `conf.timezone`,
    `conf["timezone"]` and `conf.CELERY_TIMEZONE` are one. Dicts (`beat_schedule`, `ONCE`, …) can
    be changed in place.

    Of what sets a name, the last assignment wins over the environment as it was loaded, the
    environment over loaded sources, a later source over an earlier one, and all of them over
    `add_defaults`.

    What no setting is called is kept as a value of the program's own, to be read under its name.

    Raises:
        ConfigError: on setting what is almost called like a setting, or a value that is not valid.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._environment: dict[str, Any] = {}
        self._defaults: dict[str, Any] = {}
        self._own = OwnValues()
        self._notes: dict[str, str] = {}
        self._pending: list[Callable[[], None]] = []
        self._lent: set[str] = set()
        self._seen: dict[str, Any] = {}
        self._snapshot: Settings | None = None
        self._opened: Settings | None = None
        if values is not None:
            self.update(values)

    # Reading

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = self.name_of(name)
        if known is None:
            raise AttributeError(f"{name!r} is not a setting{suggest(name, known_names())}")
        return self._read(known)

    def __getitem__(self, name: str) -> Any:
        known = self.name_of(name)
        if known is None:
            raise KeyError(name)
        return self._read(known)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.name_of(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*described, *self.given())))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def given(self) -> list[str]:
        """The names that were set, by what they are called here; the program's own come last."""
        self._load_pending()
        return [*dict.fromkeys((*self._defaults, *self._values, *self._environment)), *self._own]

    def name_of(self, name: str) -> str | None:
        """What a setting, or a value of the program's own, is called here; None if none is so."""
        known = resolve(name)
        if known is None:
            self._load_pending()
            known = self._own.key_of(name)
        return known

    def __repr__(self) -> str:
        given = self._defaults | self._values | self._environment
        told = [f"{name}={masked(value, name)!r}" for name, value in sorted(given.items())]
        return f"Conf({', '.join(told)})"

    @property
    def notes(self) -> list[str]:
        """What the program's log should say about settings, in the order they were met."""
        self._load_pending()
        return [*self._notes.values(), *self._own.notes()]

    def note(self, said: Iterable[str]) -> None:
        """Add what the program's log should say of tasks, each text once."""
        self._notes.update({text: text for text in said})

    def settings(self) -> Settings:
        """Return all settings, checked and frozen; the same object until something changes.

        Raises:
            ConfigError: settings contradict each other, a dict was changed in place to something
                not valid, or a source that was to be loaded when needed cannot be.
        """
        self._load_pending()
        snapshot = self._snapshot
        seen = self._seen
        if snapshot is not None and (not seen or all(self._raw(n) == x for n, x in seen.items())):
            return snapshot
        layers = (*self._defaults, *self._values, *self._environment)
        given = {name for name in layers if name in described}
        snapshot = Settings(**{name: self._frozen(name) for name in given})
        self._refuse_late({name: getattr(snapshot, name) for name in READ_AT_OPENING})
        self._snapshot = snapshot
        self._seen = {name: copied(self._raw(name)) for name in self._lent}
        return snapshot

    def opened(self, settings: Settings | None) -> None:
        """Note that a store was opened with these settings: some cannot be changed any more.

        Args:
            settings: those that it read; None where there is no such store any more.
        """
        self._opened = settings

    # Changing

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self.update({name: value})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *sources: Mapping[str, Any], **values: Any) -> None:
        """Set several settings at once: all of them, or on an error none."""
        self._load_pending()
        spelled, own = one_spelling([*items(sources), *values.items()])
        self._keep(spelled, over=spelled)
        for name in spelled:
            self._environment.pop(name, None)
        self._own.keep(own, told=True)

    def update_known(self, values: Mapping[str, Any]) -> None:
        """The same, for settings only: any other name is an error."""
        for name in values:
            if resolve(name) is None:
                raise ConfigError(f"{name!r} is not a setting{suggest(name, known_names())}")
        self.update(values)

    def add_defaults(self, defaults: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Give what holds where nothing else sets a name; a function is called when needed.

        Raises:
            ConfigError: as `update` does; of a function, when a setting is first needed.
        """
        if isinstance(defaults, Mapping):
            self._add_defaults(defaults)
        else:
            late = defaults
            self._pending.append(lambda: self._add_defaults(late()))

    def _add_defaults(self, defaults: Mapping[str, Any]) -> None:
        spelled, own = one_spelling(defaults.items())
        taken = checked(spelled)
        self._defaults.update(taken)
        self._lent.update(name for name in taken if is_lent(name))
        self._own.keep({k: x for k, x in own.items() if k not in self._own}, told=True)
        self._snapshot = None

    def load(
        self,
        source: object,
        *,
        namespace: str | None = None,
        force: bool = False,
        silent: bool = False,
    ) -> None:
        """Load settings from a dict, a module, an object, or a dotted name of one.

        What is no setting is kept as a value of the program's own; of a module or an object that
        is its variables, but not what it imports and defines.

        Args:
            source: where to read; `"package.module"` and `"package.module:object"` are imported.
            namespace: take only names that begin with it, in upper case: `CELERY` for
                `CELERY_BROKER_URL`.
            force: import a dotted name now, not when a setting is first needed.
            silent: go on with the defaults (and a note) if a dotted name cannot be imported.

        Raises:
            ConfigError: the source cannot be imported or something in it is not valid. Without
                `force` a dotted name raises it when a setting is first needed.
        """
        if not isinstance(source, str):
            self._load_pending()
            self._load(source, namespace)
            return
        self._pending.append(partial(self._load_named, source, namespace, silent=silent))
        if force:
            self._load_pending()

    def load_envvar(
        self,
        variable: str,
        environ: Mapping[str, str],
        *,
        namespace: str | None = None,
        force: bool = False,
        silent: bool = False,
    ) -> bool:
        """Load the module that an environment variable names; return whether it names one.

        Raises:
            ConfigError: it is not set and `silent` is not either, or as `load` does.
        """
        name = environ.get(variable, "").strip()
        if name:
            self.load(name, namespace=namespace, force=force, silent=silent)
        elif not silent:
            raise ConfigError(
                f"the environment variable {variable} is not set: let it hold the name of the "
                "module with the settings"
            )
        return bool(name)

    def load_env(self, environ: Mapping[str, str]) -> None:
        """Let variables such as `RELIABLE_TASKS_BROKER_URL` override what sources say.

        Lists are written with commas, dicts as JSON. A variable that begins like a setting's and
        is none gets a note, not an error: container platforms set such variables unasked.

        Raises:
            ConfigError: the text does not fit the setting.
        """
        self._load_pending()
        spelled: dict[str, tuple[str, Any]] = {}
        ours = {name for name in environ if name.startswith(ENV_PREFIX)} - _COMMAND_LINE
        for variable in sorted(ours):
            known = resolve(variable.removeprefix(ENV_PREFIX).lower())
            if known is not None and known in described:
                spelled[known] = (variable, parsed(known, variable, environ[variable]))
            else:
                near = suggest(variable, [f"{ENV_PREFIX}{name.upper()}" for name in described])
                self._notes[variable] = f"{variable}: no setting has this name{near}"
        self._environment.update(checked(spelled))
        for name, (_, value) in spelled.items():
            self._add_notes(name, value)
        self._snapshot = None

    # Inside

    def _raw(self, name: str) -> Any:
        if name in self._environment:
            return self._environment[name]
        if name in self._values:
            return self._values[name]
        if name in self._defaults:
            return self._defaults[name]
        return getattr(_DEFAULTS, name) if name in described else NOTED_VALUES.get(name)

    def _read(self, name: str) -> Any:
        self._load_pending()
        if name in self._own:
            return self._own[name]
        value = self._raw(name)
        if is_lent(name):
            # Its reader may change it in place: let it be ours, and compare before each use.
            if value is getattr(_DEFAULTS, name):
                value = self._values[name] = dict(value)
            self._lent.add(name)
            self._seen.setdefault(name, copied(value))
        return value

    def _frozen(self, name: str) -> Any:
        value = self._raw(name)
        try:
            return described[name].kind.freeze(value)
        except ValueError as error:
            raise invalid(name, value, error) from None

    def _refuse_late(self, values: Mapping[str, Any]) -> None:
        """Refuse another value of what an open store has read."""
        if self._opened is None:
            return
        for name in READ_AT_OPENING & values.keys():
            was = getattr(self._opened, name)
            if described[name].kind.freeze(values[name]) != was:
                raise ConfigError(
                    f"{name}={shown(values[name], name)} comes too late: the store was opened with "
                    f"{name}={shown(was, name)}; set it before the first call, or make another App"
                )

    def _keep(
        self, spelled: Mapping[str, tuple[str, Any]], over: Container[str] = frozenset()
    ) -> None:
        """Keep what is valid; `over`: which names count more than the environment."""
        taken = checked(spelled)
        self._refuse_late(
            {n: x for n, x in taken.items() if n in over or n not in self._environment}
        )
        self._values.update(taken)
        self._lent.update(name for name in taken if is_lent(name))
        for name in taken:
            self._add_notes(name, spelled[name][1])
        self._snapshot = None

    def _add_notes(self, name: str, value: Any) -> None:
        said = note(name, value)
        if said is not None:
            self._notes[name] = said

    def _load_pending(self) -> None:
        while self._pending:
            # It is taken out first: the module that is imported may itself look at this object.
            load = self._pending.pop(0)
            try:
                load()
            except BaseException:
                # Nothing may run with half its settings: the next use fails in the same way.
                self._pending.insert(0, load)
                raise

    def _load_named(self, dotted: str, namespace: str | None, *, silent: bool) -> None:
        try:
            source = import_object(dotted)
        except ConfigError as error:
            if not silent:
                raise
            self._notes[f"module {dotted}"] = f"{error}; going on without it"
            return
        self._load(source, namespace)

    def _load(self, source: object, namespace: str | None) -> None:
        spelled, own = one_spelling(pairs(source, namespace), namespace)
        self._keep(spelled)
        self._own.keep(own, told=isinstance(source, Mapping) or namespace is not None)
