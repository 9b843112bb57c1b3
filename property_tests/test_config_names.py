"""Settings under any spelling, in any order, with any password."""

from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from reliable_tasks.config.conf import Conf, Settings, mask_url, store_url
from reliable_tasks.config.names import NOTED, OLD_NAMES, REFUSED, resolve
from reliable_tasks.config.settings import described
from reliable_tasks.errors import ConfigError

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "audit": st.sampled_from(["default", "all"]),
    "imports": st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True)).map(tuple),
    "max_deliveries": st.integers(1, 1000),
    "task_ignore_result": st.booleans(),
    "task_default_queue": st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
    ),
    "task_publish_retry": st.booleans(),
    "timezone": st.sampled_from(["UTC", "Europe/Paris", "Asia/Shanghai"]),
    "unknown_task_delay": st.floats(0, 1e6),
    "worker_log_json": st.sampled_from([None, True, False]),
}
ASSIGNMENTS = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))
)


def spellings(name: str) -> list[str]:
    old = [old for old, new in OLD_NAMES.items() if new == name]
    return [name, f"CELERY_{name.upper()}", *old]


@given(st.sampled_from([*described, *NOTED, *REFUSED]))
def test_every_spelling_leads_to_one_name(name: str) -> None:
    assert {resolve(spelling) for spelling in spellings(name)} == {name}


@given(ASSIGNMENTS, st.data())
def test_what_is_assigned_is_read_under_every_spelling(
    assignments: list[tuple[str, Any]], data: st.DataObject
) -> None:
    conf = Conf()
    expected: dict[str, Any] = {}
    for name, value in assignments:
        conf[data.draw(st.sampled_from(spellings(name)))] = value
        expected[name] = value
        assert all(conf[spelling] == value for spelling in spellings(name))
        assert conf.settings() == Settings(**expected)


@given(ASSIGNMENTS)
def test_the_environment_says_the_same_as_an_assignment(
    assignments: list[tuple[str, Any]],
) -> None:
    values = {k: v for k, v in assignments if k != "task_default_queue"}
    texts = {
        f"RELIABLE_TASKS_{name.upper()}": ",".join(value) if name == "imports" else str(value)
        for name, value in values.items()
    }
    conf = Conf()
    conf.load_env(texts)
    assert conf.settings() == Conf(values).settings()


@given(st.text())
def test_any_other_name_is_refused_or_kept_and_changes_no_setting(name: str) -> None:
    conf = Conf()
    if resolve(name) is None:
        try:
            conf[name] = 1
        except ConfigError:
            assert name not in conf
        else:
            assert conf[name] == 1
        assert conf.settings() == Settings()


@given(
    st.sampled_from(sorted(described)),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.lists(st.none() | st.text()),
        st.dictionaries(st.text() | st.integers(), st.none() | st.text()),
    ),
)
def test_any_value_is_either_taken_for_good_or_a_config_error(name: str, value: Any) -> None:
    conf = Conf()
    try:
        conf[name] = value
        first = conf.settings()
    except ConfigError as error:
        told = str(error)
    else:
        told = name
        again = Conf({name: getattr(first, name)})
        assert again.settings() == first
    assert name in told


@given(st.text(min_size=1), st.sampled_from(["redis", "rediss", "unix", "sentinel", "amqp", ""]))
def test_a_masked_url_never_holds_the_password(secret: str, scheme: str) -> None:
    marked = f"<{secret}>"
    login = f"{scheme}://me:{marked}@host/0" if scheme else f"me:{marked}@host"
    assert marked not in mask_url(login)
    assert quote(marked, safe="") not in mask_url(
        f"redis://h?password={quote(marked, safe='')}&db=1"
    )


@given(st.text(), st.text(), st.integers(1, 65535), st.integers(0, 99))
def test_a_redis_url_says_what_was_put_in(user: str, password: str, port: int, db: int) -> None:
    try:
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    except UnicodeEncodeError:
        return
    parsed = store_url(Conf({"broker_url": f"redis://{login}h:{port}/{db}"}).settings())
    assert (parsed.username or "", parsed.password or "") == (user, password)
    assert (parsed.hosts, parsed.db) == ((("h", port),), db)
    again = store_url(Conf({"broker_url": parsed.url}).settings())
    assert again == parsed
