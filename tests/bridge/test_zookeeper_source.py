"""The reader of kombu's queues in ZooKeeper, on a real one that kombu's own producer fills."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import kombu
import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

from reliable_tasks.contrib.bridge.sources import BrokerUnavailable, Delivery
from reliable_tasks.contrib.bridge.zookeeper import ZooKeeperSource, parse_url, read_node
from reliable_tasks.errors import ConfigError
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bridge.zookeeper import ZooKeeper


class Queue:
    """A queue of kombu's, filled by its own producer."""

    def __init__(self, server: ZooKeeper, vhost: str = "") -> None:
        self.name = f"q-{uuid.uuid4().hex}"
        self.url = server.url + vhost
        self.hosts = f"127.0.0.1:{server.port}"
        self.path = f"{'/' * bool(vhost)}{vhost}/{self.name}"

    def send(self, *bodies: object, **options: Any) -> None:
        with kombu.Connection(self.url) as connection, connection.SimpleQueue(self.name) as queue:
            for body in bodies:
                queue.put(body, **options)

    @contextlib.contextmanager
    def client(self) -> Iterator[KazooClient]:
        client = KazooClient(self.hosts)
        client.start(PATIENCE_S)
        try:
            yield client
        finally:
            client.stop()
            client.close()

    def nodes(self) -> list[str]:
        with self.client() as client:
            return sorted(client.get_children(self.path))

    @contextlib.contextmanager
    def source(self, *others: Queue) -> Iterator[ZooKeeperSource]:
        source = ZooKeeperSource(self.url, [self.name, *(other.name for other in others)])
        with contextlib.closing(source):
            yield source


@pytest.fixture
def queue(zookeeper: ZooKeeper) -> Queue:
    return Queue(zookeeper)


def bodies(deliveries: Sequence[Delivery]) -> list[object]:
    return [json.loads(delivery.body) for delivery in deliveries]


def test_a_message_is_read_whole_and_deleted_when_acknowledged(queue: Queue) -> None:
    queue.send({"a": 1}, headers={"id": "x", "task": "t"}, correlation_id="x")
    with queue.source() as source:
        (delivery,) = source.batch(100, PATIENCE_S)
        assert (delivery.queue, delivery.content_type) == (queue.name, "application/json")
        assert delivery.content_encoding == "utf-8"
        assert delivery.headers == {"id": "x", "task": "t"}
        assert delivery.properties["correlation_id"] == "x"
        assert bodies([delivery]) == [{"a": 1}]
        assert len(queue.nodes()) == 1
        source.ack([delivery])
        assert queue.nodes() == []


def test_messages_come_in_order_the_most_urgent_first(queue: Queue) -> None:
    for number, priority in enumerate([0, 0, 9, 3, 9]):
        queue.send(number, priority=priority)
    with queue.source() as source:
        assert bodies(source.batch(3, PATIENCE_S)) == [2, 4, 3]
        assert bodies(source.batch(3, PATIENCE_S)) == [0, 1]
        assert source.batch(3, 0) == []


def test_what_is_not_acknowledged_is_delivered_again(queue: Queue) -> None:
    queue.send(1, 2)
    with queue.source() as source:
        first, _ = source.batch(100, PATIENCE_S)
        source.ack([first])
        source.close()
        assert bodies(source.batch(100, PATIENCE_S)) == [2]


def test_two_readers_see_the_same_and_the_second_to_delete_does_not_mind(queue: Queue) -> None:
    queue.send(1, 2, 3)
    with queue.source() as one, queue.source() as two:
        mine, theirs = one.batch(100, PATIENCE_S), two.batch(100, PATIENCE_S)
        assert bodies(mine) == bodies(theirs) == [1, 2, 3]
        one.ack(mine[:1])
        two.ack(theirs)
        one.ack(mine[1:])
        assert queue.nodes() == []


def test_a_message_with_a_node_below_it_stays_and_stops_nobody(queue: Queue) -> None:
    queue.send(1, 2)
    first, _ = queue.nodes()
    with queue.client() as client:
        client.create(f"{queue.path}/{first}/below")
    with queue.source() as source:
        found = source.batch(10, PATIENCE_S)
        source.ack(found)
    assert bodies(found) == [1, 2]
    assert queue.nodes() == [first]


def test_what_a_celery_worker_has_taken_is_passed_over(queue: Queue) -> None:
    queue.send(1, 2, 3)
    with queue.source() as source, queue.client() as client:
        assert bodies(source.batch(1, PATIENCE_S)) == [1]
        client.delete(f"{queue.path}/{sorted(client.get_children(queue.path))[1]}")
        assert bodies(source.batch(100, PATIENCE_S)) == [3]


def test_a_waiting_reader_hears_of_a_queue_that_comes_to_be(queue: Queue) -> None:
    with queue.source() as source:
        assert source.batch(100, 0) == []
        queue.send(1)
        assert bodies(source.batch(100, PATIENCE_S)) == [1]
        queue.send(2)
        assert bodies(source.batch(100, PATIENCE_S)) == [2]


