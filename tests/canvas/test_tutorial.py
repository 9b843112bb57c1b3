"""The page-fetching example in both of its right ways, with pages from a real HTTP server."""

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.canvas.helpers import Harness
from tests.patience import PATIENCE_S


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"<title>Page {self.path}</title>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/one"
        server.shutdown()
        thread.join()


@pytest.fixture
def stored() -> dict[str, Any]:
    """Stands for the table of pages."""
    return {}


@pytest.fixture
def tasks(harness: Harness, stored: dict[str, Any]) -> Any:
    app = harness.app

    class Tasks:
        @staticmethod
        @app.task()
        def fetch_page(url: str) -> str:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
                return str(reply.read().decode())

        @staticmethod
        @app.task()
        def parse_page(page: str) -> str:
            return page.removeprefix("<title>").removesuffix("</title>")

        @staticmethod
        @app.task(ignore_result=True)
        def store_page_info(info: str, url: str) -> None:
            stored[url] = info

    return Tasks


def test_as_a_chain(tasks: Any, harness: Harness, stored: dict[str, Any], url: str) -> None:
    chain = tasks.fetch_page.s(url) | tasks.parse_page.s() | tasks.store_page_info.s(url)
    result = chain()
    assert result.get() is None
    assert stored == {url: "Page /one"}
    harness.drain()
    assert harness.unended() == []


def test_as_callbacks(tasks: Any, harness: Harness, stored: dict[str, Any], url: str) -> None:
    result = tasks.fetch_page.apply_async(
        (url), link=[tasks.parse_page.s(), tasks.store_page_info.s(url)]
    )
    assert result.get() == "<title>Page /one</title>"
    harness.drain()
    assert stored == {url: "<title>Page /one</title>"}
    assert [child.get() for child in result.children] == ["Page /one", None]
