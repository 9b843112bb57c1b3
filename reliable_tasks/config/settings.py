"""Every setting: its name, type, default, unit and meaning."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from reliable_tasks.config import kinds
from reliable_tasks.config.annotations import task_annotations
from reliable_tasks.config.brokers import DEFAULT_STORE
from reliable_tasks.config.kinds import Kind
from reliable_tasks.config.masks import masked
from reliable_tasks.config.routes import Router, routes
from reliable_tasks.errors import ConfigError

__all__ = ["READ_AT_OPENING", "Described", "Settings", "described"]

_DAY = 86_400.0
_MIB = 1_048_576
_LEAST_PATIENCE_S = 5.0
_MOST_OF_A_CALL_S, _LEAST_OF_A_CALL_S = 10.0, 2.0


class Described(msgspec.Struct, frozen=True):
    """What is known of a setting besides its default: group, kind of value, meaning and unit."""

    group: str
    kind: Kind
    doc: str
    unit: str = ""


_about: list[Described] = []  # in the order of the fields


def _set(group: str, default: Any, kind: Kind, doc: str, unit: str = "") -> Any:
    _about.append(Described(group, kind, doc, unit))
    if isinstance(default, dict):
        return msgspec.field(default_factory=default.copy)
    return msgspec.field(default=default)


_STORE, _TASKS, _RESULTS, _WORKER, _BEAT, _AUDIT = (
    "Store",
    "Tasks",
    "Results",
    "Worker",
    "Beat",
    "Audit and once",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings at one moment, checked. Durations are in seconds; see the settings reference.

    `Conf.settings()` makes them. The dicts in it are copies, for reading only.
    """

    # fmt: off
    broker_url: str = _set(_STORE, DEFAULT_STORE, kinds.url,
        "Where messages, results, locks, schedules and audit live. A broker's URL (amqp://…, "
        "zookeeper://…) names what messages come through on their way to `store_url`.")
    store_url: str | None = _set(_STORE, None, kinds.optional(kinds.url),
        "The store, where `broker_url` names a broker; None is then sqlite:///reliable_tasks.db.")
    result_backend: str | None = _set(_STORE, None, kinds.optional(kinds.url),
        "Accepted if it is on the server of `broker_url`: results live with the messages. With a "
        "broker: one of Celery's backends, to which what ends is told as well.")
    store_namespace: str = _set(_STORE, "reliable_tasks", kinds.name,
        "Begins every key, so that several installations can share a server.")
    broker_transport_options: Mapping[str, Any] = _set(_STORE, {}, kinds.mapping,
        "Options for connections to Redis; `master_name` names the master to ask Sentinels for.")
    durable: str | None = _set(_STORE, None, kinds.optional(kinds.durability),
        "What an enqueue on Redis waits for: the server's memory, its disk, or N replicas. None "
        "leaves it to the server's own settings.")
    store_busy_timeout: float | None = _set(
        _STORE, None, kinds.optional(kinds.seconds(zero=True)),
        "How long to wait for another process's write to SQLite, at most `session_lease`; None is "
        "as long as that, but not less than 5 s.", "s")
    store_file_mode: str = _set(_STORE, "0600", kinds.file_mode,
        "The permissions of an SQLite file that is made, and of its log. One that is there keeps "
        "its own.")
    max_message_bytes: int = _set(_STORE, _MIB, kinds.whole(1024),
        "A larger message is refused where it is enqueued.", "bytes")
    max_result_bytes: int = _set(_STORE, 16 * _MIB, kinds.whole(1024),
        "A larger result fails its attempt; a larger value of a step, or `meta` of "
        "`update_state`, is refused where it is said.", "bytes")
    max_input_bytes: int = _set(_STORE, 64 * _MIB, kinds.whole(_MIB),
        "What the parents of a message may leave for it, together: the results of a chord's "
        "header. With more it fails unrun, and can be replayed.", "bytes")
    max_batch: int = _set(_STORE, 1000, kinds.whole(1, 100_000),
        "How many messages are stored in one atomic step; a larger workflow is staged.",
        "messages")
    max_query_rows: int = _set(_STORE, 10_000, kinds.whole(1),
        "How many rows a page of a list has at most; lists are read page by page.", "rows")
    stage_expires: float = _set(_STORE, 600.0, kinds.seconds(),
        "A staged workflow whose producer has been silent for so long is dropped.", "s")

    include: tuple[str, ...] = _set(_TASKS, (), kinds.names,
        "Modules that a worker imports at start.")
    imports: tuple[str, ...] = _set(_TASKS, (), kinds.names,
        "Modules that a worker imports at start, before those of `include`.")
    task_default_queue: str = _set(_TASKS, "celery", kinds.name,
        "The queue of tasks that name none.")
    task_default_priority: int = _set(_TASKS, 0, kinds.whole(0, 9),
        "The priority of tasks that name none: 0 is first, 9 last.")
    task_queues: tuple[str, ...] = _set(_TASKS, (), kinds.queues,
        "Queues that a worker serves unless it is told others; empty is the default queue and "
        "those of `task_routes`.")
    task_routes: tuple[Router, ...] = _set(_TASKS, (), routes,
        "Queue (and other options) of a call whose own options and task name none: by the task's "
        "name, glob or regex, or by a function; the first answer counts.")
    task_annotations: tuple[Any, ...] = _set(_TASKS, (), task_annotations,
        "Attributes for tasks, by name or for all (`*`): `{'proj.add': {'max_retries': 5}}`. Also "
        "objects with `annotate(task)` and `annotate_any()`, or the dotted name of one, or a list.")
    task_serializer: Literal["json", "msgpack"] = _set(_TASKS, "json", kinds.codec,
        "How arguments are encoded.")
    accept_content: tuple[str, ...] = _set(_TASKS, ("json",), kinds.codecs,
        "Which encodings of arguments are decoded.")
    task_always_eager: bool = _set(_TASKS, False, kinds.flag,
        "Run a task where it is called instead of enqueueing it.")
    task_eager_propagates: bool = _set(_TASKS, False, kinds.flag,
        "Let an eager task's exception reach the caller.")
    task_ignore_result: bool = _set(_TASKS, False, kinds.flag,
        "Keep no results of tasks that do not say otherwise.")
    task_time_limit: float | None = _set(_TASKS, None, kinds.optional(kinds.seconds(), zero=True),
        "A body that runs longer is killed and has failed.", "s")
    task_soft_time_limit: float | None = _set(
        _TASKS, None, kinds.optional(kinds.seconds(), zero=True),
        "A body that runs longer gets `SoftTimeLimitExceeded`.", "s")
    task_publish_retry: bool = _set(_TASKS, True, kinds.flag,
        "Try an enqueue again when the store cannot be reached. It is stored once.")
    task_publish_retry_policy: Mapping[str, Any] = _set(
        _TASKS, kinds.PUBLISH_RETRY, kinds.publish_retry,
        "How often and how far apart; what is left out has its default. Intervals in seconds.")
    task_id_conflict: Literal["warn", "raise"] = _set(
        _TASKS, "warn", kinds.choice("warn", "raise"),
        "What a call gets whose `task_id` another call has, of another task or with other "
        "arguments: a warning and the handle of what is there, or `TaskIdConflict`.")
    enqueue_on_commit: bool = _set(_TASKS, False, kinds.flag,
        "Under Django: what is enqueued inside `transaction.atomic()` is stored when that "
        "commits, and never if it is rolled back.")
    max_deliveries: int = _set(_TASKS, 5, kinds.whole(1),
        "A message whose worker died so many times is a dead letter.", "times")
    unknown_task_delay: float = _set(_TASKS, 5.0, kinds.seconds(zero=True),
        "A message of a task that a worker does not know waits so long for another worker.", "s")
    unknown_task_limit: int = _set(_TASKS, 60, kinds.whole(1),
        "And after being given back so often it is a dead letter.", "times")

    result_serializer: Literal["json", "msgpack"] = _set(_RESULTS, "json", kinds.codec,
        "How results are encoded.")
    result_accept_content: tuple[str, ...] | None = _set(
        _RESULTS, None, kinds.optional(kinds.codecs),
        "Which encodings of results are decoded; None is those of `accept_content`.")
    result_expires: float | None = _set(
        _RESULTS, _DAY, kinds.optional(kinds.seconds(), zero=True),
        "How long results are kept; None or 0 is for ever.", "s")
    result_exceptions: tuple[type[BaseException] | str, ...] = _set(
        _RESULTS, (), kinds.exceptions,
        "Exception classes (or their dotted names) that are safe to rebuild from a stored failure.")
    dead_letter_expires: float | None = _set(
        _RESULTS, 30 * _DAY, kinds.optional(kinds.seconds(), zero=True),
        "How long failed messages are kept with their arguments; None or 0 is for ever.", "s")

    worker_concurrency: int | None = _set(
        _WORKER, None, kinds.optional(kinds.whole(1), zero=True),
        "How many bodies run at once; None is one for each processor.")
    worker_pool: Literal["prefork", "threads", "asyncio"] = _set(
        _WORKER, "prefork",
        kinds.choice("prefork", "threads", "asyncio", other_names={"processes": "prefork"}),
        "What bodies run in.")
    session_lease: float = _set(_WORKER, 20.0, kinds.seconds(),
        "A worker that has not been heard of for so long has lost its messages.", "s")
    heartbeat_interval: float | None = _set(_WORKER, None, kinds.optional(kinds.seconds()),
        "How often a worker is heard of; None is a quarter of `session_lease`.", "s")
    claim_ahead_ms: int = _set(_WORKER, 20, kinds.whole(0, 10_000),
        "How much work, by measured run time, is claimed ahead; 0 is none.", "ms")
    worker_max_tasks_per_child: int | None = _set(
        _WORKER, None, kinds.optional(kinds.whole(1), zero=True),
        "A child is replaced after so many bodies.", "bodies")
    worker_max_memory_per_child: int | None = _set(
        _WORKER, None, kinds.optional(kinds.whole(1), zero=True),
        "A child is replaced when its resident memory is above.", "KiB")
    worker_shutdown_timeout: float = _set(_WORKER, 30.0, kinds.seconds(zero=True),
        "How long a warm shutdown lets bodies finish; the rest is given back.", "s")
    worker_hijack_root_logger: bool = _set(_WORKER, True, kinds.flag,
        "Let the worker set up the root logger.")
    worker_redirect_stdouts: bool = _set(_WORKER, True, kinds.flag,
        "Log what bodies print.")
    worker_redirect_stdouts_level: str = _set(_WORKER, "WARNING", kinds.level,
        "At this level.")
    worker_log_json: bool | None = _set(_WORKER, None, kinds.optional(kinds.flag),
        "Log lines as JSON; None is JSON unless the log goes to a terminal.")

    timezone: str = _set(_BEAT, "UTC", kinds.zone,
        "Time zone of schedules that name none, and of what is shown to people.")
    beat_schedule: Mapping[str, Any] = _set(_BEAT, {}, kinds.schedule,
        "Entries of the schedule: `{name: {'task': …, 'schedule': …, 'args': …}}`.")
    beat_catch_up: Literal["skip", "one", "all"] = _set(
        _BEAT, "skip", kinds.choice("skip", "one", "all"),
        "What happens to slots that passed while no beat ran, where an entry does not say.")

    audit: Literal["default", "all"] = _set(_AUDIT, "default", kinds.choice("default", "all"),
        "Which transitions are kept: those one asks about afterwards, or all.")
    audit_expires: float | None = _set(
        _AUDIT, 7 * _DAY, kinds.optional(kinds.seconds(), zero=True),
        "How long audit rows are kept; None or 0 is for ever.", "s")
    max_audit_rows: int | None = _set(
        _AUDIT, 1_000_000, kinds.optional(kinds.whole(1), zero=True),
        "How many audit rows are kept; the oldest go first. None or 0 is any number.", "rows")
    max_audit_bytes: int | None = _set(
        _AUDIT, 256 * _MIB, kinds.optional(kinds.whole(1), zero=True),
        "How large the audit trail gets, by its texts and 200 bytes a row; the oldest rows go "
        "first. None or 0 is any size.", "bytes")
    ONCE: Mapping[str, Any] = _set(_AUDIT, {}, kinds.mapping,
        "Accepted without effect for celery_once: a once-lock lives with its message and ends with "
        "it. For a cap on how long it is held give the task's `once` a `timeout`.")
    # fmt: on

    def __post_init__(self) -> None:
        _check_together(self)
        _check_waits(self)

    def __repr__(self) -> str:
        usual = Settings()
        told = [
            f"{name}={masked(value, name)!r}"
            for name in described
            if (value := getattr(self, name)) != getattr(usual, name)
        ]
        return f"Settings({', '.join(told)})"

    @property
    def busy_seconds(self) -> float:
        """How long to wait for another process's write to SQLite."""
        given = self.store_busy_timeout
        return max(_LEAST_PATIENCE_S, self.session_lease) if given is None else given

    @property
    def socket_seconds(self) -> float:
        """How long a call of Redis may take, unless it is told: half of a lease, and no longer."""
        lease = self.session_lease
        return min(_MOST_OF_A_CALL_S, max(lease / 2, min(lease, _LEAST_OF_A_CALL_S)))

    @property
    def heartbeat_seconds(self) -> float:
        """How often a worker is heard of, in seconds."""
        return self.heartbeat_interval or self.session_lease / 4


