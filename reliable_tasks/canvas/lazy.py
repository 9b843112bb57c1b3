"""Members that a generator makes: pulled when the canvas is first looked into, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from reliable_tasks.core.typevars import R
from reliable_tasks.errors import ConfigError

from .plan import MAX_NODES
from .signatures import Signature, maybe_signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reliable_tasks.core.context import AppContext

__all__ = ["LazyMembers", "pulled"]


def pulled(members: Iterable[Any], app: AppContext | None) -> list[Signature]:
    """The signatures of a canvas's members, as many as one may have.

    Raises:
        ConfigError: there are more, or one is no signature.
    """
    found = list[Signature]()
    for each in members:
        if len(found) == MAX_NODES:
            raise ConfigError(
                f"more than {MAX_NODES} calls for one canvas; does the generator ever end? Let "
                "each call do more, or enqueue them with app.enqueue_many(signatures)"
            )
        found.append(maybe_signature(each, app))
    return found


class LazyMembers(Signature[R]):
    """A signature whose part `kwargs["tasks"]` may have yet to be pulled from an iterator.

    Whatever reads that part of the dictionary, Python's own JSON and `dict()` among them, pulls
    first. So the members are the same for all who look, and the iterator is not used twice.
    """

    kind: ClassVar[str] = ""
    _pending: Iterator[Any] | None = None
    _broken: BaseException | None = None

    def _pull(self) -> None:
        """Pull the members.

        Raises:
            ConfigError: the iterator has raised before; what it gave then is incomplete.
            BaseException: it raises now.
        """
        if self._broken is not None:
            raise ConfigError(
                f"the generator of this {self.kind} raised {self._broken!r} when it was first "
                "read; make the canvas anew"
            ) from self._broken
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            members = pulled(pending, self._app)
        except BaseException as exc:
            self._broken = exc
            raise
        super().__getitem__("kwargs")["tasks"] = members

    @property
    def is_pending(self) -> bool:
        """Whether its members have yet to be pulled."""
        return self._pending is not None

    # Whatever hands out its parts ----------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        if key == "kwargs":
            self._pull()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Give an item of the dictionary."""
        if key == "kwargs":
            self._pull()
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self._pull()
        return super().__iter__()

    def keys(self) -> Any:
        """Give the keys of the dictionary."""
        self._pull()
        return super().keys()

    def items(self) -> Any:
        """Give the items of the dictionary."""
        self._pull()
        return super().items()

    def values(self) -> Any:
        """Give the values of the dictionary."""
        self._pull()
        return super().values()

    def __eq__(self, other: object) -> bool:
        self._pull()
        if isinstance(other, LazyMembers):
            other._pull()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment] # as of every dictionary
