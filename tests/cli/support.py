"""A store with messages in every state, made without a worker."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from reliable_tasks.core import outcome
from reliable_tasks.core.codec import dumps, dumps_call
from reliable_tasks.core.codec.failures import encode_failure
from reliable_tasks.core.message import Headers, Message, OnceLock, encode_headers
from reliable_tasks.store.sqlite import SqliteStore
from reliable_tasks.store.values import (
    Batch,
    Claim,
    ClaimRequest,
    Commit,
    SessionInfo,
    StoreOptions,
)

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
"""For programs of their own, which run in a temporary directory."""

SESSION = SessionInfo(id="s1", worker="w@h", pid=77, queues=("celery",))


@dataclass
class Shop:
    """A store on disk, and the steps of a worker by hand."""

    path: Path
    store: SqliteStore

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def enqueue(self, message_id: str, *args: Any, once: str | None = None, **fields: Any) -> None:
        lock = OnceLock(key=once) if once else None
        message = Message(
            id=message_id,
            task=fields.pop("task", "shop.add"),
            payload=dumps_call(args, {}),
            headers=encode_headers(Headers(once_label="shop.add(x=1)" if once else None)),
            once=lock,
            **fields,
        )
        self.store.enqueue(Batch(messages=(message,)))

    def claim(self) -> Claim:
        if not self.store.sessions():
            self.store.open_session(SESSION, 600_000)
        want = ClaimRequest(queues=("celery",), limit=1)
        return self.store.exchange(SESSION.id, (), want).claims[0]

    def end(self, claim: Claim, ending: outcome.Outcome) -> None:
        commit = Commit(id=claim.id, fence=claim.fence, outcome=ending)
        self.store.exchange(SESSION.id, (commit,), None)

    def succeed(self, message_id: str, value: Any) -> None:
        self.enqueue(message_id)
        self.end(self.claim(), outcome.Succeeded(result=dumps(value)))

    def fail(self, message_id: str, *args: Any, **fields: Any) -> None:
        self.enqueue(message_id, *args, **fields)
        failure = encode_failure(ValueError("grün"), "Traceback: here\n")
        detail = msgspec.json.encode({"exception": "ValueError", "message": "grün"})
        self.end(self.claim(), outcome.Failed(failure=failure, detail=detail))


def open_shop(path: Path) -> Shop:
    return Shop(path, SqliteStore(str(path), StoreOptions()))
