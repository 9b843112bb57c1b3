import copy
import json
import pickle
from typing import Any

import pytest

from reliable_tasks import App, chain, chord, group, signature
from reliable_tasks.canvas import Signature, maybe_signature, subtask, xmap, xstarmap
from reliable_tasks.core.codec import dumps, loads
from reliable_tasks.errors import ConfigError, NotRegistered
from tests.canvas.helpers import add_tasks


@pytest.fixture
def app() -> App:
    return App("cele", set_as_current=False)


@pytest.fixture
def t(app: App) -> Any:
    return add_tasks(app)


def test_it_shows_the_call(t: Any) -> None:
    assert repr(t.add.signature((2, 2), countdown=10)) == "add(2, 2)"
    assert repr(t.add.s(1) | t.add.s(y=2)) == "add(1) | add(y=2)"
    assert repr(group(t.add.s(1, 1), t.add.s(2, 2))) == "group([add(1, 1), add(2, 2)])"
    assert repr(chord([t.add.s(1, 1)], t.xsum.s())) == "chord(group([add(1, 1)]), xsum())"
    assert repr(group([t.add.s(i, i) for i in range(1000)])).endswith("… 990 more])")


def test_a_partial_is_a_function(t: Any) -> None:
    partial = t.add.s(1)
    assert partial(2) == 3
    assert t.pair.s("label")("value") == ["label", "value"]


def test_its_items_are_its_attributes(t: Any) -> None:
    sig = t.add.signature((1,), {"y": 2}, countdown=5, expires=None, immutable=True)
    assert sig == {
        "task": "add",
        "args": (1,),
        "kwargs": {"y": 2},
        "options": {"countdown": 5},
        "subtask_type": None,
        "immutable": True,
    }
    assert (sig.task, sig.name, sig.args, sig.kwargs) == ("add", "add", (1,), {"y": 2})
    sig.kwargs = {"y": 3}
    assert sig["kwargs"] == {"y": 3}
    assert sig.id is None
    assert sig.freeze("mine").id == sig.id == "mine"


CANVASES: dict[str, Any] = {
    "call": lambda t: t.add.signature((1,), {"y": 2}, countdown=5),
    "immutable": lambda t: t.add.si(1, 2),
    "chain": lambda t: chain(t.add.s(1, 2), t.add.s(3), queue="other"),
    "group": lambda t: group(t.add.s(i, i) for i in range(3)),
    "chord": lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], t.xsum.s() | t.echo.s()),
    "map": lambda t: t.echo.map([1, 2]),
    "starmap": lambda t: t.add.starmap([[1, 2], [3, 4]]),
    "chunks": lambda t: t.add.chunks([[1, 2], [3, 4]], 1),
    "nested": lambda t: (
        t.add.s(1, 1)
        | group(chord([t.echo.s()], t.xsum.s()), t.echo.s() | t.echo.s())
        | t.echo.s().on_error(t.echo.s() | t.echo.s())
    ),
}


@pytest.mark.parametrize("name", CANVASES)
def test_it_survives_json(t: Any, app: App, name: str) -> None:
    sig = CANVASES[name](t)
    back = signature(json.loads(json.dumps(sig)), app=app)
    assert type(back) is type(sig)
    assert back == sig
    assert back.apply().get() == sig.apply().get()
    assert signature(loads(dumps(sig)), app=app) == sig
    assert pickle.loads(pickle.dumps(sig)) == sig


@pytest.mark.parametrize("name", CANVASES)
def test_a_copy_shares_nothing(t: Any, name: str) -> None:
    sig = CANVASES[name](t)
    before = json.dumps(sig)
    for fresh in (sig.clone(), copy.deepcopy(sig), signature(sig)):
        assert fresh == sig
        fresh.set(queue="elsewhere").freeze()
        fresh.link(t.echo.s())
        for part in fresh.kwargs.get("tasks", []):
            part.set(queue="elsewhere")
    assert json.dumps(sig) == before


def test_clone_and_replace(t: Any) -> None:
    sig = t.add.signature((1,), {"a": 1}, queue="one")
    more = sig.clone((0,), {"b": 2}, priority=3)
    assert (more.args, more.kwargs) == ((0, 1), {"a": 1, "b": 2})
    assert more.options == {"queue": "one", "priority": 3}
    other = sig.replace(args=(5,), kwargs={}, options={"priority": 1})
    assert (other.args, other.kwargs, other.options) == ((5,), {}, {"priority": 1})
    assert t.add.si(1).clone((0,), {"b": 2}) == t.add.si(1)


