"""The file: where it is, what it is opened with, its schema, and who else's it may be."""

import contextlib
import re
from pathlib import Path

import msgspec
import pytest

from locks import Lock, LockTimeout
from reliable_tasks import App
from reliable_tasks.config.conf import Settings, store_url
from reliable_tasks.errors import ConfigError, StoreError, StoreVersionError
from reliable_tasks.store.sqlite import SqliteStore, schema
from reliable_tasks.store.sqlite.rows import COLUMNS, PART_STEPS, Row
from reliable_tasks.store.sqlite.stamp import version_of
from reliable_tasks.store.sqlite.statements import load
from reliable_tasks.store.values import (
    AUDIT_ROW_BYTES,
    AuditQuery,
    Batch,
    ClaimRequest,
    Entry,
    SessionInfo,
    StoreOptions,
)
from tests.store.driver import message, once
from tests.store.sqlite.helpers import OPTIONS, ROOT, count, put, raw

QUERIES = ROOT / "reliable_tasks/store/sqlite/queries"


def test_the_location_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert SqliteStore("some.db", OPTIONS).location == str(tmp_path / "some.db")


def test_nothing_is_made_before_the_first_verb(path: Path) -> None:
    store = SqliteStore(str(path), OPTIONS)
    assert not path.exists()
    store.counts()
    assert path.exists()
    store.close()


def test_what_was_stored_is_there_for_the_next_to_open(path: Path, store: SqliteStore) -> None:
    put(store, "a")
    store.close()
    other = SqliteStore(str(path), OPTIONS)
    assert count(other) == count(store) == 1
    other.close()


def test_a_message_says_which_other_tables_hold_something_of_it(
    path: Path, store: SqliteStore
) -> None:
    def parts() -> list[int]:
        with raw(path) as connection:
            return [bits for (bits,) in connection.execute("SELECT parts FROM records")]

    put(store, "a")
    assert parts() == [0], "its endings touch no other table"
    store.open_session(SessionInfo(id="s", worker="w"), 1000)
    (claim,) = store.exchange("s", (), ClaimRequest(queues=("celery",), limit=1)).claims
    store.step(claim.id, claim.fence, "paid", b"1")
    assert parts() == [PART_STEPS]


def test_numbers_go_on_after_a_restart(path: Path, store: SqliteStore) -> None:
    def fence(opened: SqliteStore) -> int:
        opened.open_session(SessionInfo(id="s", worker="w"), 1000)
        (claim,) = opened.exchange("s", (), ClaimRequest(queues=("celery",), limit=1)).claims
        return claim.fence

    put(store, "a", "b")
    first = fence(store)
    store.close()
    other = SqliteStore(str(path), OPTIONS)
    assert fence(other) > first
    other.close()


def test_the_file_is_durable_by_default(store: SqliteStore) -> None:
    put(store, "a")
    connection = store._database._ready()
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("journal_mode") == "wal"
    assert store.health().warnings == ()
    assert any("power" in line for line in store.health().holds)


def test_a_less_durable_file_is_warned_about(path: Path) -> None:
    store = SqliteStore(str(path), OPTIONS, synchronous="normal")
    assert any("loss of power" in line for line in store.health().warnings)
    assert not any("power" in line for line in store.health().holds)
    assert any("memory" in line for line in SqliteStore("", OPTIONS).health().warnings)


def test_a_mistyped_synchronous_is_told_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'NORMAL'"):
        SqliteStore(None, OPTIONS, synchronous="norml")


@pytest.mark.parametrize(
    ("url", "durable", "words"),
    [
        ("sqlite:///x.db", "replicas:1", "SQLite has no replicas"),
        ("sqlite://", "fsync", "the store is in memory"),
        ("sqlite:///x.db?synchronous=NORMAL", "fsync", "its URL says synchronous=NORMAL"),
    ],
)
def test_more_than_a_file_can_give_is_refused(url: str, durable: str, words: str) -> None:
    app = App(broker=url, durable=durable, set_as_current=False)
    with pytest.raises(ConfigError, match=f"cannot be had: {words}"):
        _ = app.store


def test_a_call_that_asks_for_replicas_is_refused(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="SQLite has no replicas"):
        store.enqueue(Batch(messages=(message("a"),), durable="replicas:1"))
    store.enqueue(Batch(messages=(message("a"),), durable="fsync"))
    assert count(store) == 1


