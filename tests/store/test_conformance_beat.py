"""Schedule entries, which fire each slot once; and the groups kept under a name."""

from msgspec.structs import replace

from reliable_tasks.store.values import Batch, Entry
from tests.store.driver import Driver, message

ENTRY = Entry(name="e", spec=b"s", template=b"t", next_ms=100)


def test_an_entry_is_kept_as_it_was_given(drive: Driver) -> None:
    entry = Entry(
        name="e",
        spec=b"s",
        template=b"t",
        origin="runtime",
        next_ms=5,
        last_ms=4,
        last_id="m",
        runs=2,
        missed=1,
        paused=True,
    )
    assert drive.store.put_entry(entry)
    assert drive.store.entries() == (replace(entry, version=1),)


def test_entries_are_listed_by_name(drive: Driver) -> None:
    for name in "cab":
        drive.store.put_entry(Entry(name=name))
    assert [e.name for e in drive.store.entries()] == ["a", "b", "c"]


def test_an_entry_is_created_only_where_there_is_none_when_so_asked(drive: Driver) -> None:
    assert drive.store.put_entry(ENTRY, -1)
    assert not drive.store.put_entry(replace(ENTRY, spec=b"other"), -1)
    assert drive.store.entries()[0].spec == b"s"


def test_an_entry_is_changed_only_at_the_expected_version(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    assert drive.store.put_entry(replace(ENTRY, spec=b"2"), 1)
    assert not drive.store.put_entry(replace(ENTRY, spec=b"3"), 1)
    (entry,) = drive.store.entries()
    assert (entry.spec, entry.version) == (b"2", 2)


def test_an_entry_that_has_fired_meanwhile_is_not_set_back(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    (read,) = drive.store.entries()
    advanced = replace(read, next_ms=200, last_ms=100, last_id="m", runs=1)
    assert drive.store.fire(advanced, 100, Batch(messages=(message("m"),))) is not None
    assert not drive.store.put_entry(replace(read, paused=True), read.version)
    assert drive.store.entries() == (advanced,)
    assert drive.store.put_entry(replace(advanced, paused=True), read.version)
    skipped = replace(advanced, paused=True, missed=1)
    assert not drive.store.put_entry(replace(skipped, spec=b"2"), read.version + 1)


def test_an_entry_is_removed_once(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    assert drive.store.remove_entry("e")
    assert not drive.store.remove_entry("e")
    assert drive.store.entries() == ()


def test_a_slot_fires_once(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    (entry,) = drive.store.entries()
    advanced = replace(entry, next_ms=200, last_ms=100, last_id="m", runs=1)
    batch = Batch(messages=(message("m"),))
    fired = drive.store.fire(advanced, 100, batch)
    assert fired is not None
    assert fired.receipts[0].id == "m"
    assert drive.store.fire(advanced, 100, batch) is None
    assert drive.store.entries() == (advanced,)
    assert [c.id for c in drive.claim(10)] == ["m"]
    assert drive.events("m")[:2] == ["enqueued", "fired"]


def test_a_changed_paused_or_removed_entry_does_not_fire(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    (entry,) = drive.store.entries()
    batch = Batch(messages=(message("m"),))
    drive.store.put_entry(replace(entry, template=b"other"))
    assert drive.store.fire(entry, 100, batch) is None
    drive.store.put_entry(replace(entry, paused=True))
    paused = drive.store.entries()[0]
    assert drive.store.fire(paused, 100, batch) is None
    drive.store.remove_entry("e")
    assert drive.store.fire(paused, 100, batch) is None
    assert drive.store.read(["m"]) == (None,)


def test_an_entry_may_fire_for_the_last_time(drive: Driver) -> None:
    drive.store.put_entry(ENTRY)
    (entry,) = drive.store.entries()
    assert drive.store.fire(replace(entry, next_ms=None), 100, Batch()) is not None
    assert drive.store.entries()[0].next_ms is None


def test_a_group_is_kept_under_its_name(drive: Driver) -> None:
    drive.store.save_group("g", b"1", 0)
    drive.store.save_group("g", b"2", 0)
    assert drive.store.load_group("g") == b"2"
    drive.store.delete_group("g")
    drive.store.delete_group("g")
    assert drive.store.load_group("g") is None