def test_queues_take_turns(zookeeper: ZooKeeper) -> None:
    queues = [Queue(zookeeper), Queue(zookeeper)]
    for queue in queues:
        queue.send(*range(4))
    with queues[0].source(queues[1]) as source:
        batches = [source.batch(2, PATIENCE_S) for _ in range(4)]
    names = [{delivery.queue for delivery in batch} for batch in batches]
    assert sorted(names[0] | names[1]) == sorted(names[2] | names[3])
    assert len(names[0] | names[1]) == 2


def test_a_vhost_of_several_parts_and_foreign_nodes(zookeeper: ZooKeeper) -> None:
    queue = Queue(zookeeper, "deep/down")
    queue.send(1)
    with queue.client() as client:
        client.create(f"{queue.path}/not-an-entry")
    with queue.source() as source:
        deliveries = source.batch(100, PATIENCE_S)
        assert bodies(deliveries) == [1]
        source.ack(deliveries)
        assert queue.nodes() == ["not-an-entry"]


def test_a_restart_of_the_server_costs_a_few_errors_and_no_message(
    zookeeper: ZooKeeper, queue: Queue
) -> None:
    queue.send(1, 2)
    with queue.source() as source:
        held = source.batch(1, PATIENCE_S)
        zookeeper.kill9()
        with pytest.raises(BrokerUnavailable):
            source.ack(held)
        zookeeper.start()
        again: list[object] = []
        while len(again) < 2:
            with contextlib.suppress(BrokerUnavailable):
                again += bodies(source.batch(100, 1))
        assert sorted(map(str, again)) == ["1", "2"]


def test_an_expired_session_is_followed_by_a_new_one(queue: Queue) -> None:
    queue.send(1)
    with queue.source() as source:
        held = source.batch(1, PATIENCE_S)
        assert source._client is not None
        twin = KazooClient(queue.hosts, client_id=source._client.client_id)
        twin.start(PATIENCE_S)
        twin.stop()  # which ends the session that both have
        twin.close()
        queue.send(2)
        later: list[Delivery] = []
        while len(later) < 1:
            with contextlib.suppress(BrokerUnavailable):
                later += source.batch(100, 1)
        assert bodies(later) == [2]
        source.ack(held + later)
        assert queue.nodes() == []


def test_a_server_that_is_not_there(queue: Queue) -> None:
    url = "zookeeper://user:secret@127.0.0.1:1/"
    nowhere = ZooKeeperSource(url, [queue.name], answer_s=0.1)
    with pytest.raises(BrokerUnavailable) as error:
        nowhere.batch(1, 0)
    assert "secret" not in str(error.value)
    nowhere.close()


def test_the_login_of_the_url_opens_what_is_closed_to_others(queue: Queue) -> None:
    acl = make_digest_acl("ann", "secret", all=True)
    with queue.client() as client:
        client.create(queue.path, acl=[acl])
        client.add_auth("digest", "ann:secret")
        client.create(f"{queue.path}/entry-009-", b"{}", sequence=True, acl=[acl])
    with queue.source() as source, pytest.raises(ConfigError, match="refuses the bridge"):
        source.batch(1, 0)
    ann = ZooKeeperSource(queue.url.replace("//", "//ann:secret@", 1), [queue.name])
    with contextlib.closing(ann):
        deliveries = ann.batch(1, PATIENCE_S)
        ann.ack(deliveries)
        assert len(deliveries) == 1
        assert ann.batch(1, 0) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"body": 1}',
        b'{"body": "!", "properties": {"body_encoding": "base64"}}',
        b'{"properties": {"body_encoding": "rot13"}}',
        b'{"properties":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
)
def test_a_node_that_is_no_message_says_why(data: bytes) -> None:
    delivery = read_node("q", data, None)
    assert delivery.body == data
    assert "this is no message of kombu's" in str(delivery.fault)


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("zookeeper://", ("127.0.0.1:2181", "/", None)),
        ("zookeeper://host", ("host:2181", "/", None)),
        ("zookeeper://host:99//", ("host:99", "/", None)),
        ("zookeeper://host:99/a/b%20c/", ("host:99", "/a/b c", None)),
        ("zookeeper://[::1]/v", ("[::1]:2181", "/v", None)),
        ("zookeeper://u:p%40@one:1,two/v", ("one:1,two:2181", "/v", "u:p@")),
        ("zookeeper://one:1;zookeeper://two:2/v", ("one:1,two:2", "/v", None)),
        ("zookeeper://one:1;two/v", ("one:1,two:2181", "/v", None)),
    ],
)
def test_urls(url: str, meaning: tuple[str, str, str | None]) -> None:
    assert parse_url(url) == meaning


@pytest.mark.parametrize("url", ["zookeeper://a:b:c/", "zookeeper://a:0/", "zookeeper://[a/"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ConfigError, match="names no ZooKeeper"):
        ZooKeeperSource(url, ["q"])
