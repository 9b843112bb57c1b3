"""A private ZooKeeper: one server with a small heap."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.bridge.servers import Server, program

__all__ = ["ZooKeeper"]

JAR = "/usr/share/java/zookeeper.jar"

SETTINGS = """
tickTime=500
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=ruok
maxClientCnxns=0
forceSync=no
preAllocSize=64
"""


class ZooKeeper(Server):
    """A server; tests tell their queues apart by their names."""

    @property
    def url(self) -> str:
        """As Celery's `broker_url` has it."""
        return f"zookeeper://127.0.0.1:{self.port}/"

    def _commands(self) -> list[list[str]]:
        jar = program(JAR if Path(JAR).exists() else None, "zookeeperd")
        settings = self.dir / "zoo.cfg"
        settings.write_text(SETTINGS.format(folder=self.dir, port=self.port))
        java = [program(shutil.which("java"), "zookeeperd"), "-Xms16m", "-Xmx64m"]
        java += ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jar]
        main = "org.apache.zookeeper.server.ZooKeeperServerMain"
        return [[*java, "-Dzookeeper.jmx.log4j.disable=true", main, str(settings)]]

    def _is_ready(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 5) as probe:
            probe.sendall(b"ruok")
            return probe.recv(16) == b"imok"
