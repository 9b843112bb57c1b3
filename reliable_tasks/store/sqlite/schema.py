"""The schema of a file: made in a new one, migrated in an older one, refused in a newer one."""

import apsw

from locks.statements import load_sql
from reliable_tasks.errors import StoreError, StoreVersionError
from reliable_tasks.store.sqlite.stamp import APPLICATION_ID, fresh_stamp, version_of, with_version
from reliable_tasks.store.sqlite.statements import load, load_schema

__all__ = ["MIGRATIONS", "VERSION", "prepare"]

VERSION: int = 4
BASE: int = 2
"""The version that `schema.sql` makes; a new file is brought up to date like an older one."""
MIGRATIONS: dict[int, str] = {1: "schema_2", 2: "schema_3", 3: "schema_4"}
"""The name of the script that takes a file from that version to the next one."""


def prepare(connection: apsw.Connection, location: str, namespace: str) -> bool:
    """Make the tables where there are none, or bring them up to date; returns whether it did.

    Raises:
        StoreVersionError: a newer version of reliable_tasks wrote the file.
        StoreError: the file belongs to another program, or to another namespace.
    """
    with connection:  # in one snapshot: another process may be making the tables just now
        version = _version_of(connection, location)
    if version < VERSION:
        connection.transaction_mode = "IMMEDIATE"
        with connection:
            _upgrade(connection, location, namespace)
    (found,) = connection.execute(load("store/namespace")).fetchall()[0]
    if found != namespace:
        raise StoreError(
            f"{location} belongs to the namespace {found!r}, not to {namespace!r}: "
            "give each namespace a file of its own"
        )
    return version < VERSION


def _upgrade(connection: apsw.Connection, location: str, namespace: str) -> None:
    """Runs in a transaction; another process may have done it meanwhile."""
    version = _version_of(connection, location)
    stamp = int(connection.pragma("user_version")) if version else fresh_stamp(VERSION)
    if version == 0:
        connection.execute(load_sql("locks", "schema"))
        connection.execute(load_schema("schema"))
        connection.execute(load("store/put"), (namespace,))
        connection.pragma("application_id", APPLICATION_ID)
        version = BASE
    while version < VERSION:
        connection.execute(load_schema(MIGRATIONS[version]))
        version += 1
    connection.pragma("user_version", with_version(stamp, version))


def _version_of(connection: apsw.Connection, location: str) -> int:
    """The version of the schema; 0 for a file without one."""
    application = connection.pragma("application_id")
    if application != APPLICATION_ID:
        foreign = connection.execute(load("store/foreign_tables")).fetchall()
        if application or foreign:
            what = f"it has a table {foreign[0][0]!r}" if foreign else f"id {application:#x}"
            raise StoreError(
                f"{location} is the database of another program ({what}); choose another path"
            )
        return 0
    version = version_of(int(connection.pragma("user_version")))
    if version > VERSION:
        raise StoreVersionError(
            f"{location} has version {version} of the schema and this reliable_tasks knows "
            f"{VERSION}: install the newer release that wrote it, or choose another path"
        )
    return version
