"""Exceptions come back as their own class where its module is imported, and no code of it runs."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import traceback
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pydantic
import pytest

from reliable_tasks.core.codec.exceptions import SafeExceptions
from reliable_tasks.core.codec.failures import Failure, decode_failure, encode_failure
from reliable_tasks.errors import NotRegistered, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable


def through(exc: BaseException) -> Any:
    return SafeExceptions().rebuild(decode_failure(encode_failure(exc, "the traceback")))


def again(failure: Failure) -> Any:
    return SafeExceptions().rebuild(failure)


def boom(*_: Any, **__: Any) -> NoReturn:
    raise SystemExit("user code ran")


class Plain(Exception):
    """As most are."""


class WithCode(Exception):
    """Its arguments are not those of its constructor."""

    def __init__(self, code: int, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class Slotted(Exception):
    __slots__ = ("limit", "never_set")

    def __init__(self, limit: int) -> None:
        self.limit = limit


@dataclass(frozen=True)
class Frozen(Exception):
    code: int
    tags: tuple[str, ...]


class Disk(OSError):
    def __init__(self, device: str) -> None:
        super().__init__(28, "No space left on device", device)
        self.device = device

    def __reduce__(self) -> Any:
        return Disk, (self.device,)


class Both(KeyError, OSError):
    """Its memory is laid out by the second."""


class Undecodable(UnicodeDecodeError):
    pass


class Syntax(SyntaxError):
    pass


class Several(ExceptionGroup[Exception]):
    """A group of one's own, with a constructor of its own."""

    where: str

    def __new__(cls, where: str, parts: Any) -> Any:
        made = super().__new__(cls, f"in {where}", parts)
        made.where = where
        return made


class Article:
    class DoesNotExist(Exception):
        """As Django has them."""