@pytest.mark.parametrize(
    ("path", "synchronous", "words"),
    [(None, "FULL", "the store is in memory"), ("a.db", "NORMAL", "says synchronous=NORMAL")],
)
def test_a_call_that_asks_for_a_disk_is_refused_without_one(
    tmp_path: Path, path: str | None, synchronous: str, words: str
) -> None:
    store = SqliteStore(path and str(tmp_path / path), OPTIONS, synchronous=synchronous)
    entry = Entry(name="tick", spec=b"", template=b"", next_ms=1)
    batch = Batch(messages=(message("a"),), durable="fsync")
    with contextlib.closing(store):
        store.put_entry(entry)
        with pytest.raises(StoreError, match=f"durable='fsync' cannot be had: .*{words}"):
            store.enqueue(batch)
        with pytest.raises(StoreError, match=words):
            store.fire(entry, 1, batch)
        store.enqueue(Batch(messages=(message("b"),), durable="memory"))
        assert count(store) == 1


def test_a_url_opens_the_store_it_names(path: Path) -> None:
    url = store_url(Settings(broker_url=f"sqlite:///{path}?synchronous=NORMAL&busy_timeout=3"))
    store = SqliteStore.from_url(url, OPTIONS)
    assert (store.location, store.options.busy_timeout_ms) == (str(path), 3000)
    assert store.health().warnings


