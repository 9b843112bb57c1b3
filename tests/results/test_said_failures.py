"""`update_state(state="FAILURE", meta=…)`, `raise Ignore()`: a failure with details of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliable_tasks import App
from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.errors import RemoteError, TaskRevokedError
from reliable_tasks.store import values as v
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app() -> Iterator[App]:
    with App("saying", broker="sqlite://", set_as_current=False) as made:
        made.store.open_session(v.SessionInfo(id="s", worker="w@h"), 60_000)
        yield made


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
    app: App, meta: Any, raised: BaseException
) -> None:
    result = app.send_task("add")
    (claim,) = app.store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=1)).claims
    app.store.report(claim.id, claim.fence, "FAILURE", dumps(meta))
    assert (result.state, str(result.info)) == ("FAILURE", str(raised))
    commit = v.Commit(id=claim.id, fence=claim.fence, outcome=oc.Ignored())
    app.store.exchange("s", (commit,), None)
    assert (result.state, str(result.info)) == ("FAILURE", str(raised))
    with pytest.raises(type(raised)):
        result.get(timeout=PATIENCE_S)


def test_what_the_body_said_before_it_failed_is_not_its_failure(app: App) -> None:
    result = app.send_task("add")
    (claim,) = app.store.exchange("s", (), v.ClaimRequest(queues=("celery",), limit=1)).claims
    app.store.report(claim.id, claim.fence, "FAILURE", dumps(DECLINED))
    failed = oc.Failed(failure=encode_failure(KeyError("k")))
    commit = v.Commit(id=claim.id, fence=claim.fence, outcome=failed)
    app.store.exchange("s", (commit,), None)
    assert isinstance(result.info, KeyError)
