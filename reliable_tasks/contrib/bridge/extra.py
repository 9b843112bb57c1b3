"""The libraries that the bridge needs, and how to get them."""

import importlib.util
import sys

__all__ = ["EXTRA", "installed"]

EXTRA = "pip install 'reliable-tasks[bridge]'"


def installed(name: str) -> bool:
    """Whether a package is there, without importing it."""
    if name in sys.modules:  # kombu puts a module there of which importlib cannot tell
        return sys.modules[name] is not None
    return importlib.util.find_spec(name) is not None
