"""SQL statements, one to a file, loaded once from a package's `sql` folder."""

import functools
import importlib.resources

__all__ = ["load_sql"]


@functools.cache
def load_sql(package: str, name: str) -> str:
    """The text of `<package>/sql/<name>.sql`.

    Args:
        package: the dotted name of the package that has the `sql` folder, such as "locks".
        name: the file's name without its ending.

    Raises:
        FileNotFoundError: no such file.
    """
    return (importlib.resources.files(package) / "sql" / f"{name}.sql").read_text("utf-8")
