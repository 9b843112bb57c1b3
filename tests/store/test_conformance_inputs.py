"""What parents leave for a child: of any size up to a limit, and beyond it in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import State
from tests.store.driver import Driver, edge, message

if TYPE_CHECKING:
    from tests.store.conftest import Opener

MIB = 2**20


def _join(drive: Driver, sizes: list[int]) -> None:
    names = [f"part {n}" for n in range(len(sizes))]
    parts = (message(name, edges=(edge("body", slot=n),)) for n, name in enumerate(names))
    drive.put(message("body", waits=len(sizes)), *parts)
    for size in sizes:
        drive.run(oc.Succeeded(result=b"x" * size, keep=False))


@pytest.mark.parametrize("sizes", [[10, 0, 20], [MIB, 1], [MIB, MIB, 3 * MIB]])
def test_inputs_of_any_size_arrive(open_driver: Opener, sizes: list[int]) -> None:
    drive = open_driver(max_input_bytes=5 * MIB)
    _join(drive, sizes)
    claim = drive.claim_one()
    assert [len(part.value) for part in claim.inputs] == sizes
    assert (claim.oversize, drive.store.held("session-1")) == (0, (claim,))


@pytest.mark.parametrize("sizes", [[MIB, 1], [MIB, 2 * MIB]])
def test_larger_ones_are_left_out_and_told_of(open_driver: Opener, sizes: list[int]) -> None:
    drive = open_driver(max_input_bytes=MIB)
    _join(drive, sizes)
    claim = drive.claim_one()
    assert (claim.inputs, claim.oversize) == ((), sum(sizes))
    assert drive.store.held("session-1") == (claim,)
    drive.commit(claim, oc.Failed())
    drive.store.replay(["body"])
    assert drive.claim_one().oversize == sum(sizes)
    assert drive.state("part 0") == State.SUCCEEDED
