"""Capacity is worked out from what was measured, and bad input is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import capacity, capacity_costs
from benchmarks.arena import BenchmarkError
from benchmarks.capacity_model import GIB, Costs, Demand, Used, plan, queued_share

COSTS = Costs(
    call_alone=Used(20.0, 50.0, 300.0, 30.0, 1.0),
    call_many=Used(5.0, 10.0, 150.0, 1.0, 0.0),
    met=Used(200.0, 0.0, 600.0, 700.0, 2.0),
    exchange=Used(100.0, 0.0, 150.0, 20.0, 1.0),
    each=Used(15.0, 0.0, 150.0, 350.0, 0.0),
    worker_us=500.0,
    worker_many_us=20.0,
    waiting_bytes=400.0,
    ended_bytes=500.0,
    base_bytes=1e6,
)
DEMAND = Demand(rate=1000.0, body_s=0.05, kept_s=3600.0)
WORDS = ["--rate", "20000", "--body", "50ms", "--results", "1d"]


def test_who_queues_is_worked_out_as_erlang_did() -> None:
    assert queued_share(0.5, 1) == pytest.approx(0.5)  # of one server: its load
    assert queued_share(8.0, 10) == pytest.approx(0.409, abs=0.001)  # from his tables
    assert queued_share(1000.0, 1430) < 1e-9
    assert queued_share(3.0, 3) == 1.0


def test_lone_messages_cost_what_was_measured_of_them() -> None:
    found = plan(COSTS, DEMAND)
    assert found.processes == 73  # 1,000 x 50.5 ms, of each at most 70 %
    assert found.message.server_us == pytest.approx(220.0, abs=2)
    assert found.server_cores == pytest.approx(0.22, abs=0.01)
    assert found.servers == 1
    assert found.memory_bytes == pytest.approx(1e6 + 1e6 * 400 + 3.6e6 * 500)


def test_messages_that_wait_share_an_exchange() -> None:
    found = plan(COSTS, replace(DEMAND, rate=2e4, body_s=0.0, many=True))
    assert found.processes == 1
    assert found.queued == 1.0
    assert found.message.server_us == pytest.approx(5.0 + 15.0 + 100.0 / 256)
    assert found.worker_us == 20.0


def test_memory_asks_for_servers_as_well() -> None:
    found = plan(COSTS, replace(DEMAND, kept_s=86400.0, memory=16 * GIB))
    assert found.servers_for_cores == 1
    assert found.servers_for_memory == found.servers == 3


def run(*_: object, rate: float, **__: object) -> capacity_costs.Run:
    """One that used a tenth more of everything than was said."""
    one = plan(COSTS, Demand(rate=rate or 1.0, body_s=0.005, kept_s=0.0), 2).message
    return capacity_costs.Run(Used().plus(one, 1.1), 550.0, rate, 550.0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_costs, "costs", lambda _: COSTS)
    monkeypatch.setattr(capacity_costs, "run", run)


@pytest.mark.usefixtures("measured")
def test_it_says_what_it_takes_and_how_far_off_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main(WORDS) == 0
    said = capsys.readouterr().out
    assert "20,000 messages a second, bodies of 50 ms, results kept 1 d" in said
    assert "servers                      13" in said  # a day of results, 64 GiB each
    assert "-9%" in said  # 500 bytes said, 550 seen
    assert "docs/explanation/scale.md" in said


@pytest.mark.usefixtures("measured")
def test_it_says_so_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert capacity.main([*WORDS, "--json", "--size", "2KiB"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["demand"]["rate"] == 20000
    assert found["plan"]["servers"] == 13
    assert len(found["checks"]) == 3
    assert found["checks"][0]["memory_error"] == pytest.approx(-1 / 11)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "0"], "'0' is no number above 0"),
        (["--rate", "many"], "'many' is no number above 0"),
        (["--rate", "nan"], "'nan' is no number above 0"),
        (["--body", "50"], "'50' is no number with a unit of us, ms, s, m, h, d"),
        (["--body", "2d"], "more than a day"),
        (["--results", "1y"], "give it as 50ms, 2s or 1d"),
        (["--size", "5MiB"], "over max_message_bytes"),
        (["--memory", "64"], "give it as 100B, 4KiB or 64GiB"),
        (["--memory", "0GiB"], "--memory"),
        (["--backlog", "-1"], "no number of messages"),
        (["--busy", "1.5"], "no number above 0 and up to 0.95"),
    ],
)
def test_bad_input_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        capacity.main([*WORDS, *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_run_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: str) -> Costs:
        raise BenchmarkError("the workers took over 60 s")

    monkeypatch.setattr(capacity_costs, "costs", fail)
    assert capacity.main(WORDS) == 1
    assert "the workers took over 60 s" in capsys.readouterr().err