def test_set_and_callbacks(t: Any) -> None:
    sig = t.add.s(1)
    assert sig.set(immutable=True, queue="one") is sig
    assert sig.immutable
    callback = t.echo.s()
    assert sig.link(callback) is callback
    assert sig.link_error(callback) is callback
    assert sig.on_error(t.echo.s()) is sig  # an equal one is there already
    assert sig.options == {"queue": "one", "link": [callback], "link_error": [callback]}


def test_pipes_make_flat_chains_and_leave_their_parts_alone(t: Any) -> None:
    one, two = t.add.s(1, 1) | t.add.s(2), t.add.s(3) | t.add.s(4)
    assert len(one | two) == 4
    assert len(one | t.add.s(3) | group(t.echo.s())) == 4
    assert len(one) == len(two) == 2
    assert len(one | two.clone().set(queue="other")) == 3  # its options are its parts' alone
    assert (one | json.loads(json.dumps(two))) == (one | two)


def test_spellings_of_members(t: Any) -> None:
    parts = [t.add.s(1, 1), t.add.s(2, 2)]
    assert group(*parts) == group(parts) == group(iter(parts)) == group(group(parts))
    assert chain(*parts) == chain(parts) == chain(iter(parts))
    assert (
        chord(group(parts), t.xsum.s())
        == chord(parts, t.xsum.s())
        == chord(iter(parts))._with(t.xsum.s())
    )
    assert len(group(parts)) == 2
    assert xmap(t.echo.s(), range(2))["kwargs"]["it"] == [0, 1]
    assert xstarmap(t.add, [(1, 2)])["kwargs"]["task"] == t.add.s()


def test_what_is_no_signature_is_refused(t: Any) -> None:
    with pytest.raises(ConfigError, match=r"write task\.s"):
        group([len])
    with pytest.raises(ConfigError, match=r"write task\.s"):
        t.add.s(1).link(lambda: None)
    with pytest.raises(ConfigError, match="is not a signature"):
        signature({"args": []})
    with pytest.raises(ConfigError, match="did you mean 'chain'"):
        signature({"task": "x", "subtask_type": "chan"})
    with pytest.raises(ConfigError, match="needs a task"):
        Signature(None)
    assert maybe_signature(None) is None
    assert subtask is signature
    with pytest.raises(TypeError):
        t.add.s(1) | 2


def test_canvases_are_no_tasks(t: Any, app: App) -> None:
    with pytest.raises(ConfigError, match="not a call of one task"):
        _ = (t.add.s(1) | t.add.s(2)).type
    with pytest.raises(NotRegistered):
        _ = Signature("elsewhere", app=app).type
    with pytest.raises(ConfigError, match="keyword"):
        chain(t.add.s(1)).clone(kwargs={"x": 1})


def test_freezing_fixes_every_id(t: Any) -> None:
    canvas = t.add.s(1, 1) | group(t.echo.s(), t.echo.s() | t.echo.s())
    promised = canvas.freeze()
    again = canvas.clone().freeze()
    assert promised == again
    assert [handle.id for handle in promised] == [handle.id for handle in again]
    assert promised.parent.id == canvas.tasks[0].id
    twice = t.echo.s(1)
    assert len({handle.id for handle in group(twice, twice).freeze()}) == 2


def test_eager_apps_apply_at_once(app: App, t: Any) -> None:
    app.conf.task_always_eager = True
    canvas = t.add.s(1, 1) | group(t.echo.s(), t.add.s(1)) | t.xsum.s()
    result = canvas.apply_async()
    assert (result.get(), result.state) == (5, "SUCCESS")
    assert result.parent.get() == [2, 3]
    assert canvas().get() == 5
    assert [each.get() for each in app.enqueue_many([t.add.s(1, 1), canvas])] == [2, 5]


def test_eager_callbacks_and_errbacks(app: App, t: Any) -> None:
    seen = list[Any]()

    @app.task(name="see")
    def see(*values: Any) -> None:
        seen.append(values)

    @app.task(name="see_id")
    def see_id(failed_id: str) -> None:
        seen.append(failed_id)

    t.add.s(1, 1).apply(link=see.s("linked"))
    broken = chain(t.echo.si(1), t.boom.s(), t.echo.s()).on_error(see_id.s()).apply()
    with pytest.raises(ValueError, match="boom 1"):
        broken.get()
    assert seen == [(2, "linked"), broken.parent.id]
    with pytest.raises(ValueError, match="boom"):
        (t.boom.si(3) | t.echo.s()).apply(throw=True)


