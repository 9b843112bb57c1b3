"""The audit trail on Redis: rows of an older release, and what a look at a message costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.core.outcome import Failed
from reliable_tasks.store import values as v
from reliable_tasks.store.redis import RedisStore
from tests.store.driver import Driver, message
from tests.store.redis_factories import REDIS_FACTORIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes import FakeClock


@pytest.fixture
def drive(clock: FakeClock) -> Iterator[Driver]:
    options = v.StoreOptions(audit_ttl_ms=1000, max_batch=2000)
    with REDIS_FACTORIES["redis"](options, clock) as opened:
        yield Driver(opened, clock)


def client_of(drive: Driver) -> Any:
    assert isinstance(drive.store, RedisStore)
    return drive.store._server.client


def key_of(drive: Driver) -> str:
    assert isinstance(drive.store, RedisStore)
    return drive.store._key


def of_an_older_release(drive: Driver, message_id: str) -> None:
    """A row as it was written before rows stood in a list of their message."""
    fields: dict[str, Any] = {"e": "retry", "at": drive.clock(), "id": message_id, "t": "add"}
    fields |= {"a": 1, "d": 1, "f": 7, "w": "w@h", "x": b"{}"}
    client_of(drive).xadd(f"{key_of(drive)}audit", fields)


def test_rows_of_an_older_release_are_told_of_too(drive: Driver) -> None:
    for message_id in ("a", "b", "a"):
        of_an_older_release(drive, message_id)
    drive.put_one("a")
    drive.run(Failed())
    assert drive.events("a") == ["retry", "retry", "failed"]
    first = drive.store.audit(v.AuditQuery(id="a", limit=1))
    rest = drive.store.audit(v.AuditQuery(id="a", after=first[0].seq))
    assert [row.event for row in rest] == ["retry", "failed"]
    assert drive.store.audit(v.AuditQuery(id="a", after=rest[-1].seq)) == ()


def test_rows_of_an_older_release_go_with_their_time(drive: Driver) -> None:
    of_an_older_release(drive, "a")
    drive.clock.advance(500)
    drive.put_one("a")
    drive.run(Failed())
    drive.clock.advance(500)
    drive.store.reap()
    assert drive.events("a") == ["failed"]
    drive.clock.advance(500)
    drive.store.reap()
    assert drive.events() == []
    assert client_of(drive).get(f"{key_of(drive)}auditbytes") == b"0"


def test_a_look_at_a_message_does_not_go_through_the_trail(drive: Driver) -> None:
    drive.put(*(message(f"m{n}") for n in range(1000)), message("a"))
    drive.store.purge("celery", 500)
    drive.store.purge("celery")
    client = client_of(drive)
    client.config_resetstat()
    assert drive.events("a") == ["purged"]
    stats = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 2
    assert stats["cmdstat_xrange"]["calls"] == 2
    assert stats["cmdstat_lrange"]["calls"] == 1
