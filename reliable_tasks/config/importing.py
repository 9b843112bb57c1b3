"""Import what a program's own configuration names."""

import importlib

from reliable_tasks.errors import ConfigError

__all__ = ["import_object"]


def import_object(dotted: str) -> object:
    """Import the module or object that the program names: `a.b`, `a.b:c` or `a.b.c`.

    Raises:
        ConfigError: there is none, or it imports something that is not there. What else goes
            wrong inside the module is raised as it is.
    """
    module, _, attribute = dotted.partition(":")
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigError(f"the configuration {dotted!r} is not the dotted name of a module")
    try:
        found: object = importlib.import_module(module)
    except ImportError as error:
        parent, dot, last = module.rpartition(".")
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        if absent and dot and not attribute:
            return import_object(f"{parent}:{last}")
        raise ConfigError(
            f"the configuration {dotted!r} cannot be imported ({error}): check the name, and that "
            "its directory is on the path"
        ) from error
    try:
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except AttributeError as error:
        raise ConfigError(f"the configuration {dotted!r} is not there: {error}") from error
    return found
