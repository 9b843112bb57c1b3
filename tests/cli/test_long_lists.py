"""Commands that list have it all, or say what they left out, on each store.

An app whose store gives two rows at a time stands for one that has many thousands.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from locks import Lock
from reliable_tasks.cli import _progress
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Message, OnceLock
from reliable_tasks.store.values import Batch, ClaimRequest, Commit, SessionInfo
from tests.redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from reliable_tasks.store.protocol import Store

    Run = Callable[..., Result]

__all__ = ["redis_server"]

IDS = [f"m{number}" for number in range(7)]
APP = """
from reliable_tasks import App

app = App("shop", broker={url!r})
app.conf.max_query_rows = 2
app.conf.store_namespace = {namespace!r}
app.conf.audit = "all"
"""


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    """A store whose pages have two rows, which the module `shop_tasks` names."""
    namespace, url = "lists", f"sqlite:///{directory}/shop.db"
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.client().flushall()
        url = server.url
    text = APP.format(url=url, namespace=namespace)
    (directory / "shop_tasks.py").write_text(text, encoding="utf-8")
    from reliable_tasks import App  # noqa: PLC0415

    with App("shop", broker=url, set_as_current=False) as app:
        app.conf.max_query_rows = 2
        app.conf.store_namespace = namespace
        app.conf.audit = "all"
        yield app.store


def put(store: Store, message_id: str, key: str | None = None, **fields: object) -> None:
    lock = OnceLock(key=key) if key else None
    message = Message(id=message_id, task="shop.add", once=lock, **fields)  # type: ignore[arg-type]
    store.enqueue(Batch(messages=(message,)))


def fail_all(store: Store) -> None:
    store.open_session(SessionInfo(id="s", worker="w@h"), 60_000)
    claims = store.exchange("s", (), ClaimRequest(queues=("celery",), limit=100)).claims
    store.exchange("s", [Commit(id=c.id, fence=c.fence, outcome=oc.Failed()) for c in claims], None)
    store.close_session("s")


def lines_of(result: Result) -> list[str]:
    return result.stdout.splitlines()


def test_purge_ends_what_is_scheduled_behind_others(store: Store, run: Run) -> None:
    for message_id in IDS:
        put(store, f"o{message_id}", queue="other", delay_ms=10_000)
        put(store, message_id, queue="theirs", delay_ms=99_000)
    assert "Purged 7 of 7." in run("-A", "shop_tasks", "purge", "-Q", "theirs", "-f").stdout
    assert store.counts().queues == {"other": {"scheduled": 7}}


def test_a_key_is_explained_among_many(store: Store, run: Run) -> None:
    for message_id in IDS:
        put(store, message_id, key=f"key-{message_id}")
    for name in ("m6", "key-m6"):
        assert "key-m6 is held" in run("-A", "shop_tasks", "locks", "explain", name).stdout
    assert "is free" in run("-A", "shop_tasks", "locks", "explain", "key-m7").stdout


def test_a_message_without_a_key_is_said_to_have_none(store: Store, run: Run) -> None:
    put(store, "plain")
    put(store, "first", key="key")
    put(store, "later", key="key2")
    store.release_lock("key2", "later")
    put(store, "holder", key="key2")
    said = run("-A", "shop_tasks", "locks", "explain", "plain").stdout
    assert said == "message plain holds no lock\n"
    said = run("-A", "shop_tasks", "locks", "explain", "later").stdout
    assert said == "message later holds no lock: its key key2 is held by holder\n"


def test_all_locks_are_listed(store: Store, run: Run, redis_server: RedisServer) -> None:
    for message_id in IDS:
        put(store, message_id, key=f"key-{message_id}")
    on_redis = store.location.startswith("redis")
    client = redis_server.client()
    subject = client if on_redis else store.location
    Lock("mine", subject, namespace="lists", auto_renew=False).acquire()
    wanted = [*(f"key-{i}" for i in IDS), "mine"]
    found = lines_of(run("-A", "shop_tasks", "locks", "list"))
    assert [line.split()[0] for line in found] == ["NAME", *wanted]
    found = lines_of(run("-A", "shop_tasks", "locks", "list", "--json"))
    assert [json.loads(line)["name"] for line in found] == wanted
    client.close()


def test_all_dead_letters_are_listed_or_it_is_said_that_there_are_more(
    store: Store, run: Run
) -> None:
    for message_id in IDS:
        put(store, message_id)
    fail_all(store)
    result = run("-A", "shop_tasks", "dead", "list", "--limit", "9")
    assert sorted(line.split()[0] for line in lines_of(result)[1:]) == IDS
    assert result.stderr == ""
    result = run("-A", "shop_tasks", "dead", "list", "--limit", "7")
    assert (len(lines_of(result)), result.stderr) == (8, "")
    result = run("-A", "shop_tasks", "dead", "list", "--limit", "3")
    assert len(lines_of(result)) == 4
    assert "3 are shown, and there are more" in result.stderr
    result = run("-A", "shop_tasks", "dead", "list", "--limit", "3", "--json")
    assert len(lines_of(result)) == 3
    assert "there are more" in result.stderr
    assert "7 of 7 replayed" in run("-A", "shop_tasks", "dead", "replay", "--all").stdout


def test_the_trail_is_listed_or_it_is_said_that_there_is_more(store: Store, run: Run) -> None:
    for message_id in IDS:
        put(store, message_id)
    result = run("-A", "shop_tasks", "audit", "--event", "enqueued")
    assert (len(lines_of(result)), result.stderr) == (8, "")
    result = run("-A", "shop_tasks", "audit", "--event", "enqueued", "--limit", "3")
    assert len(lines_of(result)) == 4
    assert "3 are shown, and there are more" in result.stderr
    fail_all(store)
    assert run("-A", "shop_tasks", "audit", "m3").stderr == ""
    result = run("-A", "shop_tasks", "audit", "m3", "--limit", "1")
    assert "there are more" in result.stderr


def test_verify_reads_all_locks(store: Store, run: Run) -> None:
    """Among the last of them one is held by a message that has ended."""
    for message_id in IDS:
        put(store, message_id, key=f"key-{message_id}")
    result = run("-A", "shop_tasks", "verify")
    assert "0 violations in 7 messages" in result.stdout
    hold = store.locks("key-m6")[0]
    _break_lock(store, hold.name)
    result = run("-A", "shop_tasks", "verify", code=1)
    assert "holds key-m6" in result.stdout


def _break_lock(store: Store, name: str) -> None:
    """Let its message end, and put the lock back."""
    from reliable_tasks.store.redis import RedisStore  # noqa: PLC0415

    owner = store.locks(name)[0].owner
    if isinstance(store, RedisStore):
        client = store._server.client
        fields = client.hgetall(f"{{lists}}:lock:{name}")
        store.revoke([owner])
        client.hset(f"{{lists}}:lock:{name}", mapping=fields)
        client.zadd("{lists}:locks", {name: "+inf"})
        return
    lock = "SELECT * FROM locks WHERE owner = ?"
    (row,) = store._database.read(lambda c: c.execute(lock, (owner,)).fetchall())  # type: ignore[attr-defined]
    store.revoke([owner])
    marks = ", ".join("?" * len(row))
    store._database.write(lambda c: c.execute(f"INSERT INTO locks VALUES ({marks})", row))  # type: ignore[attr-defined]


def test_progress_is_told_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(_progress.told(range(3), "rows")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_progress, "_shows", lambda _: True)
    monkeypatch.setattr(_progress, "_EVERY_S", -1.0)
    monkeypatch.setattr(_progress, "_LOOK_EVERY", 2)
    assert list(_progress.told(range(5), "rows")) == [0, 1, 2, 3, 4]
    told = capsys.readouterr().err
    assert "2 rows read" in told
    assert "4 rows read" in told
    assert told.endswith("\r\x1b[K"), "nothing is left of it"
