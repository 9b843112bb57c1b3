"""The bridge: stores a broker's messages, and only then lets the broker forget them."""

from __future__ import annotations

import contextlib
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from reliable_tasks import events
from reliable_tasks.config.brokers import is_amqp, scheme_of
from reliable_tasks.config.masks import mask_url
from reliable_tasks.core import clock
from reliable_tasks.core.backoff import Backoff
from reliable_tasks.errors import ConfigError, StoreError
from reliable_tasks.worker.options import expand_hostname
from reliable_tasks.worker.store_health import StoreHealth

from .beside import Stop, listening
from .sources import BrokerUnavailable
from .telling import Telling, teller_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reliable_tasks.app import App
    from reliable_tasks.contrib.bridge.sources import Delivery, Source
    from reliable_tasks.contrib.bridge.storing import Counts

__all__ = ["Bridge", "Stop", "listening", "queues_of"]

_BATCH: Final = 100
_PREFETCH: Final = 500
_LOOK_S: Final = 0.5
"""How often an idle bridge looks whether it is to stop."""
_BURY_S: Final = 30.0
"""How often it looks for letters that a killed bridge has left, once that one's lease is over."""
_BACKOFF: Final = Backoff(first_s=0.5, longest_s=15.0)
_INSTALL: Final = 'pip install "reliable-tasks[bridge]"'


class Bridge:
    """Takes over the messages of a broker's queues, for one app.

    Messages are acknowledged once they are stored. Whatever is killed in between, they are
    delivered again and found to be there, by their ids. Any number of bridges, and Celery workers
    as well, may consume the same queues.

    Args:
        app: whose store they go to; its tasks should be imported, so that once-tasks are known.
        url: of the broker, as Celery's `broker_url` has it.
        queues: the broker's queues, and the queue here for each.
        prefetch: how many messages may be on their way without being stored.
        name: of the bridge, in its log; `bridge@%h` by default.
        transport_options: kombu's, for the connection.
        results: the URL of a result backend of Celery's, which is told how messages end.
        once: take over what is there and end, with an error where the broker or the store is away.

    Raises:
        ConfigError: the URL, a queue or a number is not possible, or a library is missing.
    """

    def __init__(
        self,
        app: App,
        url: str,
        queues: Mapping[str, str],
        *,
        prefetch: int = _PREFETCH,
        name: str | None = None,
        transport_options: Mapping[str, Any] | None = None,
        results: str | None = None,
        once: bool = False,
    ) -> None:
        if not queues:
            raise ConfigError("a bridge needs a queue of the broker to read: Bridge(queues=…), -Q")
        if "://" not in url:
            raise ConfigError(
                f"{mask_url(url)!r} is no URL of a broker: write amqp://host or the like"
            )
        if prefetch < 1:
            raise ConfigError(f"prefetch={prefetch}: let the broker send 1 message ahead, or more")
        self.broker = mask_url(url)
        self.name = expand_hostname(name or "bridge@%h")
        self.queues = dict(queues)
        self._app = app
        self._once = once
        self._batch = min(_BATCH, prefetch)
        options = transport_options or {}
        self._source, high_first = _source(url, tuple(queues), prefetch, options, drain=once)
        from .storing import Storing  # noqa: PLC0415 - needs kombu, which _source has asked for
        from .translate import Translator  # noqa: PLC0415 - as above

        translator = Translator(app, self.queues, high_first=high_first)
        self.results = results and mask_url(results)
        self._storing = Storing(app, translator, self.name, results)
        self._teller = teller_of(app, results, url, self.name)
        self._unreachable_since: float | None = None

    @property
    def counts(self) -> Counts:
        """How many messages became what, since this bridge started."""
        return self._storing.counts

    def run(self, stop: Stop) -> Counts:
        """Take over messages until `stop` is set, or with `once` until there are none.

        What it holds then is stored and acknowledged, or left to the broker.

        Raises:
            ConfigError: the broker refuses the bridge.
            BrokerUnavailable, StoreUnavailable: with `once`, where it would have to wait.
        """
        self._app.serve()  # by itself, where the app's own calls go to the broker
        pid = os.getpid()
        events.emit(
            "bridge.started",
            bridge=self.name,
            pid=pid,
            broker=self.broker,
            queues=list(self.queues),
            store=self._app.store.location,
        )
        try:
            with Telling(self._app, self._teller, stop, once=self._once) as telling:
                self._run(telling)
        finally:
            self._source.close()
            counts = self.counts
            events.emit(
                "bridge.stopped",
                bridge=self.name,
                pid=pid,
                stored=counts.stored,
                duplicates=counts.duplicates,
                refused=counts.refused,
                conflicts=counts.conflicts,
            )
        return self.counts

    def tell(self, stop: Stop) -> None:
        """Tell results until `stop` is set, and take nothing over.

        Raises:
            ConfigError: there is no result backend to tell.
        """
        if self._teller is None:
            raise ConfigError("there is nobody to tell results to: name a backend, --results URL")
        self._app.serve()
        self._teller.run(stop)

    def _run(self, stop: Stop) -> None:
        failures, bury_at = 0, 0.0
        while not stop.is_set():
            if clock.monotonic() >= bury_at:
                bury_at = clock.monotonic() + _BURY_S
                with contextlib.suppress(StoreError):  # then it is for the next time
                    self._storing.bury()
            try:
                deliveries = self._source.batch(self._batch, _LOOK_S)
                self._reached()
                failures = 0
                if not deliveries and self._once:
                    return
                if deliveries and not self._stored(deliveries, stop):
                    return
                self._source.ack(deliveries)
            except BrokerUnavailable as error:
                if self._once:  # whoever started it has to hear of it
                    raise
                failures += 1
                pause_s = _BACKOFF.pause_s(failures)
                self._not_reached(error, pause_s)
                stop.wait(pause_s)

    def _stored(self, deliveries: Sequence[Delivery], stop: Stop) -> bool:
        """Store them, however long the store is away; False where `stop` is set meanwhile.

        Raises:
            StoreError: with `once`, the store is away.
        """
        health, since = StoreHealth(self._app.store.location, _BACKOFF), clock.monotonic()
        while True:
            try:
                self._storing.store(deliveries)
            except StoreError as error:
                if self._once:
                    raise
                health.failed(error, clock.monotonic())
                if stop.wait(health.pause_s):
                    return False
            else:
                break
        now = clock.monotonic()
        health.answered(now)
        events.emit(
            "bridge.stored", bridge=self.name, messages=len(deliveries), runtime=now - since
        )
        return True

    def _reached(self) -> None:
        if self._unreachable_since is not None:
            after_s = clock.monotonic() - self._unreachable_since
            events.emit("broker.recovered", broker=self.broker, after=round(after_s, 1))
            self._unreachable_since = None

    def _not_reached(self, error: BrokerUnavailable, pause_s: float) -> None:
        if self._unreachable_since is None:
            self._unreachable_since = clock.monotonic()
            events.emit("broker.unavailable", broker=self.broker, error=str(error), delay=pause_s)


