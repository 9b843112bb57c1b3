"""A private Memcached."""

from __future__ import annotations

import os
import shutil
import socket

from tests.bridge.servers import Server, program

__all__ = ["Memcached"]


class Memcached(Server):
    """A server of 16 megabytes."""

    @property
    def url(self) -> str:
        """As Celery's `result_backend` has it."""
        return f"cache+memcached://127.0.0.1:{self.port}/"

    def _commands(self) -> list[list[str]]:
        server = program(shutil.which("memcached"), "memcached")
        command = [server, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-m", "16"]
        return [[*command, "-t", "1", *(["-u", "root"] if os.geteuid() == 0 else [])]]

    def _is_ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 5) as probe:
            probe.sendall(b"version\r\n")
            return probe.recv(64).startswith(b"VERSION")
