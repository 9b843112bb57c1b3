"""Turns: what one process does for all, and that nobody who has one keeps it from others."""

import msgspec

from reliable_tasks.store.values import TURN_MS, SessionInfo, Turn
from tests.store.driver import LEASE_MS, Driver


def _process(pid: int, host: str = "h", session: str = "") -> SessionInfo:
    return SessionInfo(id=session, worker="w", host=host, pid=pid, pid_started=f"s{pid}")


def _open(drive: Driver, *processes: SessionInfo) -> None:
    for process in processes:
        drive.store.open_session(process, LEASE_MS)


def test_one_process_in_a_turns_time_reaps(drive: Driver) -> None:
    one, two, three = _process(1, "h", "one"), _process(2, "i", "two"), _process(3, "j", "three")
    _open(drive, one, two, three)
    take = drive.store.take_turn
    for _ in range(3):
        assert take(two) == Turn(reaps=True)
        assert [take(one), take(two), take(three)] == [Turn()] * 3
        drive.clock.advance(TURN_MS - 1)
        assert take(three) == Turn(), "nobody has it twice in that time"
        drive.clock.advance(1)


def test_a_turn_is_soon_anothers_although_who_took_it_did_nothing(drive: Driver) -> None:
    """It was killed, or stopped: nobody holds a turn."""
    _open(drive, _process(1, "h", "one"), _process(2, "i", "two"))
    assert drive.store.take_turn(_process(1)).reaps
    drive.clock.advance(TURN_MS)
    assert drive.store.take_turn(_process(2)).reaps
    assert not drive.store.take_turn(_process(1)).reaps


def test_a_turn_of_the_future_keeps_nobody_from_it(drive: Driver) -> None:
    """The clock was set back."""
    _open(drive, _process(1, "h", "one"), _process(2, "h", "two"))
    assert drive.store.take_turn(_process(1)).reaps
    drive.clock.advance(-3_600_000)
    turn = drive.store.take_turn(_process(2))
    assert turn.reaps
    assert [s.id for s in turn.neighbours] == ["one"]


def test_who_is_patient_takes_no_turn_of_those_who_are_not(drive: Driver) -> None:
    _open(drive, _process(1, "h", "one"), _process(2, "i", "two"))
    take = drive.store.take_turn
    assert take(_process(1), patient=True).reaps
    assert not take(_process(2), patient=True).reaps
    assert take(_process(2)).reaps
    assert not take(_process(1)).reaps


def test_whose_turn_it_is_to_reap_hears_whether_there_is_a_lapsed_session(drive: Driver) -> None:
    one, two = _process(1, "h", "one"), _process(2, "i", "two")
    _open(drive, one, two)
    drive.clock.advance(LEASE_MS - 1)
    assert drive.store.take_turn(one) == Turn(reaps=True)
    drive.clock.advance(TURN_MS)
    assert drive.store.take_turn(two) == Turn(reaps=True, lapsed=True)
    assert drive.store.take_turn(one) == Turn()


def test_one_process_of_each_host_sees_to_its_neighbours(drive: Driver) -> None:
    _open(drive, *(_process(n, "h", f"s{n}") for n in (1, 2)), _process(2, "h", "t2"))
    _open(drive, *(_process(n, "i", f"s{n}") for n in (3, 4)), _process(5, "j", "alone"))
    take = drive.store.take_turn
    told = {n: take(_process(n, host)).neighbours for n, host in ((1, "h"), (3, "i"), (5, "j"))}
    assert {n: [s.id for s in told[n]] for n in told} == {1: ["s2", "t2"], 3: ["s4"], 5: []}
    assert told[3] == (msgspec.structs.replace(_process(4, "i", "s4"), worker=""),)
    assert take(_process(2, "h")).neighbours == ()
    drive.clock.advance(TURN_MS)
    assert [s.id for s in take(_process(2, "h")).neighbours] == ["s1"]


def test_a_new_neighbour_is_looked_after_at_once(drive: Driver) -> None:
    """As a worker that was killed and started again looks for what it had held."""
    _open(drive, *(_process(n, "h", f"s{n}") for n in (1, 2)), _process(3, "i", "s3"))
    take = drive.store.take_turn
    assert take(_process(1)).neighbours
    assert take(_process(3, "i")) == Turn()
    _open(drive, _process(4, "h", "s4"), _process(5, "i", "s5"))
    assert [s.id for s in take(_process(4)).neighbours] == ["s1", "s2"]
    assert [s.id for s in take(_process(3, "i")).neighbours] == ["s5"]
    assert take(_process(1)).neighbours == ()


def test_neighbours_are_those_whose_sessions_are_known(drive: Driver) -> None:
    _open(drive, *(_process(n, "h", f"s{n}") for n in (1, 2, 3, 4)))
    drive.store.close_session("s2")
    drive.store.reap(["s3"])
    assert [s.id for s in drive.store.take_turn(_process(1)).neighbours] == ["s4"]
    drive.clock.advance(LEASE_MS)
    drive.store.reap()
    assert drive.store.take_turn(_process(1)).neighbours == ()


def test_a_pid_that_is_used_again_is_another_process(drive: Driver) -> None:
    _open(drive, msgspec.structs.replace(_process(1, "h", "old"), pid_started="before"))
    assert [s.pid_started for s in drive.store.take_turn(_process(1)).neighbours] == ["before"]