# Options given later -----------------------------------------------------------------------------


def test_options_given_to_a_copy_win_over_its_own(t: Any) -> None:
    sig = t.add.signature((1,), countdown=5, queue="own", priority=3)
    assert sig.clone(countdown=9).options == {"countdown": 9, "queue": "own", "priority": 3}
    assert sig.clone(queue="given", priority=None).options["queue"] == "given"
    assert sig.clone(priority=None).options["priority"] == 3, "None is no word at all"
    assert sig.options == {"countdown": 5, "queue": "own", "priority": 3}


@pytest.mark.parametrize("change", ["clone", "set"])
def test_a_countdown_replaces_an_eta_and_the_other_way_round(t: Any, change: str) -> None:
    when = "2030-01-01T00:00:00+00:00"
    later = getattr(t.add.signature((1,), eta=when, queue="q"), change)(countdown=9)
    assert later.options == {"countdown": 9, "queue": "q"}
    assert getattr(t.add.signature((1,), countdown=9), change)(eta=when).options == {"eta": when}


# Chains by | -------------------------------------------------------------------------------------

LOOKS: dict[str, Any] = {
    "by index": lambda c: c.tasks[0],
    "by slice": lambda c: c.tasks[:1][0],
    "in a loop": lambda c: next(part for part in c.tasks),
    "backwards": lambda c: list(reversed(c.tasks))[-1],
    "unpacked": lambda c: [*c.tasks, None][0],
    "in a sum": lambda c: c.tasks.__add__([None])[0],
    "in a product": lambda c: (c.tasks * 1)[0],
    "in a copy": lambda c: c.tasks.copy()[0],
    "taken out": lambda c: c.tasks.pop(0),
    "as an item": lambda c: c["kwargs"]["tasks"][0],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_part_of_one_chain_is_no_part_of_another(t: Any, look: Any) -> None:
    two = t.add.s(0, 0) | t.add.s(1)
    three = two | t.add.s(2)
    four = three | t.add.s(3)
    look(three).set(queue="changed").kwargs["y"] = 9
    five = three | t.add.s(4)
    look(four).args = ("changed",)
    for untouched, length in ((two, 2), (five, 4)):
        first = untouched.tasks[0] if untouched is two else two.tasks[0]
        assert (first.args, first.kwargs, first.options) == ((0, 0), {}, {})
        assert len(untouched) == length - (look is LOOKS["taken out"] and untouched is five)
    assert len(two | t.add.s(5)) == 3


def test_parts_that_were_seen_before_are_copied_by_the_next_chain(t: Any) -> None:
    given = t.add.s(0, 0)
    two = given | t.add.s(1)
    seen = two.tasks[1]
    three = two | t.add.s(2)
    given.set(queue="changed")
    seen.set(queue="changed")
    assert [part.options for part in three.tasks] == [{}, {}, {}]


def test_a_chain_by_pipes_is_a_dictionary_as_any_other(t: Any) -> None:
    piped = t.add.s(0, 0) | t.add.s(1) | t.add.s(2)
    listed = chain(t.add.s(0, 0), t.add.s(1), t.add.s(2))
    assert piped == listed
    assert json.dumps(piped) == json.dumps(listed)
    assert dumps(piped) == dumps(listed)
    assert repr(piped) == repr(listed)
    for back in (pickle.loads(pickle.dumps(piped)), copy.deepcopy(piped), loads(dumps(piped))):
        assert back == listed
    piped.tasks.append(t.add.s(3))
    assert len(piped) == 4


def test_each_pipe_copies_what_is_new_and_nothing_else(
    t: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = 0
    clone = Signature.clone

    def counted(self: Signature, *args: Any, **kwargs: Any) -> Signature:
        nonlocal copied
        copied += 1
        return clone(self, *args, **kwargs)

    monkeypatch.setattr(Signature, "clone", counted)
    piped = t.add.s(0, 0)
    for n in range(500):
        piped |= t.add.s(n)
    assert len(piped) == 501
    assert copied == 501
