"""How long `get()` waits for a store that went away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.codec import dumps
from reliable_tasks.errors import StoreUnavailable
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    import pytest

    from tests.results.driver import Driver


def test_get_is_patient_with_a_store_that_went_away_in_its_first_wait(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = driver.call()
    read, away = driver.app.store.read, iter(range(3))

    def cut(*_: Any) -> None:
        """As a wait on Redis ends whose connection was cut after the server had answered."""

    def shaky(ids: list[str], **how: Any) -> Any:
        if next(away, None) is not None:
            raise StoreUnavailable("cut")
        driver.end(oc.Succeeded(result=dumps(5)))
        return read(ids, **how)

    monkeypatch.setattr(driver.app.store, "read_ended", cut)
    monkeypatch.setattr(driver.app.store, "read", shaky)
    assert result.get(timeout=PATIENCE_S) == 5
