"""Every public name of the installed Celery, and whether it is here."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from celery.app.defaults import NAMESPACES, flatten
from celery.bin.celery import celery as command

import reliable_tasks
from reliable_tasks import App, chain, chord, group
from reliable_tasks.bodies.celery_names import NotHere
from reliable_tasks.celery_names import differs, instead
from reliable_tasks.cli import cli
from reliable_tasks.config.names import NOTED, REFUSED, resolve
from reliable_tasks.control import Control, Inspect
from reliable_tasks.results.sets import ResultSet
from reliable_tasks.schedules import crontab, crontab_parser, schedule, solar

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULES = (
    *("canvas", "signals", "exceptions", "schedules", "result", "states", "utils", "utils.log"),
    *("app", "app.task", "app.control", "app.base", "beat", "bootsteps", "loaders", "app.log"),
    *("app.amqp", "app.defaults", "app.routes", "app.trace", "app.utils", "app.registry"),
    *("contrib.testing.worker", "contrib.testing.app", "contrib.pytest", "contrib.abortable"),
    *("contrib.django.task", "contrib.rdb", "contrib.migrate"),
    *("events", "events.receiver", "events.state", "platforms", "concurrency", "worker"),
    *("backends.base", "local"),
)
"""Those of Celery's modules that programs import from, below `celery`."""

CLASSES = {
    "App": "Celery",
    "Task": "app.task.Task",
    "request": "app.task.Context",
    "AsyncResult": "result.AsyncResult",
    "GroupResult": "result.GroupResult",
    "ResultSet": "result.ResultSet",
    "EagerResult": "result.EagerResult",
    **{
        name: f"canvas.{name}"
        for name in ("Signature", "chain", "group", "chord", "chunks", "xmap", "xstarmap")
    },
    **{name: f"schedules.{name}" for name in ("crontab", "schedule", "solar", "crontab_parser")},
    "Control": "app.control.Control",
    "Inspect": "app.control.Inspect",
}
"""What programs use the names of, and where Celery has it."""


@dataclass(frozen=True)
class Found:
    """One name of Celery's.

    Attributes:
        section: the class or module that it belongs to, or `settings`, `commands`.
        name: as it is written there.
        here: whether it is here.
        noted: what else is known of it, if not from the table of names.
    """

    section: str
    name: str
    here: bool
    noted: str | None = None

    @property
    def words(self) -> str | None:
        """How it differs, or what is here instead; None: not at all, or nobody has said."""
        return self.noted or (differs if self.here else instead)(self.section, self.name)


def found() -> Iterator[Found]:
    """All of them, in the order of the page."""
    yield from _module("celery", importlib.import_module("celery"), reliable_tasks)
    app = App("names", broker="sqlite://", set_as_current=False)
    with app:
        ours = _instances(app)
        for section, path in CLASSES.items():
            theirs = _public(_class(path))
            yield from (Found(section, n, n in ours[section]) for n in theirs)
    for name in MODULES:
        module = importlib.import_module(f"celery.{name}")
        yield from _module(f"celery.{name}", module, _import(f"reliable_tasks.{name}"))
    for name in sorted(name for name, _ in flatten(NAMESPACES)):
        noted = NOTED.get(name) or REFUSED.get(name)
        yield Found("settings", name, resolve(name) is not None and name not in REFUSED, noted)
    yield from _commands(command, cli, ())


def _class(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(f"celery.{module}".rstrip(".")), name)
    return found


def _instances(app: App) -> dict[str, set[str]]:
    """What each of our classes has: also what only its instances have."""

    @app.task(bind=True)
    def here(self: Any) -> Any:
        return set(dir(self.request))

    task = app.tasks[here.name]
    sig = task.s()
    made: dict[str, Any] = {
        "App": app,
        "Task": task,
        "AsyncResult": app.AsyncResult("1"),
        "GroupResult": app.GroupResult("1", []),
        "ResultSet": _made(ResultSet, []),
        "EagerResult": task.apply(),
        "Signature": sig,
        "chain": chain(sig, sig),
        "group": group(sig),
        "chord": chord([sig], sig),
        "chunks": task.chunks([(1,)], 1),
        "xmap": task.map([1]),
        "xstarmap": task.starmap([(1,)]),
        "crontab": crontab(),
        "schedule": schedule(1),
        "solar": solar("sunset", 1, 1),
        "crontab_parser": crontab_parser(),
        "Control": Control(app),
        "Inspect": Inspect(app),
    }
    names = {section: _names(value) for section, value in made.items()}
    return {**names, "request": task.apply().get()}


def _names(value: Any) -> set[str]:
    """Its attributes, without those that only say what is here instead."""
    static = inspect.getattr_static
    return {name for name in dir(value) if not isinstance(static(value, name, None), NotHere)}


def _made(cls: Any, *args: Any) -> Any:
    return cls(*args)


def _public(thing: Any) -> list[str]:
    return sorted(
        name for name in dir(thing) if not name.startswith("_") and not hasattr(dict, name)
    )


def _module(section: str, theirs: ModuleType, ours: ModuleType | None) -> Iterator[Found]:
    for name in _exported(theirs):
        yield Found(section, name, ours is not None and _has(ours, name))


def _exported(module: ModuleType) -> list[str]:
    """What a module offers: its `__all__`, else what it defines itself."""
    if module.__name__ == "celery":
        names = {n for n in dir(module) if not n.startswith("_")}
        names = {n for n in names if not isinstance(getattr(module, n), ModuleType)}
        return sorted(names)
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", module.__name__) == module.__name__
    )


def _has(module: ModuleType, name: str) -> bool:
    try:
        return hasattr(module, name)
    except ImportError:  # it says in words what is here instead
        return False


def _import(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return None


def _commands(
    theirs: click.Command, ours: click.Command | None, path: tuple[str, ...]
) -> Iterator[Found]:
    """A command and its options, then the commands in it."""
    if path:
        hidden = ours.help if ours is not None and ours.hidden else None
        yield Found("commands", " ".join(path), ours is not None and not hidden, hidden)
    taken = {o: p for p in ours.params for o in (*p.opts, *p.secondary_opts)} if ours else {}
    for param in theirs.params:
        if ours is None or not isinstance(param, click.Option):
            continue
        for option in (*param.opts, *param.secondary_opts):
            mine = taken.get(option)
            noted = mine.help if isinstance(mine, click.Option) and mine.hidden else None
            yield Found("commands", " ".join((*path, option)), mine is not None, noted)
    if isinstance(theirs, click.Group):
        for name in sorted(theirs.commands):
            inner = isinstance(ours, click.Group) and ours.get_command(click.Context(ours), name)
            yield from _commands(theirs.commands[name], inner or None, (*path, name))
