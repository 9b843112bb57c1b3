"""What a verb answers where there is nothing to tell."""

from reliable_tasks.store.values import Batch
from tests.store.driver import Driver, message


def test_a_batch_without_a_stage_leaves_nothing_held(drive: Driver) -> None:
    assert drive.store.enqueue(Batch(messages=(message("a"),))).held == 0


def test_a_stage_that_is_not_sealed_yet_tells_of_nothing_held(drive: Driver) -> None:
    batch = Batch(messages=(message("a"), message("b")), stage="stage")
    assert drive.store.enqueue(batch).held == 0
    sealed = drive.store.enqueue(Batch(messages=(message("c"),), stage="stage", seal=True))
    assert sealed.held == 0
