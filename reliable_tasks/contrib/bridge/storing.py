"""A batch of deliveries goes into the store, in one idempotent step; what is refused, beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reliable_tasks import events
from reliable_tasks.app.publish import emit_stored
from reliable_tasks.errors import (
    MessageRefused,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    StoreVersionError,
)
from reliable_tasks.store.values import Batch, ReceiptKind

from .letters import bury, letters_of
from .telling import TellingStore
from .translate import Translated, Translator, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliable_tasks.app import App
    from reliable_tasks.contrib.bridge.sources import Delivery
    from reliable_tasks.core.message import Message
    from reliable_tasks.store.values import Receipt

__all__ = ["Counts", "Storing"]

_NOT_THE_MESSAGES: Final = (StoreUnavailable, StoreFull, StoreReadOnly, StoreVersionError)
"""Errors of the store that say nothing against what was to be stored."""
_REFUSED: Final = frozenset({ReceiptKind.DUPLICATE, ReceiptKind.CONFLICT})


@dataclass
class Counts:
    """How many deliveries became what, since the bridge started.

    Attributes:
        stored: are in the store, now or since an earlier delivery.
        duplicates: calls of once-tasks whose key was held, or of an id that was there.
        refused: became dead letters, conflicts included.
        conflicts: had the id of another call.
        batches: in how many parts they came.
    """

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    conflicts: int = 0
    batches: int = 0

    def add(self, more: Counts) -> None:
        """Count these as well."""
        for name, value in vars(more).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(slots=True)
class _Refused:
    """A delivery that becomes a dead letter."""

    delivery: Delivery
    reason: str
    aside: bool = False


class Storing:
    """Puts deliveries into an app's store.

    Args:
        app: whose store.
        translator: makes messages of deliveries.
        name: of the bridge.
        results: the URL of the result backend that endings are told to.
    """

    def __init__(
        self, app: App, translator: Translator, name: str, results: str | None = None
    ) -> None:
        self._app = app
        self._results = results
        self._translator = translator
        self._name = name
        self._most = app.settings.max_batch
        self.counts = Counts()

    @property
    def _store(self) -> Any:
        """The app's; with results to be told, one that keeps with each message what tells them."""
        store = self._app.store
        return TellingStore(self._app, store, self._results) if self._results else store

    def store(self, deliveries: Sequence[Delivery]) -> None:
        """Store them all; afterwards the broker may forget them. May be repeated.

        Raises:
            StoreError: the store is away or has no room; some of them may be stored already.
        """
        lone: list[tuple[Delivery, Message]] = []
        workflows: list[tuple[Delivery, Translated]] = []
        refused: list[_Refused] = []
        counts = Counts(batches=1)
        for delivery in deliveries:
            try:
                translated = self._translator.translate(delivery)
            except MessageRefused as error:
                refused.append(_Refused(delivery, str(error)))
                continue
            if translated.workflow:
                workflows.append((delivery, translated))
            else:
                lone.append((delivery, translated.call))
        for at in range(0, len(lone), self._most):
            refused += self._store_lone(lone[at : at + self._most], counts)
        for delivery, translated in workflows:
            refused += self._store_workflow(delivery, translated, counts)
        if refused:
            for each in refused:
                self._file(each)
            self.bury()
        counts.refused = len(refused)
        self.counts.add(counts)

    def bury(self) -> None:
        """Fail the letters that are stored, also those of a bridge that was killed before it could.

        Raises:
            StoreError: the store is away; they are still there.
        """
        bury(self._app.store, self._name)

    # Lone calls -----------------------------------------------------------------------------------

    def _store_lone(
        self, lone: Sequence[tuple[Delivery, Message]], counts: Counts
    ) -> list[_Refused]:
        messages = tuple([message for _, message in lone])
        try:
            receipts = self._store.enqueue(Batch(messages=messages, keep_ended=True)).receipts
        except _NOT_THE_MESSAGES:
            raise
        except StoreError as error:
            if len(lone) == 1:
                return [_Refused(lone[0][0], f"the store does not take it: {error}", aside=True)]
            # One of them is at fault; alone, each shows whether it is that one.
            return [each for one in lone for each in self._store_lone([one], counts)]
        refused = []
        for (delivery, message), receipt in zip(lone, receipts, strict=True):
            self._tell(message, receipt)
            if receipt.kind == ReceiptKind.CONFLICT:
                counts.conflicts += 1
                refused.append(_Refused(delivery, _conflict(message, receipt), aside=True))
            elif receipt.kind in {ReceiptKind.CREATED, ReceiptKind.RERUN, ReceiptKind.REPLACED}:
                counts.stored += 1
            else:
                counts.duplicates += 1
        return refused

    @staticmethod
    def _tell(message: Message, receipt: Receipt) -> None:
        if receipt.kind != ReceiptKind.CREATED or events.listening["message.enqueued"]:
            emit_stored(message, receipt)

    # Calls with others behind them ----------------------------------------------------------------

    def _store_workflow(
        self, delivery: Delivery, translated: Translated, counts: Counts
    ) -> list[_Refused]:
        """Store it in a stage, and let it go only when every part of it is there.

        A stage that a kill has left half done is gone on with at the next delivery, under the same
        name; if that comes too late it has been dropped, and is stored anew.
        """
        call, parts = translated
        stage = f"bridge-{digest(call.id.encode(), call.token.encode())}"
        taken: list[tuple[Message, Receipt]] = []
        for at in range(0, len(parts), self._most):
            some = tuple(parts[at : at + self._most])
            receipts = self._store.enqueue(
                Batch(messages=some, stage=stage, keep_ended=True)
            ).receipts
            taken += [(m, r) for m, r in zip(some, receipts, strict=True) if r.kind in _REFUSED]
        if not taken:
            while self._store.enqueue(Batch(stage=stage, seal=True)).held:
                pass
            counts.stored += 1
            return []
        for message, receipt in taken:
            if message.id == call.id and receipt.kind == ReceiptKind.DUPLICATE:
                self._tell(message, receipt)
                counts.duplicates += 1
                return []
        counts.conflicts += 1
        self._tell(*taken[0])
        return [_Refused(delivery, _conflict(*taken[0]), aside=True)]

    # What is refused ------------------------------------------------------------------------------

    def _file(self, refused: _Refused) -> None:
        """Store the letters of one; under another id where its own is taken."""
        letters = letters_of(self._app, refused.delivery, refused.reason, aside=refused.aside)
        # Aside it has another id, which nobody waits for.
        store = self._app.store if refused.aside else self._store
        for at in range(0, len(letters), self._most):
            batch = Batch(messages=tuple(letters[at : at + self._most]), keep_ended=True)
            receipts = store.enqueue(batch).receipts
            if not refused.aside and any(r.kind in _REFUSED for r in receipts):
                refused.aside = True
                self._file(refused)
                return
        events.emit(
            "bridge.refused",
            bridge=self._name,
            id=letters[0].id,
            queue=refused.delivery.queue,
            reason=refused.reason,
        )


def _conflict(message: Message, receipt: Receipt) -> str:
    if receipt.kind == ReceiptKind.DUPLICATE:
        return f"a part of its workflow, {message.id}, is there already as another call"
    same = receipt.holder_task == message.task
    other = (
        "another call of it, with other arguments," if same else f"a call of {receipt.holder_task}"
    )
    return (
        f"the id {message.id} of this call of {message.task} is taken: {other} has it; "
        "a producer must give each call an id of its own"
    )
