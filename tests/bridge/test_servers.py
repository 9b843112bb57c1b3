"""The real systems start, keep what is durable through a kill, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import amqp
import pymemcache
import pytest
import sqlalchemy
from kazoo.client import KazooClient
from kazoo.retry import KazooRetry

from tests.bridge.servers import program
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.bridge.memcached import Memcached
    from tests.bridge.rabbitmq import RabbitMQ
    from tests.bridge.zookeeper import ZooKeeper
    from tests.contrib.postgres import Postgres

ENDLESS = """
import os, signal
from tests.bridge.memcached import Memcached
server = Memcached()
print(server.pid, server.dir, flush=True)
signal.pause()
"""


def test_rabbitmq_keeps_a_confirmed_message_through_a_kill(rabbitmq: RabbitMQ) -> None:
    with rabbitmq.connect() as connection:
        connection.channel().queue_declare("kept", durable=True, auto_delete=False)
        sender = connection.channel()
        message = amqp.Message("here", delivery_mode=2)
        sender.basic_publish_confirm(message, routing_key="kept")
    rabbitmq.restart()
    with rabbitmq.connect() as connection:
        assert connection.channel().basic_get("kept", no_ack=True).body == "here"


def test_zookeeper_keeps_a_node_through_a_kill(zookeeper: ZooKeeper) -> None:
    client = KazooClient(f"127.0.0.1:{zookeeper.port}")
    client.start(PATIENCE_S)
    try:
        client.create("/kept", b"here")
        zookeeper.restart()
        patient = KazooRetry(max_tries=-1, deadline=PATIENCE_S)
        assert patient(client.get, "/kept")[0] == b"here"
    finally:
        client.stop()
        client.close()


def test_memcached_answers(memcached: Memcached) -> None:
    client = pymemcache.Client(("127.0.0.1", memcached.port), default_noreply=False)
    client.set("a", b"1")
    assert client.get("a") == b"1"
    client.close()


def test_postgresql_answers(postgres_server: Postgres) -> None:
    engine = sqlalchemy.create_engine(postgres_server.url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    engine.dispose()


def test_a_server_ends_with_a_test_process_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().decode().split()
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and (_lives(int(pid)) or Path(folder).exists()):
        time.sleep(0.05)
    assert not _lives(int(pid))
    assert not Path(folder).exists()


def _lives(pid: int) -> bool:
    """Whether it runs; an orphan that has ended waits for us to ask."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()


def test_a_missing_server_fails_and_says_what_to_install() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"run `apt-get install .* memcached`"):
        program(None, "memcached")
