"""The rules that `report --acl` prints are taken by each server, and are enough for every verb."""

from collections.abc import Iterator

import pytest
import redis
from click.testing import CliRunner

from reliable_tasks.cli import cli
from reliable_tasks.core import outcome as oc
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Store
from reliable_tasks.store.redis import RedisStore
from tests.redis_server import RedisServer, find_servers
from tests.store.driver import kind, message, once

SERVERS = {binary.version: binary for binary in find_servers()}
WANT = v.ClaimRequest(queues=("celery",), limit=5)
VERBS = {name for name in dir(Store) if not name.startswith("_")} - {"location", "options"}


@pytest.fixture(params=SERVERS.values(), ids=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param) as opened:
        yield opened


def rules_for(url: str) -> list[str]:
    """What the command prints for the server at this URL."""
    told = CliRunner().invoke(cli, ["-b", url, "report", "--acl"])
    assert told.exit_code == 0, told.output
    return told.stdout.split()


def give_user(server: RedisServer, rules: list[str]) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", *rules)


class Noting:
    """A store that notes which of its verbs were called."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> object:
        self.called.add(name)
        return getattr(self.store, name)


def call_every_verb(store: Store) -> None:
    store.open_session(v.SessionInfo(id="s", worker="w", queues=("celery",)), 60_000)
    assert store.wait_then_claim("s", WANT, 0.01).claims == ()
    for text in ("a", "b", "c", "d"):
        batch = v.Batch(messages=(message(text, once=once(text)),))
        assert store.enqueue(batch).receipts[0].kind == "created"
    assert store.enqueue_plain(kind(queue="mail"), ["e"], [b""]) == ()
    a, b, c, _ = store.wait_then_claim("s", WANT, 1.0).claims
    assert store.heartbeat(["s"], 60_000).lost == ()
    assert store.take_turn(v.SessionInfo(id="", worker="", pid=1)).neighbours
    assert len(store.held("s")) == 4
    assert store.report("a", a.fence, "PROGRESS", b"1") == v.Verdict.COMMITTED
    assert store.step("a", a.fence, "one", None).known == "new"
    assert store.step("a", a.fence, "one", b"1").known
    commits = (
        v.Commit(id="a", fence=a.fence, outcome=oc.Succeeded(result=b"r")),
        v.Commit(id="b", fence=b.fence, outcome=oc.Failed(failure=b"f")),
        v.Commit(id="c", fence=c.fence, outcome=oc.Retry(at_ms=0)),
    )
    assert set(store.exchange("s", commits, None).verdicts) == {v.Verdict.COMMITTED}
    ended = store.read_ended("a", 1.0)
    assert ended is not None
    assert not store.wait({"a": ended.version}, 0.01)
    assert len(store.read(["a", "b"])) == 2
    assert len(store.find(v.MessageQuery())) == 5
    assert store.counts().dead == 1
    assert [s.id for s in store.sessions()] == ["s"]
    assert store.audit(v.AuditQuery())
    assert store.audit_cut("m").rows == 0
    assert store.locks()
    assert store.locks(users=True) == store.locks()
    assert store.replay(["b"])[0].done == "replayed"
    assert store.close_session("s") == 1
    assert store.revoke(["d"])[0].found
    assert store.drop(["a", "d"]) == 2
    assert store.purge("mail") == 1
    (lock, *_) = store.locks()
    assert store.release_lock(lock.name, lock.owner)
    store.save_group("g", b"v", 1000)
    assert store.load_group("g") == b"v"
    store.delete_group("g")
    entry = v.Entry(name="e", next_ms=1)
    assert store.put_entry(entry)
    assert not store.wait_for_entries(0.01)
    (entry,) = store.entries()
    assert store.fire(entry, 1, v.Batch(messages=(message("f"),))) is not None
    assert store.remove_entry("e")
    store.reap(["s"])
    assert not [w for w in store.health().warnings if "may not call" in w]
    assert store.health().holds
    assert store.now_ms()


def test_the_rules_are_enough_for_every_verb(server: RedisServer) -> None:
    give_user(server, rules_for(server.url))
    store = RedisStore(f"redis://app:secret@127.0.0.1:{server.port}/0", v.StoreOptions())
    noting = Noting(store)
    call_every_verb(noting)  # type: ignore[arg-type]
    store.close()
    assert noting.called == VERBS - {"close"}
    with redis.Redis.from_url(server.url) as client:
        assert client.acl_log() == []


def test_the_rules_for_a_server_that_is_away_are_taken_by_all(server: RedisServer) -> None:
    give_user(server, rules_for("redis://127.0.0.1:1/0"))
    store = RedisStore(f"redis://app:secret@127.0.0.1:{server.port}/0", v.StoreOptions())
    call_every_verb(store)
    store.close()


@pytest.mark.parametrize("binary", SERVERS.values(), ids=list(SERVERS))
def test_the_rules_of_a_cluster_are_enough_there(binary: object) -> None:
    with RedisServer(binary, cluster=True) as server:  # type: ignore[arg-type]
        place = f"127.0.0.1:{server.port}"
        give_user(server, rules_for(f"redis+cluster://{place}"))
        store = RedisStore(f"redis+cluster://app:secret@{place}", v.StoreOptions())
        call_every_verb(store)
        store.close()


def test_what_cannot_be_checked_is_not_said_to_hold(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendonly", "yes")
    rules = rules_for(server.url)
    for allowed, told in (
        ([r for r in rules if not r.startswith("+config")], "appendfsync) is not known"),
        ([r for r in rules if r != "+info"], "may not call INFO"),
    ):
        give_user(server, allowed)
        store = RedisStore(f"redis://app:secret@127.0.0.1:{server.port}/0", v.StoreOptions())
        assert any(told in warning for warning in store.health().warnings)
        assert [line for line in store.health().holds if "crash" in line or "None" in line] == []
        store.close()
