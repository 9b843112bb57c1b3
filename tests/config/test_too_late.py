"""Settings that the store reads when it is opened: to change one afterwards is an error."""

from typing import Any

import pytest

from reliable_tasks import App
from reliable_tasks.config.conf import Conf
from reliable_tasks.config.settings import READ_AT_OPENING, Settings
from reliable_tasks.errors import ConfigError
from reliable_tasks.store import store_options
from reliable_tasks.store.values import StoreOptions

OTHER_VALUES: dict[str, Any] = {
    "audit": "all",
    "audit_expires": 1,
    "max_audit_rows": 1,
    "max_audit_bytes": 1,
    "broker_transport_options": {"socket_timeout": 1},
    "broker_url": "sqlite:///other.db",
    "durable": "fsync",
    "max_batch": 7,
    "max_input_bytes": 2_097_152,
    "max_message_bytes": 2048,
    "max_query_rows": 7,
    "stage_expires": 7,
    "store_busy_timeout": 7,
    "store_file_mode": "0640",
    "store_namespace": "other",
    "store_url": "sqlite:///other.db",
}


@pytest.mark.parametrize("name", sorted(READ_AT_OPENING))
def test_what_the_store_has_read_cannot_be_changed_any_more(name: str) -> None:
    app = App(broker="sqlite://", set_as_current=False)
    app.conf[name] = getattr(app.settings, name)
    app.store.counts()
    app.conf[name] = getattr(app.settings, name)
    with pytest.raises(ConfigError, match=rf"^{name}=.* comes too late: .* with {name}="):
        app.conf[name] = OTHER_VALUES[name]
    with pytest.raises(ConfigError, match="comes too late"):
        app.config_from_object({name: OTHER_VALUES[name]})
    assert app.conf.settings() is app.settings
    app.close()


def test_the_table_has_all_that_the_store_is_opened_with() -> None:
    """Each of its options comes from a setting of the table; so does the URL."""
    usual, other = store_options(Settings()), store_options(Conf(OTHER_VALUES).settings())
    assert all(getattr(usual, n) != getattr(other, n) for n in StoreOptions.__struct_fields__)
    assert set(OTHER_VALUES) == READ_AT_OPENING


def test_a_dict_that_the_store_has_read_is_not_changed_in_silence() -> None:
    app = App(broker="sqlite://", set_as_current=False)
    app.conf.broker_transport_options["socket_timeout"] = 1
    app.store.counts()
    app.conf.broker_transport_options["socket_timeout"] = 2
    with pytest.raises(ConfigError, match=r"broker_transport_options=.* comes too late"):
        _ = app.settings
    app.close()


def test_what_the_environment_overrides_does_not_come_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RELIABLE_TASKS_MAX_BATCH", "9")
    app = App(broker="sqlite://", set_as_current=False)
    app.store.counts()
    app.config_from_object({"max_batch": 8})
    with pytest.raises(ConfigError, match="comes too late"):
        app.conf.max_batch = 8
    assert app.settings.max_batch == 9
    app.close()


def test_all_can_be_changed_where_no_store_was_opened() -> None:
    app = App(broker="redis://nowhere.invalid?nonsense=1", set_as_current=False)
    with pytest.raises(ConfigError, match="nonsense"):
        _ = app.store
    app.conf.broker_url = "sqlite://"
    assert app.store.counts().states == {}
    app.close()
    app.store = app.store
    app.conf.update(OTHER_VALUES)
