"""What runs a verb: one transaction, and a word to those who wait for what it has done."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from locks.sqlite_file import Act
from reliable_tasks.errors import StoreError
from reliable_tasks.store import steps
from reliable_tasks.store import values as v
from reliable_tasks.store.protocol import Clock
from reliable_tasks.store.sqlite.connection import MEMORY, Database
from reliable_tasks.store.sqlite.news import News
from reliable_tasks.store.sqlite.reads import Reader
from reliable_tasks.store.sqlite.transitions import Transitions

__all__ = ["Transacting"]

P = ParamSpec("P")
T = TypeVar("T")


class Transacting:
    """A store's file, and the ways to work on it.

    Args:
        database: the file.
        options: limits and habits of the store.
        clock: gives the time of a transaction.
    """

    def __init__(self, database: Database, options: v.StoreOptions, clock: Clock) -> None:
        self.options = options
        self._clock = clock
        self._database = database
        self._news = News(None if database.path == MEMORY else database.path)

    # A verb is called by what runs its transaction, so that nothing comes between its two ends.

    def _write(
        self, act: Callable[Concatenate[Transitions, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        return self._write_by(self._database.write, act, *args, **kw)

    def _write_by(
        self,
        write: Callable[[Act[tuple[T, Transitions]]], tuple[T, Transitions]],
        act: Callable[Concatenate[Transitions, P], T],
        *args: P.args,
        **kw: P.kwargs,
    ) -> T:
        def verb(connection: apsw.Connection) -> tuple[T, Transitions]:
            work = Transitions(connection, self._clock(), self.options)
            done = act(work, *args, **kw)
            work.finish()
            return done, work

        done, work = write(verb)
        self._news.tell(work=work.queues_some, changes=work.changes_some)
        if work.leaves_some:
            self._resume()
        return done

    def _each(self, ids: Sequence[str], act: Callable[[Transitions, str], T]) -> tuple[T, ...]:
        """Do something to messages, a few in a transaction."""

        def some(work: Transitions, part: Sequence[str]) -> list[T]:
            work.prefetch(part)
            return [act(work, i) for i in part]

        return tuple([d for part in self._some(ids) for d in self._write(some, part)])

    def _some(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        """Slices of at most as many ids as one transaction may handle."""
        return steps.in_steps(ids, min(steps.STEP_MESSAGES, self.options.max_batch))

    def _resume(self) -> None:
        """Propagate endings in bounded steps; if one fails, `reap` goes on."""

        def follow(work: Transitions) -> bool:
            more = work.go_on()
            work.leaves_some = False  # it is we who go on
            return more

        with contextlib.suppress(StoreError):
            while self._write(follow):
                pass

    def _glance(self, look: Callable[[Reader], T]) -> T:
        """As `_read`, for a look of one statement, which is a snapshot by itself."""
        return self._database.use(lambda c: look(Reader(c, self._clock(), self.options)))

    def _read(self, look: Callable[[Reader], T]) -> T:
        return self._database.read(lambda c: look(Reader(c, self._clock(), self.options)))
