"""Messages sent by the workers of a real uWSGI, which forks in C, without Python's knowing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITE = """
import json
import os

from reliable_tasks import App

app = App("site", broker=os.environ["STORE"])
order = app.task(name="order")(str)
order.delay("at import")

def application(environ, start_response):
    value = environ["PATH_INFO"]
    handle = order.delay(value)
    start_response("200 OK", [])
    return [json.dumps([os.getpid(), handle.id, handle.args == (value,)]).encode()]
"""
REQUESTS = 60
WORKERS = 3


class Connection(http.client.HTTPConnection):
    """Over a unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self.host)


@pytest.fixture(params=["", "--enable-threads --threads=2", "--lazy-apps"])
def site(request: pytest.FixtureRequest, tmp_path: Path, store_url: str) -> Iterator[str]:
    """The path of the socket of a running site."""
    (tmp_path / "site_app.py").write_text(SITE, "utf-8")
    address = f"{tmp_path}/http"
    uwsgi = [sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()"]
    log = (tmp_path / "log").open("wb")
    served = subprocess.Popen(
        [
            *uwsgi, "--master", "--die-on-term", "--need-app", f"--processes={WORKERS}",
            f"--http-socket={address}", "--wsgi-file=site_app.py", *request.param.split(),
        ],
        cwd=tmp_path, env=os.environ | {"STORE": store_url}, start_new_session=True,
        stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_until(lambda: served.poll() is not None or _answers(address), "uWSGI", PATIENCE_S)
        assert served.poll() is None, (tmp_path / "log").read_text("utf-8")
        yield address
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()
        log.close()


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(address) == 0


def _ask(address: str, number: int) -> Any:
    connection = Connection(address)
    connection.request("GET", f"/{number}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_each_worker_of_uwsgi_sends_messages_of_its_own(site: str, store_url: str) -> None:
    with ThreadPoolExecutor(2 * WORKERS) as users:
        answers: list[Any] = []
        for _ in range(50):  # a busy machine may let one worker answer a whole round
            answers += users.map(lambda n: _ask(site, n), range(REQUESTS))
            if len({pid for pid, _, _ in answers}) > 1:
                break
    assert len({pid for pid, _, _ in answers}) > 1
    assert len({message for _, message, _ in answers}) == len(answers)
    assert all(own for _, _, own in answers)
    app = App("reader", broker=store_url, set_as_current=False)
    imported = sum(app.store.counts().states.values()) - len(answers)
    assert 1 <= imported <= 1 + WORKERS
    app.close()
