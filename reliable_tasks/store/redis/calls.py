"""Run a verb's script on the server: repeat it after a lost reply, wait until it is durable."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from locks.scripts import Executor
from reliable_tasks.errors import StoreFull, StoreUnavailable
from reliable_tasks.store.protocol import Clock
from reliable_tasks.store.redis import keys
from reliable_tasks.store.redis.client import connect
from reliable_tasks.store.redis.codec.scripts import relief
from reliable_tasks.store.redis.codec.scripts import script as script_of
from reliable_tasks.store.redis.durability import Durability
from reliable_tasks.store.redis.errors import DRIVERS_OWN, store_error, translated
from reliable_tasks.store.redis.inboxes import Inboxes
from reliable_tasks.store.redis.turns import Turns
from reliable_tasks.store.redis.waiting import Waiting
from reliable_tasks.store.values import StoreOptions

__all__ = ["Calls"]

MORE: Final = b"MORE"
"""The reply of a script that has made records of a part of the inboxes, and is to be run again."""


class Calls:
    """Runs scripts in one namespace of a server.

    Args:
        url: see `reliable_tasks.config.url`.
        options: of the store.
        clock: in place of the server's, for tests.
        transport_options: keyword arguments for redis-py's client.

    Raises:
        ConfigError: the URL or an option is not valid.
        StoreError: the server does not offer the durability asked for.
    """

    def __init__(
        self,
        url: str,
        options: StoreOptions,
        clock: Clock | None = None,
        transport_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.options = options
        bounds = (options.max_audit_rows, options.max_audit_bytes)
        self._audit_mode = " ".join(map(str, (options.audit, *bounds)))
        self._clock = clock
        self._server = connect(url, transport_options or {})
        self.location = self._server.location
        self._key = keys.prefix(options.namespace)
        self._waiting = Waiting(self._server, options.namespace, self._read, self._now)
        self._watches: dict[str, float] = {}  # session -> when what it watches for is due
        self._turns = Turns(self._command, self._key)
        self._durability = Durability(self._server, self._key)
        if options.durable is not None:
            with translated(self.location):
                self._durability.check(options.durable)
        self._inboxes = Inboxes(self._server, self._key, self._waiting.open_inbox)

    def _now(self) -> int | str:
        return "" if self._clock is None else self._clock()

    def _read(self, name: str, *args: Any) -> Any:
        """Run a script that takes neither the time nor the audit mode."""
        return self._run(name, args)

    def _look(self, name: str, *args: Any) -> Any:
        """Run a script that has to know all that is stored, and changes nothing but that."""
        return self._run(name, (self._now(), self._audit_mode, *args))

    def _do(self, name: str, *args: Any, again: bool = True, durable: str | None = None) -> Any:
        """Run a verb's script, and wait until its writes are as durable as asked.

        Args:
            name: of the script.
            args: its own ARGV.
            again: whether it may be repeated after a lost reply.
            durable: in place of the store's option.
        """
        full = (self._now(), self._audit_mode, *args)
        return self._run(name, full, again=again, durable=durable or self.options.durable)

    def _run(
        self, name: str, args: Sequence[Any], *, again: bool = True, durable: str | None = None
    ) -> Any:
        server = self._executor(durable)
        script, reply = script_of(name), MORE
        while reply == MORE:
            try:
                reply = self._repeat(again, script, server, self._key, *args)
            except StoreFull:
                relieved = relief(name, args)
                if relieved is None or script is relieved:
                    raise
                script = relieved
        return reply

    def _executor(self, durable: str | None) -> Executor:
        """Where to send what is to be as durable as this."""
        if durable is None:
            return self._server
        executor: Executor = self._repeat(True, self._durability.executor, durable)
        return executor

    def _command_of(self, name: str, *args: Any) -> tuple[Any, ...]:
        """Build the EVALSHA command of a script for callers that send it themselves."""
        return ("EVALSHA", script_of(name).sha, 1, self._key, *args)

    def _repeat(self, again: bool, call: Callable[..., Any], *args: Any) -> Any:
        """Call, and once more if the connection was lost and `again` allows it."""
        try:
            return call(*args)
        except DRIVERS_OWN as e:
            error = store_error(self.location, e)
            if not (again and isinstance(error, StoreUnavailable)):
                raise error from e
        with translated(self.location):
            return call(*args)

    def _command(self, *args: Any) -> Any:
        """Send a command that may be repeated."""
        return self._repeat(True, self._server.execute_command, *args)
