"""`self.request`: what a body can know of the attempt that runs it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from reliable_tasks.core.codec.tags import untag
from reliable_tasks.errors import ConfigError

if TYPE_CHECKING:
    from reliable_tasks.core.message import Headers
    from reliable_tasks.errors import Retry
    from reliable_tasks.store.values import Claim, StepReply

__all__ = ["AttemptContext", "AttemptStore", "Request", "request_of_claim"]


MAX_CHILDREN = 10_000
"""How many children a request keeps: a body may enqueue without end, and memory is not."""


class AttemptStore:
    """The calls that a running body may make to the store; a worker gives one to each attempt.

    Both calls are fenced: they raise `StaleClaim` when the claim was taken away.
    """

    __slots__ = ()

    def report(self, state: str, meta: bytes) -> None:
        """Publish the progress of this attempt."""
        raise NotImplementedError

    def step(self, name: str, value: bytes | None) -> StepReply:
        """Begin or record a step."""
        raise NotImplementedError


_T = TypeVar("_T")


class _Following(Generic[_T]):
    """A field that tells what follows the message; a body that sets it is refused.

    In Celery the rest of a workflow travels with the message, and `self.request.chain = None` drops
    it. Here the store has it, and it would run all the same.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, request: Request, owner: type) -> _T | None:
        return request.__dict__[self._name]  # type: ignore[no-any-return] # as it was given

    def __set__(self, request: Request, value: object) -> None:
        if not request.called_directly:
            raise ConfigError(
                f"self.request.{self._name} cannot be set: what follows is in the store. "
                "`raise Ignore()` ends it with this message, without a result; "
                "`self.replace(canvas)` runs something else first"
            )
        request.__dict__[self._name] = value


_FOLLOWING = ("callbacks", "errbacks", "chain", "chord")
_OTHER_NAMES = {"name": "task", "task_id": "id", "task_name": "task"}


class Request:
    """The attempt that runs; outside of one, a request that says `called_directly`.

    The names are Celery's. Beyond them: `attempt` (1 for the first), `delivery` (how often this
    attempt was handed out), `fence` (a number that grows with every claim in the whole namespace:
    let the resources you write to refuse an older one), `idempotency_key` (the same for every
    attempt of this message) and `once_key`.
    """

    callbacks = _Following[list[Any]]()
    errbacks = _Following[list[Any]]()
    chain = _Following[str]()
    chord = _Following[str]()

    def __init__(self, **fields: Any) -> None:
        for name in _FOLLOWING:
            self.__dict__[name] = fields.pop(name, None)
        self.id: str | None = None
        self.task: str | None = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.retries = 0
        self.attempt = 1
        self.delivery = 1
        self.fence = 0
        self.idempotency_key: str | None = None
        self.once_key: str | None = None
        self.root_id: str | None = None
        self.parent_id: str | None = None
        self.group: str | None = None
        self.group_index: int | None = None
        self.eta: str | None = None
        self.expires: str | None = None
        self.delivery_info: dict[str, Any] = {}
        self.hostname: str | None = None
        self.origin: str | None = None
        self.called_directly = True
        self.is_eager = False
        self.timelimit: tuple[float | None, float | None] = (None, None)
        self.headers: dict[str, Any] | None = None
        self.ignore_result = False
        self.shadow: str | None = None
        self.additions: list[Any] = []
        self.argsrepr: str | None = None
        self.kwargsrepr: str | None = None
        self.correlation_id: str | None = None
        self.lang = "py"
        self.utc = True
        self.reply_to: str | None = None
        self.replaced_task_nesting = 0
        self.stamps: dict[str, Any] | None = None
        self.stamped_headers: list[str] | None = None
        self.properties: dict[str, Any] = {}
        self.logfile: str | None = None
        self.loglevel: int | None = None
        self.children: list[Any] = []
        self.update(fields)

    @property
    def time_limit(self) -> float | None:
        """The hard limit that is in force, in seconds."""
        return self.timelimit[0] if self.timelimit else None

    @time_limit.setter
    def time_limit(self, seconds: float | None) -> None:
        self.timelimit = (seconds, self.soft_time_limit)

    @property
    def soft_time_limit(self) -> float | None:
        """The soft limit that is in force, in seconds."""
        return self.timelimit[1] if self.timelimit else None

    @soft_time_limit.setter
    def soft_time_limit(self, seconds: float | None) -> None:
        self.timelimit = (self.time_limit, seconds)

    @property
    def taskset(self) -> str | None:
        """The group, under an old name."""
        return self.group

    def update(self, *fields: Any, **more: Any) -> None:
        """Set fields, from what a dict can be made of."""
        for name, value in dict(*fields, **more).items():
            setattr(self, name, value)

    def clear(self) -> None:
        """Make it a request outside of any attempt."""
        self.__dict__.clear()
        Request.__init__(self)

    def add_child(self, result: Any) -> None:
        """Note a message, or a workflow, that the body has enqueued."""
        if len(self.children) < MAX_CHILDREN:
            self.children.append(result)

    def as_execution_options(self) -> dict[str, Any]:
        """The options of this call, for an `apply_async` of one like it.

        `task_id` is among them: a message with the same id cannot be stored while this one is.
        """
        return {
            "task_id": self.id,
            "root_id": self.root_id,
            "parent_id": self.parent_id,
            "group_id": self.group,
            "group_index": self.group_index,
            "shadow": self.shadow,
            "chord": self.chord,
            "chain": self.chain,
            "link": self.callbacks,
            "link_error": self.errbacks,
            "expires": self.expires,
            "soft_time_limit": self.soft_time_limit,
            "time_limit": self.time_limit,
            "headers": self.headers,
            "retries": self.retries,
            "reply_to": self.reply_to,
            "replaced_task_nesting": self.replaced_task_nesting,
            **({"stamped_headers": self.stamped_headers, **self.stamps} if self.stamps else {}),
        }

    def __repr__(self) -> str:
        return f"<Request: {self.__dict__!r}>"

    def __getattr__(self, name: str) -> Any:
        """A header of the call by its name; and what else Celery's workers call these fields."""
        headers = self.__dict__.get("headers") or {}
        if name in headers:
            return headers[name]
        if name in _OTHER_NAMES:
            return getattr(self, _OTHER_NAMES[name])
        raise AttributeError(f"the request has no field and no header {name!r}")

    def get(self, name: str, default: Any = None) -> Any:
        """A field by name, as Celery's context gives it."""
        return getattr(self, name, default)