def _check_waits(settings: Settings) -> None:
    """A call that may outlast the lease keeps the heartbeats waiting that would renew it."""
    lease = settings.session_lease
    waits: dict[str, Any] = {"store_busy_timeout": settings.store_busy_timeout}
    for name in ("socket_timeout", "socket_connect_timeout"):
        waits[f"broker_transport_options[{name!r}]"] = settings.broker_transport_options.get(name)
    _, _, query = settings.broker_url.partition("?")
    for name, text in parse_qsl(query):
        if name in {"busy_timeout", "socket_timeout", "socket_connect_timeout"}:
            waits[f"{name} in broker_url"] = text
    for name, value in waits.items():
        try:
            seconds = float(value or 0)
        except (TypeError, ValueError):
            continue  # said where it is used
        if seconds > lease:
            raise ConfigError(
                f"{name}={seconds:g} is above session_lease={lease:g}: while a worker waits so "
                "long for a call, its messages are taken from it; lower the one or raise the other"
            )


def _check_together(settings: Settings) -> None:
    """Refuse settings that are valid one by one and cannot work together."""
    soft, hard = settings.task_soft_time_limit, settings.task_time_limit
    if soft is not None and hard is not None and soft > hard:
        raise ConfigError(
            f"task_soft_time_limit={soft:g} is above task_time_limit={hard:g}: the body would be "
            "killed before it is asked to stop; lower the soft limit"
        )
    beat, lease = settings.heartbeat_interval, settings.session_lease
    if beat is not None and beat > lease / 2:
        raise ConfigError(
            f"heartbeat_interval={beat:g} is above half of session_lease={lease:g}: one late "
            "heartbeat would lose the session; leave it None for a quarter of the lease"
        )
    for name, codec, accepted in (
        ("task_serializer", settings.task_serializer, settings.accept_content),
        (
            "result_serializer",
            settings.result_serializer,
            settings.result_accept_content or settings.accept_content,
        ),
    ):
        if codec not in accepted:
            raise ConfigError(
                f"{name}={codec!r} is not in accept_content={accepted!r}: nobody could decode it; "
                f"add {codec!r} there"
            )


described: Mapping[str, Described] = dict(zip(Settings.__struct_fields__, _about, strict=True))
"""What is known of each setting, by name, in the order of the reference."""

READ_AT_OPENING = frozenset(
    {
        "audit",
        "audit_expires",
        "broker_transport_options",
        "broker_url",
        "durable",
        "max_audit_bytes",
        "max_audit_rows",
        "max_batch",
        "max_input_bytes",
        "max_message_bytes",
        "max_query_rows",
        "stage_expires",
        "store_busy_timeout",
        "store_file_mode",
        "store_namespace",
        "store_url",
    }
)
"""Settings that the store reads when it is opened, at an app's first call: later is too late.

All others are read where they are used; those of the worker and of beat when these start.
"""