def _source(
    url: str, queues: tuple[str, ...], prefetch: int, options: Mapping[str, Any], *, drain: bool
) -> tuple[Source, bool]:
    """The reader for a URL, and whether the broker serves high priorities first.

    Raises:
        ConfigError: a library is missing, or there is no such broker.
    """
    try:
        import_module("kombu")
        if scheme_of(url) == "zookeeper":
            zookeeper = import_module(".zookeeper", __package__)
            return zookeeper.ZooKeeperSource(url, queues), True
        cls = import_module(".kombu_source", __package__).KombuSource
        amqp = import_module(".amqp_source", __package__).AmqpSource
    except ImportError as error:
        raise ConfigError(f"the bridge needs {error.name or error}; {_INSTALL}") from error
    if is_amqp(url) and not drain:
        cls = amqp
    made = cls(url, queues, prefetch=prefetch, options=options, drain=drain)
    return made, made.high_first


def queues_of(texts: Iterable[str]) -> dict[str, str]:
    """The broker's queues and ours, from texts such as `celery,theirs=ours`.

    Raises:
        ConfigError: one names no queue, or one is named twice.
    """
    queues: dict[str, str] = {}
    for text in texts:
        for part in filter(None, (part.strip() for part in text.split(","))):
            theirs, given, ours = (each.strip() for each in part.partition("="))
            if not theirs or (given and not ours):
                raise ConfigError(f"-Q {part!r} names no queue: write theirs or theirs=ours")
            if queues.setdefault(theirs, ours or theirs) != (ours or theirs):
                raise ConfigError(
                    f"-Q names {theirs!r} twice, for {queues[theirs]!r} and {ours or theirs!r}"
                )
    return queues