@pytest.mark.parametrize(
    "exc",
    [
        Plain("a", 1),
        Plain(),
        WithCode(7, hint="look"),
        Slotted(5),
        Frozen(3, ("a",)),
        Disk("/dev/full"),
        Both(2, "No such file"),
        Undecodable("utf-8", b"\xff", 0, 1, "bad"),
        Syntax("bad", ("f.py", 1, 2, "x =")),
        Article.DoesNotExist("no such article"),
        json.JSONDecodeError("Expecting value", "{", 1),
        pickle.PicklingError("cannot"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_class_of_an_imported_module_comes_back_as_itself(exc: BaseException) -> None:
    back = through(exc)
    assert type(back) is type(exc)
    assert (str(back), back.args) == (str(exc), exc.args)
    mine, theirs = dict(vars(exc)), dict(vars(back))
    assert theirs.pop("remote_traceback") == "the traceback"
    assert theirs.pop("__notes__") == ["\nTraceback in the worker:\n\nthe traceback"]
    assert theirs == mine
    with pytest.raises(type(exc)):
        raise back


def test_slots_and_files_are_what_they_were() -> None:
    assert through(Slotted(5)).limit == 5
    assert not hasattr(through(Slotted(5)), "never_set")
    back = through(Disk("/dev/full"))
    assert (back.errno, back.filename, back.device) == (28, "/dev/full", "/dev/full")
    assert through(Syntax("bad", ("f.py", 1, 2, "x ="))).lineno == 1


def test_a_group_of_ones_own_keeps_its_parts() -> None:
    back = through(Several("shop", [Plain("p"), WithCode(1, hint="h")]))
    assert (type(back), str(back), back.where) == (Several, "in shop (2 sub-exceptions)", "shop")
    assert [type(part) for part in back.exceptions] == [Plain, WithCode]


def test_it_prints_with_the_traceback_of_the_worker_and_its_cause() -> None:
    exc = WithCode(7, hint="look")
    exc.__cause__ = Plain("cause")
    back = through(exc)
    assert type(back.__cause__) is Plain
    printed = "".join(traceback.format_exception(back))
    assert "Plain: cause" in printed
    assert "WithCode: code 7\n\nTraceback in the worker:\n\nthe traceback" in printed


def test_what_was_added_here_does_not_travel_on() -> None:
    back = through(through(WithCode(7, hint="look")))
    assert len(back.__notes__) == 1
    assert back.code == 7
    stand_in = through(through(local_class()("x")))
    assert len(stand_in.__notes__) == 2


# Nothing of the class runs -----------------------------------------------------------------------


class Meta(type):
    """A metaclass that asks for the end of the program whatever is asked of it."""

    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = __call__ = boom
    __getattribute__ = boom


def hostile_class() -> Any:
    class Hostile(Exception):
        __new__ = __init__ = __setattr__ = __delattr__ = __getattribute__ = boom
        __bool__ = __len__ = __eq__ = __hash__ = __reduce__ = __setstate__ = boom
        __notes__ = __cause__ = __dict__ = args = __class__ = property(boom)

    return Hostile


def class_of_hostile_metaclass() -> Any:
    return type.__call__(Meta, "Hostile", (Exception,), {})


@pytest.mark.parametrize("make", [hostile_class, class_of_hostile_metaclass])
def test_a_hostile_class_is_made_without_running_its_code(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    hostile = types.ModuleType("hostile")
    vars(hostile)["Hostile"] = cls = make()
    monkeypatch.setitem(sys.modules, "hostile", hostile)
    told: Any = {"type": "Hostile", "module": "hostile", "message": "m", "args": ("m",)}
    cause = Failure(**told)
    back = again(Failure(**told, cause=cause, notes=("n",), state={"code": 7}, traceback="t"))
    assert type(back) is cls
    attributes = vars(BaseException)["__dict__"].__get__(back)
    assert (attributes["code"], attributes["__notes__"][0]) == (7, "n")
    assert vars(BaseException)["args"].__get__(back) == ("m",)
    assert type(vars(BaseException)["__cause__"].__get__(back)) is cls


class HostileText(Exception):
    __str__ = __repr__ = __format__ = boom


def test_text_that_needs_what_did_not_come_along_is_the_text_that_it_had() -> None:
    back = again(Failure(type="HostileText", module=__name__, message="what it said", args=(1,)))
    assert isinstance(back, HostileText)
    assert (str(back), back.args) == ("what it said", (1,))
    for copied in (copy.copy(back), pickle.loads(pickle.dumps(back))):
        assert isinstance(copied, HostileText)
        assert (str(copied), copied.args) == ("what it said", (1,))


class Subclassed(HostileText):
    def __init_subclass__(cls) -> None:
        boom()


def test_no_class_is_made_where_that_would_run_its_code() -> None:
    back = again(Failure(type="Subclassed", module=__name__, message="what it said"))
    assert isinstance(back, RemoteError)
    assert str(back) == "what it said"
    assert "result_exceptions" in back.__notes__[0]


class Spoiled(Exception):
    def __init__(self, *_: Any) -> None:
        raise SystemExit


def test_a_declared_class_whose_constructor_exits_is_made_without_it() -> None:
    exceptions = SafeExceptions()
    exceptions.register(Spoiled)
    back = exceptions.rebuild(Failure(type="Spoiled", module=__name__, message="m", args=("m",)))
    assert (type(back), back.args) == (Spoiled, ("m",))


# Stand-ins ---------------------------------------------------------------------------------------


def local_class() -> Any:
    class Local(Exception):
        pass

    return Local


class Exit(BaseException):
    """Not to be caught by mistake."""


NoError = 5


class NoException:
    class Inner(Exception):
        pass


def validation_error() -> BaseException:
    with pytest.raises(pydantic.ValidationError) as raised:
        pydantic.TypeAdapter(int).validate_python("x")
    return raised.value


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: local_class()("x"), "has no class of this name here"),
        (lambda: Exit("x"), "it is no Exception, and would end the program"),
        (lambda: SystemExit(3), "it is no Exception"),
        (KeyboardInterrupt, "it is no Exception"),
        (lambda: GeneratorExit("x"), "it is no Exception"),
        (validation_error, "makes no instance without its constructor"),
    ],
)
def test_what_cannot_be_made_here_is_a_stand_in_that_says_why(
    make: Callable[[], BaseException], why: str
) -> None:
    exc = make()
    back = through(exc)
    assert isinstance(back, RemoteError)
    assert not isinstance(back, SystemExit | KeyboardInterrupt | GeneratorExit)
    assert str(back) == str(exc)
    assert why in back.__notes__[0]


@pytest.mark.parametrize("name", ["NoError", "NoException", "boom", "Plain.x", "NoException.y", ""])
def test_a_name_that_is_no_exception_class_here_is_a_stand_in(name: str) -> None:
    assert isinstance(again(Failure(type=name or "x", module=__name__, message="m")), RemoteError)


class LazyModule(types.ModuleType):
    """Imports what is asked of it, as lazy packages do."""

    asked: ClassVar[list[str]] = []

    def __getattribute__(self, name: str) -> Any:
        LazyModule.asked.append(name)
        boom()


def test_no_module_is_asked_for_what_it_has_not_got(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = types.ModuleType("lazy")
    vars(lazy)["__getattr__"] = boom
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.setitem(sys.modules, "lazier", LazyModule("lazier"))
    monkeypatch.setitem(sys.modules, "no_module", boom)
    monkeypatch.setitem(sys.modules, "none", None)
    for module in ("lazy", "lazier", "no_module", "none"):
        back = again(Failure(type="Error", module=module, message="m"))
        assert isinstance(back, RemoteError)
    assert LazyModule.asked == []


# The program itself ------------------------------------------------------------------------------


def test_the_program_goes_by_the_name_that_others_import_it_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = types.ModuleType("__main__")
    vars(program).update(Mine=type("Mine", (Exception,), {"__module__": "__main__"}))
    program.__file__ = "/srv/shop_tasks.py"
    monkeypatch.setitem(sys.modules, "__main__", program)
    failure = decode_failure(encode_failure(program.Mine("m")))
    assert failure.module == "shop_tasks"
    assert type(again(failure)) is program.Mine
    imported = types.ModuleType("shop_tasks")
    vars(imported).update(Mine=type("Mine", (Exception,), {"__module__": "shop_tasks"}))
    monkeypatch.setitem(sys.modules, "shop_tasks", imported)
    assert type(again(failure)) is imported.Mine


# Bounds ------------------------------------------------------------------------------------------


def test_attributes_have_bounds_and_those_that_cannot_travel_are_shown() -> None:
    exc = Plain("x")
    exc.response = object()  # type: ignore[attr-defined]
    exc.body = "b" * 10_000_000  # type: ignore[attr-defined]
    vars(exc).update({f"n{n}": "n" * 10_000 for n in range(100)}, __odd__=1)
    data = encode_failure(exc)
    assert len(data) < 200_000
    back = again(decode_failure(data))
    assert (type(back), back.args) == (Plain, ("x",))
    assert back.response.startswith("<object object at")
    assert len(back.body) <= 1000
    assert back.n0 == "n" * 10_000
    assert not hasattr(back, "n99")
    assert not hasattr(back, "__odd__")


def test_a_newer_workers_failure_is_read() -> None:
    fields: dict[str, Any] = {"type": "Plain", "module": __name__, "message": "m"}
    newer = {**fields, "args": [[True, "m"]], "traceback": "", "cause": None, "colour": "red"}
    assert type(again(decode_failure(json.dumps(newer).encode()))) is Plain


def test_a_task_that_is_not_registered_is_told_without_quotes() -> None:
    assert str(NotRegistered("no task 'a'")) == "no task 'a'"
    assert str(NotRegistered()) == "No task of this name is registered."