class AttemptContext(msgspec.Struct, eq=False):
    """One running attempt: its task, its request, and what the body asked for without raising.

    Attributes:
        made: the request, or what makes it when it is first asked for.
        store: how the body reaches the store; None for eager runs.
        headers: of its message; None for eager runs.
        retry: the `Retry` that `self.retry(throw=False)` made.
        progress: state and meta of the last `update_state`.
        exhausted: what `self.retry()` raised when no retry was left, and of how many.
        max_retries: what `self.retry(max_retries=…)` said, for all of this attempt.
    """

    task: Any
    made: Any
    store: AttemptStore | None
    headers: Headers | None = None
    retry: Retry | None = None
    progress: tuple[str, Any] | None = None
    exhausted: tuple[BaseException, int] | None = None
    max_retries: int | None = None

    @property
    def forbids_waiting(self) -> bool:
        """Whether its body may not wait for results of others; see `forbid_waiting`."""
        return False

    @property
    def request(self) -> Request:
        """The request."""
        if not isinstance(self.made, Request):
            self.made = self.made()
        return self.made

    def gave_up(self, exc: BaseException) -> bool:
        """Whether `self.retry()` raised this because no retry was left. Then no policy is asked."""
        return self.exhausted is not None and self.exhausted[0] is exc

    @property
    def children(self) -> list[Any]:
        """The handles of what the body has sent."""
        return self.made.children if isinstance(self.made, Request) else []

    @property
    def additions(self) -> list[Any]:
        """What the body added to its chord's header."""
        return self.made.additions if isinstance(self.made, Request) else []


def _iso(ms: int | None) -> str | None:
    if ms is None:
        return None
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat()


def _eta_ms(claim: Claim, headers: Headers) -> int | None:
    """When it was to start at the earliest, by an `eta` or a `countdown`."""
    if headers.countdown_ms:
        return claim.enqueued_ms + headers.countdown_ms
    return claim.eta_ms


def _untagged(values: dict[str, Any]) -> dict[str, Any]:
    return {name: untag(value) for name, value in values.items()}


def _failed(claim: Claim, headers: Headers) -> str | None:
    """The call whose failure started an errback, which may watch several."""
    return claim.inputs[0].parent if headers.takes == "errback" and claim.inputs else None


def request_of_claim(
    claim: Claim,
    headers: Headers,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    hostname: str,
    limits: tuple[float | None, float | None],
    ignore_result: bool,
    eager: bool = False,
) -> Request:
    """The request that the body of a claimed message sees."""
    return Request(
        id=claim.id,
        task=claim.task,
        args=args,
        kwargs=kwargs,
        retries=claim.attempt - 1 + headers.retries,
        attempt=claim.attempt + headers.retries,
        delivery=claim.delivery,
        fence=claim.fence,
        idempotency_key=claim.id,
        once_key=claim.once_key,
        root_id=claim.root_id or claim.id,
        parent_id=_failed(claim, headers) or claim.parent_id,
        group=headers.group,
        chord=headers.chord,
        chain=headers.chain,
        eta=_iso(_eta_ms(claim, headers)),
        expires=_iso(claim.expires_ms),
        delivery_info={
            "exchange": "",
            "routing_key": claim.queue,
            "priority": claim.priority,
            "redelivered": claim.delivery > 1,
            **({"is_eager": True} if eager else {}),
        },
        is_eager=eager,
        hostname=hostname,
        origin=headers.origin,
        called_directly=False,
        timelimit=limits,
        headers=None if headers.user is None else _untagged(headers.user),
        ignore_result=ignore_result,
        shadow=headers.shadow,
        correlation_id=claim.id,
        stamps=None if headers.stamps is None else _untagged(headers.stamps),
        stamped_headers=None if headers.stamps is None else list(headers.stamps),
        reply_to=(headers.properties or {}).get("reply_to"),
        replaced_task_nesting=headers.nesting,
        properties={
            "correlation_id": claim.id,
            "reply_to": "",
            "delivery_mode": 2,
            "priority": claim.priority,
            **(headers.properties or {}),
        },
    )