def test_the_fields_of_a_record_are_the_columns_of_its_table(
    store: SqliteStore, path: Path
) -> None:
    put(store, "a")
    with raw(path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(records)")]
    assert tuple(columns) == COLUMNS
    named = re.findall(r"(\w+) = \?(\d+)", load("records/update"))
    fields = COLUMNS[COLUMNS.index("queue") :]
    assert named == [*((c, str(i + 2)) for i, c in enumerate(fields)), ("n", "1")]
    assert load("records/insert").count("?") == len(COLUMNS)


def test_what_a_record_always_has_no_row_may_lack(store: SqliteStore, path: Path) -> None:
    """The tables refuse NULL wherever the code does not reckon with None."""
    put(store, "a")
    with raw(path) as connection:
        (*tables,) = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        may_lack = {
            f"{table}.{name}"
            for (table,) in tables
            for _, name, _, not_null, _, key in connection.execute(f"PRAGMA table_info({table})")
            if not not_null and not key
        }
    optional = {
        f"records.{field.name}"
        for field in msgspec.structs.fields(Row)
        if type(None) in getattr(field.type, "__args__", ())
    }
    others = (
        "audit.last steps.value entries.next entries.last entries.last_id message_groups.delete_at"
    )
    assert {name for name in may_lack if not name.startswith("sqlite_")} == {
        *optional,
        *others.split(),
        "endings.failure",
    }


LARGE_TABLES = {"records", "audit", "inputs", "broken", "steps", "parked", "stage_members", "locks"}
SCAN = r"SCAN \w+( USING COVERING INDEX audit_of_message)?$"
WALKS = {
    "audit/read",
    "audit/oldest",
    "records/find",
    "parked/orphans",
}  # in the table's order, to a limit


@pytest.mark.parametrize(
    "name", sorted(f"{p.parent.name}/{p.stem}" for p in QUERIES.glob("*/*.sql"))
)
def test_each_query_is_one_bounded_statement_that_uses_an_index(
    store: SqliteStore, path: Path, name: str
) -> None:
    put(store, "a")
    statement = load(name)
    assert statement
    assert ";" not in re.sub(r"'[^']*'", "", statement)
    with raw(path) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN " + statement, _nulls(statement)).fetchall()
    steps = [str(row[3]) for row in plan]
    tables = {step.split()[1] for step in steps if re.match(SCAN, step)}
    assert not tables & LARGE_TABLES or name in WALKS, plan


def _nulls(statement: str) -> tuple[None, ...]:
    numbers = [int(n) for n in re.findall(r"\?(\d+)", statement)]
    return (None,) * (max(numbers) if numbers else statement.count("?"))


def test_a_newer_schema_is_refused_with_the_remedy(store: SqliteStore, path: Path) -> None:
    put(store, "a")
    store.close()
    with raw(path) as connection:
        connection.pragma("user_version", schema.VERSION + 1)
    with pytest.raises(StoreVersionError, match="install the newer release"):
        store.counts()


def test_an_older_schema_is_migrated_and_keeps_its_messages(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a")
    store.close()
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setitem(schema.MIGRATIONS, schema.VERSION - 1, "to_two")
    monkeypatch.setattr(schema, "load_schema", {"to_two": "CREATE TABLE added (x)"}.get)
    assert count(store) == 1
    with raw(path) as connection:
        assert version_of(connection.pragma("user_version")) == schema.VERSION
        assert connection.execute("SELECT count(*) FROM added").get == 0


def test_a_file_of_the_first_version_is_migrated(store: SqliteStore, path: Path) -> None:
    put(store, "a")
    store.enqueue(Batch(messages=(message("a", token="other", payload=b"other"),)))
    store.close()
    with raw(path) as connection:
        for column in ("graft", "lent"):
            connection.execute(f"ALTER TABLE records DROP COLUMN {column}")
        for index in ("sessions_by_host", "sessions_by_lease"):
            connection.execute(f"DROP INDEX {index}")
        for table in ("endings", "ending_parts", "turns", "audit_cut"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("trail_rows", "trail_bytes", "trail_cut"):
            connection.execute(f"ALTER TABLE store DROP COLUMN {column}")
        for column in ("count", "last"):
            connection.execute(f"ALTER TABLE audit DROP COLUMN {column}")
        connection.pragma("user_version", 1)
    put(store, "b")
    assert count(store) == 2
    assert [row.event for row in store.audit(AuditQuery(id="a"))] == ["conflict"]
    with raw(path) as connection:
        trail = connection.execute("SELECT trail_rows, trail_bytes FROM store").get
    assert trail == (1, AUDIT_ROW_BYTES + len("a") + len("add"))
    with raw(path) as connection:
        migrated = connection.execute("SELECT name FROM pragma_table_info('records')").fetchall()
    assert [name for (name,) in migrated] == list(COLUMNS)


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "a")
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        patch.setitem(schema.MIGRATIONS, schema.VERSION - 1, "to_two")
        patch.setattr(schema, "load_schema", {"to_two": "DROP TABLE counts; nonsense"}.get)
        with pytest.raises(StoreError, match="nonsense"):
            store.counts()
    assert count(store) == 1


def test_a_file_that_is_no_database_is_left_alone(store: SqliteStore, path: Path) -> None:
    path.write_bytes(b"dear diary, " * 500)
    with pytest.raises(StoreError, match="not an SQLite database"):
        put(store, "a")
    assert path.read_bytes().startswith(b"dear diary")


def test_the_database_of_another_program_is_left_alone(store: SqliteStore, path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE customers (name)")
    with pytest.raises(StoreError, match=r"another program.*customers"):
        put(store, "a")
    with raw(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == [("customers",)]


def test_another_namespace_needs_a_file_of_its_own(store: SqliteStore, path: Path) -> None:
    put(store, "a")
    other = SqliteStore(str(path), StoreOptions(namespace="other"))
    with pytest.raises(StoreError, match=r"'reliable_tasks', not to 'other'"):
        put(other, "a")
    other.close()


def test_a_lock_of_the_user_and_a_once_lock_are_one_record(store: SqliteStore, path: Path) -> None:
    with Lock("mine", str(path), namespace=OPTIONS.namespace) as lease:
        (lock,) = store.locks()
        assert (lock.name, lock.fence) == ("mine", lease.fence)
        (receipt,) = store.enqueue(Batch(messages=(message("a", once=once("mine")),))).receipts
        assert receipt.kind == "duplicate"
    store.enqueue(Batch(messages=(message("a", once=once("mine")),)))
    assert store.locks()[0].fence > lease.fence
    with pytest.raises(LockTimeout):
        Lock("mine", str(path), namespace=OPTIONS.namespace).acquire(timeout=0)


def test_a_file_that_another_process_sets_up_meanwhile_is_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the tables after we read that there is no version, before we look for them."""
    before = load
    faster: list[SqliteStore] = []

    def loads(name: str) -> str:
        if name == "store/foreign_tables" and not faster:
            faster.append(SqliteStore(str(path), OPTIONS))
            faster[0].counts()
        return before(name)

    monkeypatch.setattr(schema, "load", loads)
    slower = SqliteStore(str(path), OPTIONS)
    slower.counts()
    assert faster
    for store in (*faster, slower):
        store.close()
