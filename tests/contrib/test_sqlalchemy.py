"""SQLAlchemy: what a session asks for is enqueued when it commits, and only then."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from reliable_tasks import App, chain, group
from reliable_tasks.contrib.sqlalchemy import NotEnqueued, after_commit
from reliable_tasks.errors import CodecError, ConfigError, StoreUnavailable
from tests.contrib.postgres import postgres
from tests.patience import PATIENCE_S
from tests.redis_server import redis_server
from tests.tasks.adelaying import Harness, harness, here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reliable_tasks import Signature

__all__ = ["harness", "here", "redis_server"]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    engine = create_engine(f"sqlite:///{tmp_path}/data.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    with Session(engine) as session:
        yield session
    engine.dispose()


def insert(session: Session) -> None:
    session.execute(text("INSERT INTO orders VALUES (1)"))


def numbers(harness: Harness, *handles: Any) -> list[bool]:
    return [handle.exists() for handle in handles]


def test_a_commit_enqueues_all_of_it(harness: Harness, session: Session) -> None:
    insert(session)
    one = after_commit(session, harness.add.s(1, 2))
    many = after_commit(
        session, chain(harness.add.s(1, 1), group(harness.other.s(), harness.other.s()))
    )
    two = after_commit(session, harness.other.s(3).set(queue="mail"))
    assert harness.watched.batches == []
    session.commit()
    assert ["add", "other"] in harness.watched.batches, "the lone ones share a round trip"
    assert [one.args, two.queue, len(many.results)] == [(1, 2), "mail", 2]  # type: ignore[attr-defined]
    assert harness.stored() == 5
    insert(session)
    session.commit()
    assert harness.stored() == 5


@pytest.mark.parametrize("ending", ["rollback", "close", "invalidate"])
def test_without_a_commit_nothing_is_enqueued(here: Harness, session: Session, ending: str) -> None:
    insert(session)
    after_commit(session, here.add.s(1, 2))
    getattr(session, ending)()
    insert(session)
    session.commit()
    assert here.stored() == 0


def test_what_is_rolled_back_is_not_kept(here: Harness, session: Session) -> None:
    """A session may live long, and roll back often."""
    insert(session)
    after_commit(session, here.add.s(1, 2))
    begun = session.get_transaction()
    assert begun is not None
    transaction = weakref.ref(begun)
    del begun
    session.rollback()
    gc.collect()
    assert transaction() is None


def test_what_raises_in_a_block_enqueues_nothing(here: Harness, session: Session) -> None:
    def fails() -> None:
        with session.begin():
            after_commit(session, here.add.s(1, 2))
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    with session.begin():
        after_commit(session, here.other.s(1))
    assert here.watched.batches == [["other"]]


def test_what_is_asked_for_before_a_transaction_belongs_to_the_next(
    here: Harness, session: Session
) -> None:
    after_commit(session, here.add.s(1, 2))
    with session.begin():
        insert(session)
    assert here.stored() == 1


def test_savepoints_keep_what_is_theirs(here: Harness, session: Session) -> None:
    insert(session)
    outer = after_commit(session, here.add.s(1, 1))
    with session.begin_nested():
        insert(session)
        kept = after_commit(session, here.add.s(2, 2))
        inner = session.begin_nested()
        dropped = after_commit(session, here.add.s(3, 3))
        inner.rollback()
    assert here.stored() == 0, "a savepoint that is released is no commit"
    savepoint = session.begin_nested()
    with session.begin_nested():
        gone = after_commit(session, here.add.s(4, 4))
    savepoint.rollback()
    session.commit()
    assert numbers(here, outer, kept, dropped, gone) == [True, True, False, False]


def test_savepoints_go_with_the_transaction(here: Harness, session: Session) -> None:
    insert(session)
    with session.begin_nested():
        after_commit(session, here.add.s(2, 2))
    session.rollback()
    insert(session)
    session.commit()
    assert here.stored() == 0


def test_a_failure_after_the_commit_says_so(here: Harness, session: Session) -> None:
    here.watched.away = 100
    insert(session)
    handle = after_commit(session, here.add.s(1, 2))
    with pytest.raises(NotEnqueued, match=r"is committed, but 1 calls .*add\(1, 2\).*away") as told:
        session.commit()
    assert isinstance(told.value.__cause__, StoreUnavailable)
    assert session.execute(text("SELECT count(*) FROM orders")).scalar() == 1, "it goes on"
    here.watched.away = 0
    for _ in range(2):  # however often
        here.app.enqueue_many(told.value.calls)
    assert here.stored() == 1
    assert handle.exists()


def test_what_is_wrong_with_a_call_is_told_at_the_line(here: Harness, session: Session) -> None:
    insert(session)
    wrong: list[tuple[Any, type[Exception]]] = [
        (here.add.s(1), TypeError),
        (here.add.s(1, object()), CodecError),
        (here.add.s(1, 2).set(priority=3) | here.other.s(1), TypeError),
        (here.add, ConfigError),
        ("add", ConfigError),
    ]
    for call, error in wrong:
        with pytest.raises(error):
            after_commit(session, call)
    with pytest.raises(ConfigError, match="a session of SQLAlchemy"):
        after_commit("session", here.add.s(1, 2))
    session.commit()
    assert here.stored() == 0


def test_scoped_sessions(here: Harness, session: Session) -> None:
    scoped = scoped_session(sessionmaker(session.get_bind()))
    scoped.execute(text("INSERT INTO orders VALUES (2)"))
    after_commit(scoped, here.add.s(1, 2))
    scoped.commit()
    scoped.remove()
    assert here.stored() == 1


def test_a_signature_may_be_asked_for_again(here: Harness, session: Session) -> None:
    sig: Signature[int] = here.add.s(1, 2)
    insert(session)
    assert after_commit(session, sig).id != after_commit(session, sig).id
    session.commit()
    assert here.stored() == 2


def test_eager_calls_run_after_the_commit(session: Session) -> None:
    app = App("eager", broker="sqlite://", set_as_current=False, task_always_eager=True)
    seen: list[Any] = []

    @app.task
    def count() -> None:
        with Session(session.get_bind()) as own:
            seen.append(own.execute(text("SELECT count(*) FROM orders")).scalar())

    insert(session)
    after_commit(session, count.s())
    assert seen == []
    session.commit()
    assert seen == [1]


def test_the_loop_goes_on_while_an_async_session_enqueues(here: Harness, session: Session) -> None:
    """The session's own driver is a plain one here: what counts is what follows its commit."""

    async def main() -> int:
        here.watched.free.clear()
        asynchronous = AsyncSession(sync_session_class=lambda **_: session)  # type: ignore[arg-type]
        handle = after_commit(asynchronous, here.add.s(1, 2))
        await asynchronous.run_sync(insert)
        committing = asyncio.ensure_future(asynchronous.commit())
        turns = 0
        while turns < 1000 or not here.watched.entered.is_set():
            await asyncio.sleep(0)
            turns += 1
        assert not committing.done()
        here.watched.free.set()
        await committing
        assert handle.exists()
        return turns

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) >= 1000


def test_an_async_session_on_its_own_driver(here: Harness) -> None:
    async def main(url: str) -> tuple[Any, Any]:
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            async with session.begin():
                kept = after_commit(session, here.add.s(1, 2))
                async with session.begin_nested() as savepoint:
                    dropped = after_commit(session, here.add.s(3, 4))
                    await savepoint.rollback()
            async with session.begin():
                await session.execute(text("SELECT 1"))
        await engine.dispose()
        return kept, dropped

    with postgres() as server:
        kept, dropped = asyncio.run(asyncio.wait_for(main(server.url), PATIENCE_S))
    assert numbers(here, kept, dropped) == [True, False]


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None  # SQLAlchemy does not install it by itself any more
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from reliable_tasks import App
from reliable_tasks.contrib.sqlalchemy import after_commit

app = App("plain", broker="sqlite://")
task = app.task(name="t")(lambda: None)
engine = create_engine("sqlite://")
for session in Session(engine), scoped_session(sessionmaker(engine)):
    handle = after_commit(session, task.s())
    session.connection()
    session.commit()
    assert handle.exists()
    session.close()
engine.dispose()
app.close()
"""


def test_sessions_without_asyncio_need_no_greenlet() -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_GREENLET]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
