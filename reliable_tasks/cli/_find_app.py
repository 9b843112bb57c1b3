"""Finding the app that `-A` names."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from reliable_tasks.app import App
from reliable_tasks.errors import suggest

from ._variables import DEBUG_VARIABLE

__all__ = ["find_app"]

_USUAL_NAMES = ("app", "celery")


def find_app(text: str) -> App:
    """The app that `module`, `module:attribute` or `module.attribute` names.

    In a module without an attribute it is the one called `app` or `celery`, else the only one
    there; in a package also that of its module `celery`.

    Raises:
        click.UsageError: there is none, or the module cannot be imported.
    """
    name, _, attribute = text.partition(":")
    if not name or name.startswith(".") or "/" in name:
        dotted = ".".join(part for part in name.removesuffix(".py").split("/") if part.strip("."))
        raise _mistake(
            text, f"write a module as Python imports it: -A {dotted or 'package.module'}"
        )
    if name.endswith(".py"):
        raise _mistake(text, f"leave out the .py: -A {name.removesuffix('.py')}")
    module = _import(name)
    if module is None and "." in name and not attribute:
        parent, _, last = name.rpartition(".")
        module, attribute = _import(parent), last
    if module is None:
        raise _mistake(text, f"there is no module {name!r} (looked from {Path.cwd()})")
    return _named(module, attribute, text) if attribute else _only(module, text)


def _mistake(text: str, what: str) -> click.UsageError:
    return click.UsageError(f"-A {text}: {what}", click.get_current_context(silent=True))


def _import(name: str) -> ModuleType | None:
    """The module, or None where there is no such module.

    Raises:
        click.UsageError: it is there and raised while it was imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _failed(name: str, error: BaseException) -> click.UsageError:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    place = f" ({os.path.relpath(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    said = f"its import raised {type(error).__name__}: {error}{place}"
    return _mistake(name, f"{said}; with {DEBUG_VARIABLE}=1 in the environment: the traceback")


def _named(module: ModuleType, path: str, text: str) -> App:
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = [key for key, value in vars(module).items() if isinstance(value, App)]
            apps = f"; its apps are {', '.join(sorted(known))}" if known else ""
            near = suggest(part, known)
            raise _mistake(text, f"module {module.__name__} has no {part!r}{near or apps}")
        found = getattr(found, part)
    if isinstance(found, ModuleType):
        return _only(found, text)
    if not isinstance(found, App):
        raise _mistake(text, f"{path} is not an App but a {type(found).__name__}")
    return found


def _only(module: ModuleType, text: str) -> App:
    for name in _USUAL_NAMES:
        found = getattr(module, name, None)
        if isinstance(found, App):
            return found
    apps = {id(v): (k, v) for k, v in vars(module).items() if isinstance(v, App)}
    if len(apps) == 1:
        return next(iter(apps.values()))[1]
    if apps:
        names = ", ".join(sorted(name for name, _ in apps.values()))
        raise _mistake(text, f"it has several apps ({names}): write -A {module.__name__}:NAME")
    if hasattr(module, "__path__"):
        inner = _import(f"{module.__name__}.celery")
        if inner is not None:
            return _only(inner, text)
    raise _mistake(text, f"module {module.__name__} has no App in it")
