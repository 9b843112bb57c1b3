"""Workflows through real workers: the tutorial's programs, and chords whose workers are killed."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import chord, signature
from reliable_tasks.core.message import State
from reliable_tasks.store.values import AuditQuery
from tests.patience import PATIENCE_S
from tests.process.harness import wait_until
from tests.tutorial.programs import write_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reliable_tasks.store.values import Record
    from tests.process.harness import Place

CHORD_SIZE = 10_000
AT_ONCE = 1000

CELE = """
from celery import Celery

app = Celery('cele', broker='amqp://guest@localhost//')

@app.task
def add(x, y):
    return x + y

@app.task
def xsum(values):
    return sum(values)
"""

SIGNATURES = """
from cele import add
print(add.signature((2, 2), countdown=10))
print(add.s(2, 2))
print(add.s(2, 2).delay().get(timeout=100))
print(add.s(2, 2).apply_async().get(timeout=100))
partial_s = add.s(1)
print(partial_s(2))
print(partial_s.delay(3).get(timeout=100))
"""

CANVAS = """
from celery import chain, chord, group
from cele import add, xsum

result = chain(add.s(1, 2), add.s(3), add.s(4)) # 1+2+3+4
print(result().get())
print((add.s(1, 2) | add.s(3) | add.s(4))().get())
print((add.s(1, 2) | add.si(10, 20) | add.s(4))().get())
print((add.s(1, 2) | add.signature((10, 20), immutable=True) | add.s(5))().get())
print(group(add.s(1, 2), add.s(3,4), add.s(5,6))().get())
print(chord((add.s(i, i) for i in xrange(4)), xsum.s())().get())
"""

# The libraries that the tutorial only names: its HTTP client, its parser, its model of a table.
PAGES = """
import json
import os
import re
import urllib.request
from types import SimpleNamespace
from celery import Celery

app = Celery('pages', broker='amqp://guest@localhost//')

def get(url):
    with urllib.request.urlopen(url, timeout=100) as reply:
        return reply.read().decode()

def parse_document(page):
    return re.search('<title>(.*)</title>', page)[1]

def create(url, info):
    with open('pages.jsonl', 'a') as table:
        table.write(json.dumps([url, info]) + '\\n')

myhttplib = SimpleNamespace(get=get)
myparser = SimpleNamespace(parse_document=parse_document)
PageInfo = SimpleNamespace(objects=SimpleNamespace(create=create))

def update_page_info(url):
    # fetch_page -> parse_page -> store_page
    chain = fetch_page.s(url) | parse_page.s() | store_page_info.s(url)
    chain()

@app.task()
def fetch_page(url):
    return myhttplib.get(url)

@app.task()
def parse_page(page):
    return myparser.parse_document(page)

@app.task(ignore_result=True)
def store_page_info(info, url):
    PageInfo.objects.create(url=url, info=info)
"""

FIRST_WAY = """
import sys
from pages import update_page_info
update_page_info(sys.argv[1])
"""

SECOND_WAY = """
import sys
from pages import fetch_page, parse_page, store_page_info
url = sys.argv[1]
fetch_page.apply_async((url), link=[parse_page.s(), store_page_info.s(url)])
"""


class Site(http.server.ThreadingHTTPServer):
    """A site of one page, which counts its visitors."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.visits = list[str]()
        self.url = f"http://127.0.0.1:{self.server_port}/one"


class Visit(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Site)
        self.server.visits.append(self.path)
        body = f"<title>Page {self.path}</title>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def stored_pages(place: Place) -> list[Any]:
    """The rows of the program's table, once there are any."""
    table = place.path / "pages.jsonl"
    wait_until(lambda: table.exists() and table.read_text().endswith("\n"), "a page is stored")
    return [json.loads(line) for line in table.read_text().splitlines()]


def wait_all_ended(place: Place, count: int) -> None:
    wait_until(
        lambda: place.store.counts().states == {State.SUCCEEDED: count}, f"{count} have succeeded"
    )


