"""A lone plain call over a network that loses replies and cuts connections."""

import contextlib
from collections.abc import Iterator

import pytest

from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.faults.proxy import Proxy
from tests.faults.verbs import verb_of
from tests.redis_server import default_server
from tests.store.driver import kind
from tests.store.redis_factories import server_of


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(server_of(default_server()).port, verb_of) as opened:
        yield opened


@pytest.mark.parametrize("fault", ["lose_next_reply", "cut_next_request", "hold_next_request"])
def test_it_is_stored_once(proxy: Proxy, fault: str) -> None:
    options = v.StoreOptions(namespace=f"lone_{fault}")
    with contextlib.closing(
        RedisStore(proxy.url, options, transport_options={"socket_timeout": 2.0})
    ) as store:
        store.enqueue_plain(kind(), ["first"], [b""])
        happened = getattr(proxy, fault)()
        assert not any(r.kind != "created" for r in store.enqueue_plain(kind(), ["a"], [b"p"]))
        assert happened.happened.is_set()
        if fault == "hold_next_request":
            happened.deliver()
        assert store.counts().queues == {"celery": {"queued": 2}}
        store.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
        want = v.ClaimRequest(queues=("celery",), limit=9)
        assert [c.id for c in store.exchange("s", (), want).claims] == ["first", "a"]
        for key in store._server.client.scan_iter(f"{store._key}*"):
            store._command("DEL", key)
