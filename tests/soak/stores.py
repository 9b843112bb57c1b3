"""The stores of soaks, and the faults that can be injected into them."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

import apsw

from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.soak.plan import Fault

__all__ = ["RedisHarness", "SqliteHarness", "StoreHarness"]

DISK_BYTES = 1 << 30
IMPATIENT = "?socket_timeout=1&socket_connect_timeout=1"
VERBS = ("exchange", "enqueue", "heartbeat", "reap", "fire", "step", "revoke", "sessions")


class StoreHarness(Protocol):
    """A store, and the faults that it can have."""

    @property
    def url(self) -> str:
        """The store as workers, beats and producers reach it."""

    @property
    def own_url(self) -> str:
        """The store as the soak itself reaches it."""

    def begin(self, fault: Fault) -> None:
        """Inject the fault."""

    def end(self, fault: Fault) -> None:
        """End the fault."""

    def close(self) -> None:
        """Leave the store's files in the soak's folder and end whatever runs."""


class SqliteHarness:
    """A file on a small disk of its own.

    Where no disk can be mounted (that takes root), the size of files is limited instead, for the
    processes that there are.

    Args:
        folder: the soak's.
        pids: gives the processes that write.
    """

    def __init__(self, folder: Path, pids: Callable[[], Iterable[int]]) -> None:
        self._folder = folder
        self._disk = folder / "disk"
        self._disk.mkdir()
        self._pids = pids
        self._mounted = self._mount(f"size={DISK_BYTES}", "-t", "tmpfs", "none")
        self._path = self._disk / "store.db"
        self._blocker: apsw.Connection | None = None
        self.url = self.own_url = f"sqlite:///{self._path}"

    def begin(self, fault: Fault) -> None:
        if fault.kind == "lock the database":
            self._blocker = self._connect()
            with contextlib.suppress(apsw.BusyError):  # one that is stopped holds it already
                self._blocker.execute("BEGIN IMMEDIATE")
            return
        connection = self._connect()  # what the log's file has is room that need not be asked for
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        if self._mounted:
            disk = os.statvfs(self._disk)
            used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            self._mount(f"remount,size={used}")
        else:
            self._limit(self._path.stat().st_size)

    def end(self, fault: Fault) -> None:
        if self._blocker is not None:
            self._blocker.close()  # which rolls back
            self._blocker = None
        elif self._mounted:
            self._mount(f"remount,size={DISK_BYTES}")
        else:
            self._limit(resource.RLIM_INFINITY)

    def close(self) -> None:
        if self._blocker is not None:
            self._blocker.close()
        if self._mounted:
            shutil.copytree(self._disk, self._folder / "store")
            subprocess.run(["umount", str(self._disk)], check=True)

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(500)  # whoever waits here cannot let the stopped go on
        return connection

    def _mount(self, option: str, *words: str) -> bool:
        command = ["mount", "-o", option, *words, str(self._disk)]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            return False

    def _limit(self, size: int) -> None:
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


class RedisHarness:
    """A server with an append-only file, reached by way of a proxy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = RedisServer(appendonly=True, appendfsync="always")
        self._proxy = Proxy(self._server.port, verb_of)
        self.url = self._proxy.url + IMPATIENT

    @property
    def own_url(self) -> str:
        return self._server.url

    def begin(self, fault: Fault) -> None:
        match fault.kind:
            case "restart redis":
                self._server.shut_down()
            case "kill redis":
                self._server.kill9()
            case "blackhole":
                self._proxy.blackhole()
            case "slow network":
                self._proxy.delay(0.2)
            case "cut the network":
                self._proxy.refuse()
                self._proxy.reset_all()
            case "lose replies":
                dice = random.Random(fault.dice)
                for _ in range(20):
                    self._proxy.lose_next_reply(dice.choice(VERBS), skip=dice.randrange(3))
            case "fill redis":
                self._server.client().config_set("maxmemory", 1)

    def end(self, fault: Fault) -> None:
        match fault.kind:
            case "restart redis" | "kill redis":
                self._server.start()
                self._proxy.target = ("127.0.0.1", self._server.port)
            case "fill redis":
                self._server.client().config_set("maxmemory", 0)
            case _:
                self._proxy.restore()

    def close(self) -> None:
        self._proxy.close()
        if self._server.running:
            self._server.shut_down()
        shutil.copytree(self._server.dir, self._folder / "store", ignore=_sockets)
        self._server.stop()


def _sockets(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock")]
