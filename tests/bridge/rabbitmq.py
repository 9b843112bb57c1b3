"""A private RabbitMQ: its own node name, cookie, folders and port mapper, all on loopback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import amqp

from tests.bridge.servers import Server, program
from tests.redis_server import free_port

__all__ = ["RabbitMQ"]

# Debian's own script changes the user and refuses anybody but root; the one below it does not.
SCRIPT = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"

SETTINGS = """
listeners.tcp.1 = 127.0.0.1:{port}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitMQ(Server):
    """A broker; tests tell their queues apart by their names."""

    def __init__(self) -> None:
        self._mapper_port = free_port()
        super().__init__()

    @property
    def url(self) -> str:
        """As Celery's `broker_url` has it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def connect(self) -> amqp.Connection:
        """An open connection, to be closed by the caller."""
        connection = amqp.Connection(host=f"127.0.0.1:{self.port}", connect_timeout=5)
        connection.connect()
        return connection

    def _commands(self) -> list[list[str]]:
        scripts = sorted(map(str, Path("/").glob(SCRIPT)))
        found = scripts[-1] if scripts else shutil.which("rabbitmq-server")
        server = program(found, "rabbitmq-server")
        mapper = program(shutil.which("epmd"), "rabbitmq-server")
        (self.dir / "rabbitmq.conf").write_text(SETTINGS.format(port=self.port))
        (self.dir / "enabled_plugins").write_text("[].\n")
        return [[mapper, "-port", str(self._mapper_port), "-address", "127.0.0.1"], [server]]

    def _environment(self) -> dict[str, str]:
        # Without the port mapper's environment the node would start a daemon that nobody ends.
        loopback = "-kernel inet_dist_use_interface {127,0,0,1} -setcookie tests"
        return {
            "HOME": str(self.dir),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_CONF_ENV_FILE": str(self.dir / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.dir / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.dir / "generated"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.dir / "mnesia"),
            "RABBITMQ_NODENAME": f"rt-{os.getpid()}-{self.dir.name[-6:]}@localhost",
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 +A 4 {loopback}",
            "detached": "1",  # the script becomes the server, instead of waiting beside it
            "RABBITMQ_ALLOW_INPUT": "",
        }

    def _is_ready(self) -> bool:
        try:
            self.connect().close()
        except amqp.AMQPError:  # it listens, and is not through with its start
            return False
        return True
