"""What a child runs, seen from its supervisor, through memory that both share."""

from __future__ import annotations

import os
import signal
import uuid

import msgspec
import pytest

from reliable_tasks.worker import scoreboard
from reliable_tasks.worker.scoreboard import Posted, Scoreboard
from tests.fakes import FakeClock

HERE = Posted(str(uuid.UUID(int=7)), 42, 1.5, 2.5, 3.5)


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard(3)


def test_it_shows_what_was_posted_until_it_is_cleared(board: Scoreboard) -> None:
    assert board.running() == ()
    board.post(1, HERE)
    other = Posted("other", 43, 1.0, 0.0, 0.0)
    board.post(0, other)
    assert board.running() == (other, HERE)
    board.clear(1)
    assert board.running() == (other,)


def test_a_long_id_of_the_users_own_is_cut_and_the_fence_still_tells(board: Scoreboard) -> None:
    board.post(0, Posted("ü" * 100, 42, 1.0, 0.0, 0.0))
    (seen,) = board.running()
    assert seen.fence == 42
    assert seen.id == "ü" * 36


def test_it_remembers_which_claims_had_begun_when_their_bodies_have_ended(
    board: Scoreboard,
) -> None:
    assert board.begun() == frozenset()
    board.post(1, HERE)
    board.post(1, msgspec.structs.replace(HERE, hard_deadline=9.0))
    board.clear(1)
    board.post(1, msgspec.structs.replace(HERE, fence=43))
    assert board.begun() == {42, 43}
    for fence in range(100, 5000):
        board.post(0, msgspec.structs.replace(HERE, fence=fence))
        board.clear(0)
    assert board.begun() >= set(range(3000, 5000)), "more than a consumer keeps of them"


def test_what_a_process_that_died_had_posted_is_still_there(board: Scoreboard) -> None:
    pid = os.fork()
    if pid == 0:
        board.post(2, HERE)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.running() == (HERE,)
    assert board.begun() == {HERE.fence}


def test_a_reader_never_sees_half_of_a_change() -> None:
    board = Scoreboard(1)
    pid = os.fork()
    if pid == 0:
        for n in range(1, 1_000_000):
            board.post(0, Posted(str(n), n, float(n), float(n), float(n)))
        os._exit(0)
    seen = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        for posted in board.running():
            n = posted.fence
            assert posted == Posted(str(n), n, float(n), float(n), float(n))
            seen += 1
    assert seen


def test_a_word_of_a_revocation_is_for_the_body_that_runs_and_gone_with_it() -> None:
    board = Scoreboard(2)
    board.post(1, Posted("a", 7, 1.0, 0.0, 0.0))
    board.revoke(8)
    assert [board.revoked(slot) for slot in (0, 1)] == [0, 0]
    board.revoke(7)
    assert [board.revoked(slot) for slot in (0, 1)] == [0, 7]
    board.clear(1)
    assert board.revoked(1) == 0
    board.close()


def test_it_counts_how_often_the_child_has_heard_from_the_store(board: Scoreboard) -> None:
    assert board.answers() == 0
    for times in (1, 2, 3):
        board.count_answer()
        assert board.answers() == times


def test_a_body_with_a_limit_wakes_the_supervisor(
    board: Scoreboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which looks seldom while there is none, and for a while often after that."""
    now, sent = FakeClock(), list[tuple[int, int]]()
    parent = os.getpid()
    monkeypatch.setattr(scoreboard, "monotonic", lambda: now.now / 1000)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    board.post(0, HERE)
    assert sent == [], "we are the supervisor ourselves"
    monkeypatch.setattr(os, "getppid", lambda: parent)
    board.post(0, Posted("a", 1, 1.0, 0.0, 0.0))
    assert sent == []
    for times in (1, 2):
        board.post(0, Posted("b", 2, 1.0, 0.0, 9.0))
        board.post(0, Posted("c", 3, 1.0, 5.0, 0.0))
        assert sent == [(parent, signal.SIGCHLD)] * times
        now.advance(200)
