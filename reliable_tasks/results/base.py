"""`ResultBase`: what handles on messages and on sets of them have in common.

What started a message is its parent, what it starts are its children: they make a tree, which is
walked here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from reliable_tasks import errors
from reliable_tasks.celery_names import no_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from reliable_tasks.core.context import AppContext

__all__ = ["Graph", "ResultBase", "as_tuple", "first_of"]


class ResultBase:
    """A handle: an `AsyncResult`, a `ResultSet`, or what is derived from them.

    Attributes:
        ignored: set it, and `get()` returns None at once.
        supports_native_join: one wait serves all members of a set.
    """

    TimeoutError = errors.TimeoutError
    app: AppContext
    ignored = False
    supports_native_join = True
    _parent: Any = None

    if TYPE_CHECKING:

        @property
        def children(self) -> list[Any] | None:
            """What it starts."""

        def ready(self) -> bool:
            """Whether it has ended."""

        get: Any

    @property
    def parent(self) -> Any:
        """The handle of what came before it in a chain."""
        return self._parent

    @parent.setter
    def parent(self, parent: Any) -> None:
        self._parent = parent

    def leaves(self) -> Iterator[Any]:
        """The handles on messages, those of nested groups included, in order."""
        yield self

    @property
    def backend(self) -> Any:
        """The app's backend: results by their ids."""
        return self.app.backend

    # As a value ----------------------------------------------------------------------------------

    def as_tuple(self) -> Any:
        """Ids and parents in Celery's nesting, from which `result_from_tuple` makes it again."""
        return as_tuple(self)

    __json__ = as_tuple  # so a body may return it

    def as_list(self) -> list[str]:
        """Its id and those of its parents, the last first."""
        return [each.id for each in _line(self)]

    # The tree ------------------------------------------------------------------------------------

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yields (parent, handle) pairs of all that it started, this one first.

        Args:
            intermediate: leave out what those will start that have not ended yet.

        Raises:
            IncompleteStream: one of them has not ended, so its children are not known.
        """
        todo, followed = deque[tuple[Any, Any]]([(None, self)]), set[Any]()
        while todo:
            parent, handle = todo.popleft()
            yield parent, handle
            if _identity(handle) in followed:
                continue
            if handle.ready():
                followed.add(_identity(handle))
                todo.extend((handle, child) for child in handle.children or ())
            elif not intermediate:
                raise errors.IncompleteStream(
                    f"{handle} has not ended, so what it starts is not known; wait for it, or give "
                    "intermediate=True"
                )

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Wait for this one and all that it started; yields (handle, value) pairs.

        Args:
            intermediate: see `iterdeps`.
            **kwargs: those of `get`, which is called for each.
        """
        given = set[Any]()
        for _, handle in self.iterdeps(intermediate):
            if _identity(handle) not in given:
                given.add(_identity(handle))
                yield handle, handle.get(**kwargs)

    def get_leaf(self) -> Any:
        """Wait for all that it started, and give the value of the last."""
        values = [value for _, value in self.collect()]
        return values[-1]

    def build_graph(self, intermediate: bool = False, formatter: object = None) -> Graph:
        """What it started, as a dictionary: of each handle the list of its children.

        Raises:
            IncompleteStream: see `iterdeps`.
        """
        if formatter is not None:
            raise errors.ConfigError("build_graph(formatter=…): there is one way to draw it")
        graph = Graph()
        for parent, handle in self.iterdeps(intermediate):
            graph.setdefault(handle, [])
            if parent is not None and handle not in graph[parent]:
                graph[parent].append(handle)
        return graph

    @property
    def graph(self) -> Graph:
        """The same, of what has ended."""
        return self.build_graph()

    # Celery's other names ------------------------------------------------------------------------

    def throw(self, exc: BaseException, *_: Any) -> NoReturn:
        """Raise an exception."""
        raise exc

    if not TYPE_CHECKING:  # it would hide mistakes from type checkers

        def __getattr__(self, name: str) -> Any:
            """Say what is here instead of a name of Celery's."""
            raise AttributeError(no_attribute(type(self).__name__, "AsyncResult", name))


class Graph(dict[Any, list[Any]]):
    """Handles with what each of them started."""

    def edges(self) -> list[Any]:
        """The handles that started others."""
        return [handle for handle, children in self.items() if children]

    def to_dot(self, fh: TextIO) -> None:
        """Write it in the language of Graphviz."""
        names = {handle: f'"{handle}"' for handle in self}
        lines = [f"    {names[handle]};" for handle in self]
        for handle, children in self.items():
            lines += [f"    {names[handle]} -> {names[child]};" for child in children]
        fh.write("\n".join(["digraph results {", *lines, "}", ""]))


def _identity(handle: Any) -> Any:
    """What tells a handle from others: two on one message are one."""
    return (type(handle).__name__, getattr(handle, "id", None) or id(handle))


def _line(handle: Any) -> list[Any]:
    """A handle and its parents, as far as they are known here."""
    line = [handle]
    while line[-1]._parent is not None:  # noqa: SLF001 - its kin
        line.append(line[-1]._parent)  # noqa: SLF001
    return line


def first_of(handle: Any) -> Any:
    """The first in the chain of a handle: what its call has started by itself."""
    return _line(handle)[-1]


def as_tuple(handle: Any) -> Any:
    """See `ResultBase.as_tuple`."""
    nested: Any = None
    for each in reversed(_line(handle)):
        members = getattr(each, "results", None)
        nested = (
            (each.id, nested),
            None if members is None else [as_tuple(member) for member in members],
        )
    return nested
