"""The plan of a soak: it follows from its seed, has everything in it, and comes to an end."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.soak.plan import LEASE_S, PROCESS, STORE, make_plan

stores = pytest.mark.parametrize("store", ["sqlite", "redis"])


@stores
def test_a_seed_repeats_its_plan_and_another_has_another(store: str) -> None:
    assert make_plan(7, 90, store) == make_plan(7, 90, store)
    assert make_plan(7, 90, store) != make_plan(8, 90, store)


@stores
def test_a_longer_soak_goes_on_where_the_shorter_one_ends(store: str) -> None:
    short, long = make_plan(7, 90, store), make_plan(7, 180, store)
    assert [fault for fault in long if fault in short] == short
    assert len(long) > len(short)


@stores
@pytest.mark.parametrize("seed", range(20))
def test_every_kind_of_blow_comes_within_a_minute_and_a_quarter(store: str, seed: int) -> None:
    kinds = {fault.kind for fault in make_plan(seed, 75, store)}
    assert kinds == {*PROCESS, *STORE[store]}


@stores
def test_blows_of_one_lane_do_not_overlap_and_all_end_in_time(store: str) -> None:
    plan = make_plan(3, 300, store)
    assert [fault.at_s for fault in plan] == sorted(fault.at_s for fault in plan)
    for kinds in (PROCESS, STORE[store]):
        lane = [fault for fault in plan if fault.kind in kinds]
        ends = [fault.at_s + fault.seconds for fault in lane]
        assert all(end < after.at_s for end, after in zip(ends, lane[1:], strict=False))
        assert ends[-1] <= 300


@stores
def test_kinds_are_dealt_like_cards(store: str) -> None:
    for kinds in (PROCESS, STORE[store]):
        times = Counter(fault.kind for fault in make_plan(3, 600, store) if fault.kind in kinds)
        assert max(times.values()) - min(times.values()) <= 1


def test_some_stops_are_longer_than_the_lease() -> None:
    beyond = [b for b in make_plan(1, 300, "sqlite") if b.kind == "stop tree beyond the lease"]
    assert beyond
    assert all(fault.seconds > LEASE_S for fault in beyond)


def test_a_blow_tells_what_it_is() -> None:
    told = {str(fault) for fault in make_plan(1, 300, "redis")}
    assert any(text.startswith("blackhole for ") and text.endswith(" s") for text in told)
    assert "deploy" in told
