"""Commits, claims and the sessions that hold them."""

from enum import StrEnum

from reliable_tasks.core.message import Kind
from reliable_tasks.core.outcome import Outcome
from reliable_tasks.store.values.base import Value

__all__ = [
    "TURN_MS",
    "Claim",
    "ClaimRequest",
    "Command",
    "Commit",
    "DeadLettered",
    "Exchange",
    "Heartbeat",
    "Input",
    "Reaped",
    "SessionInfo",
    "Turn",
    "Verdict",
]


class Commit(Value, frozen=True, kw_only=True):
    """An outcome for a claim; `fence` proves that the claim is still the latest one."""

    id: str
    fence: int
    outcome: Outcome


class ClaimRequest(Value, frozen=True, kw_only=True):
    """How many claims a session asks for, from which queues, first named first served."""

    queues: tuple[str, ...]
    limit: int


class Verdict(StrEnum):
    """Whether a commit was applied."""

    COMMITTED = "committed"
    """Applied, now or (reply lost) before."""
    STALE = "stale"
    """The claim was taken away; nothing was changed."""


class Input(Value, frozen=True, kw_only=True, array_like=True):
    """What a parent left for its child: its result, or for an errback its failure."""

    slot: int
    parent: str
    ok: bool
    value: bytes


class Claim(Value, frozen=True, kw_only=True):
    """A message handed to a session.

    Attributes:
        fence: grows with every claim in the namespace; the claim's token.
        attempt: 1 for the first run, one more for each retry.
        delivery: how many claims since the last retry, this one included.
        bounces: how often this attempt was given back: task unknown, or stopped in its body.
        inputs: what its parents left, by slot.
        oversize: how many bytes the inputs have that were left out, being over `max_input_bytes`.
        first_started_ms, started_ms: when the first attempt was claimed, and when this one.
        limit_failure: the failure to dead-letter it with, if it was killed at its hard limit.
        kind: of a plain call, what it has in common with others, `task` and `headers` among it;
            None where it is more than that, or the store does not tell.
    """

    id: str
    task: str
    queue: str
    priority: int
    payload: bytes
    headers: bytes
    fence: int
    attempt: int
    delivery: int
    bounces: int
    max_deliveries: int
    enqueued_ms: int
    first_started_ms: int
    started_ms: int
    eta_ms: int | None = None
    expires_ms: int | None = None
    once_key: str | None = None
    root_id: str = ""
    parent_id: str | None = None
    inputs: tuple[Input, ...] = ()
    oversize: int = 0
    limit_failure: bytes | None = None
    kind: Kind | None = None


class Exchange(Value, frozen=True, kw_only=True):
    """The reply of an exchange.

    `next_due_ms` is when the next scheduled message is due (None: nothing is scheduled), told to
    those that wanted work; `lost` says that the session has lapsed and gets no claims any more.
    """

    verdicts: tuple[Verdict, ...] = ()
    claims: tuple[Claim, ...] = ()
    next_due_ms: int | None = None
    lost: bool = False


TURN_MS = 500
"""How long what one process has taken as its turn is no other's."""


class SessionInfo(Value, frozen=True, kw_only=True):
    """One worker process as the store knows it.

    Attributes:
        id: made by the opener.
        worker: the worker's name, `name@host`.
        host: identity of the machine, so that another worker there can tell that `pid` is gone.
        pid: of the process that runs the bodies.
        pid_started: start time of that process as the system tells it, since pids are reused.
        queues: what it consumes.
        started_ms, lease_until_ms, claims: when it was opened, until when it is alive, and how
            many messages it holds (set by the store).
    """

    id: str
    worker: str
    host: str = ""
    pid: int = 0
    pid_started: str = ""
    queues: tuple[str, ...] = ()
    started_ms: int = 0
    lease_until_ms: int = 0
    claims: int = 0


class Command(Value, frozen=True, kw_only=True):
    """Tells a supervisor to stop a running message that was revoked with `terminate`."""

    session: str
    id: str
    fence: int
    signal: str = "SIGTERM"


class Heartbeat(Value, frozen=True, kw_only=True):
    """Sessions that were taken back (never to be revived), what to stop, and the store's time."""

    lost: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    now_ms: int = 0


class Turn(Value, frozen=True, kw_only=True):
    """What it is a process's turn to do, of what any one process has to do for all.

    Attributes:
        reaps: to `reap`, for the whole store.
        lapsed: whether there is a session whose lease has ended, for whoever reaps.
        neighbours: to see whether the processes of these sessions live, which are on the same
            host; known of each are its id and its process.
    """

    reaps: bool = False
    lapsed: bool = False
    neighbours: tuple[SessionInfo, ...] = ()


class DeadLettered(Value, frozen=True, kw_only=True):
    """A message that the store itself dead-lettered, since nobody could run its hooks."""

    id: str
    task: str


class Reaped(Value, frozen=True, kw_only=True):
    """What one bounded round of `reap` did; `more` asks for another round at once."""

    requeued: int = 0
    dead_lettered: tuple[DeadLettered, ...] = ()
    promoted: int = 0
    expired: int = 0
    deleted: int = 0
    unparked: int = 0
    more: bool = False
    next_due_ms: int | None = None
