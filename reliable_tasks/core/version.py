"""The version of the package, for what lies below it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
