"""The store's SQL, one statement to a file, loaded once from the package's resources."""

import functools
import importlib.resources

__all__ = ["load", "load_schema"]


@functools.cache
def load(name: str) -> str:
    """The text of `queries/<name>.sql` (`table/query`), without the comments at its head."""
    text = (importlib.resources.files(__package__) / "queries" / f"{name}.sql").read_text("utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()


@functools.cache
def load_schema(name: str) -> str:
    """The text of a script beside this module: the schema, or a migration."""
    return (importlib.resources.files(__package__) / f"{name}.sql").read_text("utf-8")
