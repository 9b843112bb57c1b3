"""`update_state(state="FAILURE", meta=…)`, `raise Ignore()`: a failure with details of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.errors import RemoteError, TaskRevokedError
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.results.driver import Driver

DECLINED = {"exc_type": "ValueError", "exc_message": "the card was declined"}


@pytest.mark.parametrize(
    ("meta", "raised"),
    [
        (DECLINED, ValueError("the card was declined")),
        ({"exc_type": "ValueError", "exc_message": ["a", 1]}, ValueError("a", 1)),
        ({"exc_type": "Mine", "exc_module": "shop", "exc_message": "x"}, RemoteError("x")),
        ({"why": "declined"}, TaskRevokedError("its body said FAILURE of it: {'why': 'declined'}")),
        ("declined", TaskRevokedError("its body said FAILURE of it: 'declined'")),
    ],
)
def test_a_failure_with_details_of_the_bodys_own_keeps_them(
    driver: Driver, meta: Any, raised: BaseException
) -> None:
    result = driver.call()
    claim = driver.claim()
    driver.app.store.report(claim.id, claim.fence, "FAILURE", dumps(meta))
    assert (result.state, str(result.info)) == ("FAILURE", str(raised))
    driver.commit(claim, oc.Ignored())
    assert (result.state, str(result.info)) == ("FAILURE", str(raised))
    with pytest.raises(type(raised)):
        result.get(timeout=PATIENCE_S)


def test_what_the_body_said_before_it_failed_is_not_its_failure(driver: Driver) -> None:
    result = driver.call()
    claim = driver.claim()
    driver.app.store.report(claim.id, claim.fence, "FAILURE", dumps(DECLINED))
    driver.commit(claim, oc.Failed(failure=encode_failure(KeyError("k"))))
    assert isinstance(result.info, KeyError)