def test_the_tutorials_signatures_chain_pipe_si_group_and_chord(place: Place) -> None:
    write_program(place, "cele.py", CELE)
    write_program(place, "signatures.py", SIGNATURES)
    write_program(place, "canvas.py", CANVAS.replace("from celery", "from reliable_tasks"))
    place.start_worker("-c", "2", module="cele", ready=False)
    shown = place.python("signatures.py").splitlines()
    assert shown == ["cele.add(2, 2)", "cele.add(2, 2)", "4", "4", "3", "4"]
    assert place.python("canvas.py").splitlines() == ["10", "10", "34", "35", "[3, 7, 11]", "12"]


def test_the_tutorials_first_right_way_to_fetch_a_page(place: Place, site: Site) -> None:
    write_program(place, "pages.py", PAGES)
    place.write("main.py", FIRST_WAY)
    place.start_worker("-c", "2", module="pages", ready=False)
    place.python("main.py", site.url)
    assert stored_pages(place) == [[site.url, "Page /one"]]
    assert site.visits == ["/one"]
    wait_all_ended(place, 3)


def test_the_tutorials_second_right_way_to_fetch_a_page(place: Place, site: Site) -> None:
    write_program(place, "pages.py", PAGES)
    place.write("main.py", SECOND_WAY)
    place.start_worker("-c", "2", module="pages", ready=False)
    place.python("main.py", site.url)
    assert stored_pages(place) == [[site.url, "<title>Page /one</title>"]], "each link got the page"
    assert site.visits == ["/one"]
    wait_all_ended(place, 3)


CHORDS = """
import os
from reliable_tasks import App
from tests.process.effects import mark

app = App("chords", broker=os.environ["STORE_URL"])

@app.task(name="add")
def add(x, y):
    return x + y

@app.task(name="gather")
def gather(values):
    mark("gather")
    return sum(values)
"""


def read_all(place: Place, ids: Sequence[str]) -> list[Record]:
    parts = [ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE)]
    return [r for part in parts for r in place.store.read(part) if r is not None]


def commits_of(place: Place) -> Counter[str]:
    """How often each message was committed as succeeded, by the audit trail."""
    found, after = Counter[str](), None
    while rows := place.store.audit(AuditQuery(event="succeeded", after=after)):
        found.update(row.id for row in rows)
        after = rows[-1].seq
    return found


def succeeded(place: Place) -> int:
    return place.store.counts().states.get(State.SUCCEEDED, 0)


def kill_while_it_runs(place: Place, size: int) -> None:
    """Kill a child, then the whole worker, in turns, six times before the chord has ended."""
    options: dict[str, Any] = {"module": "chords", "settings": {"audit": "all"}}
    worker = place.start_worker("--concurrency", "2", **options)
    for part in range(1, 7):
        mark = size * part // 8
        wait_until(lambda mark=mark: succeeded(place) >= mark, f"{mark} have ended", 60)  # type: ignore[misc]
        if part % 2:
            os.kill(worker.children[0], signal.SIGKILL)
        else:
            worker.kill_tree()
            worker = place.start_worker("--concurrency", "2", **options)


@pytest.mark.xdist_group("timing")
def test_pain_17_a_chord_whose_workers_are_killed_commits_its_body_once(place: Place) -> None:
    size = CHORD_SIZE
    place.write("chords.py", CHORDS)
    add, gather = (signature(name, app=place.app) for name in ("add", "gather"))
    body = chord([add.clone((i, 1)) for i in range(size)], gather, app=place.app)()
    kill_while_it_runs(place, size)
    assert body.get(timeout=PATIENCE_S) == size * (size + 1) // 2
    members = [leaf.id for leaf in body.parent.leaves()]
    records = read_all(place, [*members, body.id])
    assert Counter(r.state for r in records) == {State.SUCCEEDED: size + 1}, "every handle is final"
    assert commits_of(place) == dict.fromkeys([*members, body.id], 1), "each was committed once"
    assert 1 <= len(place.effects("gather", body.id)) <= records[-1].delivery
    assert place.store.audit(AuditQuery(event="reaped")), "something ran when it was killed"
