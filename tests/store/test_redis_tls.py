"""TLS: verified by a private authority, refused in words where it cannot be."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reliable_tasks import App, errors
from reliable_tasks.core import outcome as oc
from reliable_tasks.store import values as v
from tests.redis_server import RedisServer, ServerBinary, free_port
from tests.store.driver import message
from tests.tls import Authority, server_with_tls, tls_door

WANT = v.ClaimRequest(queues=("celery",), limit=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@contextlib.contextmanager
def served(binary: ServerBinary | None, authority: Authority, *, clients: bool) -> Iterator[int]:
    """The port of a server that speaks TLS: by itself, or through a door for any server."""
    if binary is None:
        context = authority.context(clients=clients)
        with RedisServer() as server, tls_door(context, server.port) as port:
            yield port
        return
    port = free_port()
    options = {
        "tls-port": port,
        "tls-cert-file": authority.cert,
        "tls-key-file": authority.key,
        "tls-ca-cert-file": authority.ca,
        "tls-auth-clients": "yes" if clients else "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with RedisServer(binary, args=words):
        yield port


@pytest.fixture(params=[None, *server_with_tls()], ids=lambda b: b.version if b else "door")
def binary(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextlib.contextmanager
def app_at(url: str, **options: str) -> Iterator[App]:
    app = App(broker=url, broker_transport_options=options, set_as_current=False)
    try:
        yield app
    finally:
        app.close()


def run_a_message(app: App) -> None:
    store = app.store
    store.open_session(v.SessionInfo(id="s", worker="w"), 60_000)
    assert not store.wait_then_claim("s", WANT, 0.05).claims
    store.enqueue(v.Batch(messages=(message("a", payload=b"x" * 200_000),)))
    (claim,) = store.wait_then_claim("s", WANT, 5.0).claims
    assert store.read_ended("a", 0.05) is None
    done = v.Commit(id="a", fence=claim.fence, outcome=oc.Succeeded(result=b"r" * 200_000))
    assert store.exchange("s", (done,), None).verdicts == (v.Verdict.COMMITTED,)
    ended = store.read_ended("a", 5.0)
    assert ended is not None
    assert ended.result == b"r" * 200_000


def test_a_message_runs_over_a_verified_connection(
    binary: ServerBinary | None, authority: Authority
) -> None:
    with (
        served(binary, authority, clients=False) as port,
        app_at(f"rediss://localhost:{port}/0?ssl_ca_certs={authority.ca}") as app,
    ):
        run_a_message(app)
        assert app.store.location == f"rediss://localhost:{port}/0"
        clients: Any = app.store._server.client.client_list()  # type: ignore[attr-defined]
        assert len(clients) <= 3, "connections are kept, and used again"


def test_a_client_shows_its_certificate_where_it_must(
    binary: ServerBinary | None, authority: Authority
) -> None:
    with served(binary, authority, clients=True) as port:
        url = f"valkeys://127.0.0.1:{port}/0"
        trust = {"ssl_ca_certs": str(authority.ca)}
        shown = {"ssl_certfile": str(authority.cert), "ssl_keyfile": str(authority.key)}
        with app_at(url, **trust, **shown) as app:
            assert app.store.counts() == v.Counts()
        with app_at(url, **trust) as app, pytest.raises(errors.StoreError):
            app.store.counts()


def test_a_server_that_another_authority_vouches_for_is_refused_in_words(
    binary: ServerBinary | None, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with served(binary, authority, clients=False) as port:
        for query in (f"?ssl_ca_certs={other.ca}", ""):
            with app_at(f"rediss://localhost:{port}/0{query}") as app:
                with pytest.raises(errors.StoreError, match="ssl_ca_certs=FILE") as caught:
                    app.store.counts()
                assert not isinstance(caught.value, errors.StoreUnavailable)
        trusting = f"rediss://localhost:{port}/0?ssl_cert_reqs=none"
        with app_at(trusting) as app:
            assert app.store.counts() == v.Counts(), "who says so trusts anybody"


def test_a_certificate_for_another_host_is_refused_in_words(tmp_path: Path) -> None:
    elsewhere = Authority(tmp_path / "elsewhere", "subjectAltName=DNS:redis.example")
    with (
        RedisServer() as server,
        tls_door(elsewhere.context(clients=False), server.port) as port,
        app_at(f"rediss://localhost:{port}/0?ssl_ca_certs={elsewhere.ca}") as app,
        pytest.raises(errors.StoreError, match="name the host as that certificate does"),
    ):
        app.store.counts()
