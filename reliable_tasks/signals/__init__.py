"""Celery's signals: call functions of yours when something happens in this process.

```python
@task_failure.connect(sender="shop.tasks.charge")
def tell_somebody(sender, task_id, exception, **_): ...
```
"""

from __future__ import annotations

from .dispatch import Signal

__all__ = [
    "Signal",
    "after_setup_logger",
    "after_setup_task_logger",
    "after_task_publish",
    "beat_embedded_init",
    "beat_init",
    "before_task_publish",
    "celeryd_after_setup",
    "celeryd_init",
    "eventlet_pool_apply",
    "eventlet_pool_postshutdown",
    "eventlet_pool_preshutdown",
    "eventlet_pool_started",
    "heartbeat_sent",
    "import_modules",
    "setup_logging",
    "signals_table",
    "task_failure",
    "task_internal_error",
    "task_postrun",
    "task_prerun",
    "task_received",
    "task_rejected",
    "task_retry",
    "task_revoked",
    "task_sent",
    "task_success",
    "task_unknown",
    "user_preload_options",
    "worker_before_create_process",
    "worker_init",
    "worker_process_init",
    "worker_process_shutdown",
    "worker_ready",
    "worker_shutdown",
    "worker_shutting_down",
]

_ATTEMPT = ("task_id", "task", "args", "kwargs")

before_task_publish = Signal(
    "before_task_publish",
    "A message is about to be stored; sent in its caller, which may change it.",
    ("body", "exchange", "routing_key", "declare", "headers", "properties", "retry_policy"),
)
after_task_publish = Signal(
    "after_task_publish",
    "The store has answered for a message.",
    ("body", "exchange", "routing_key", "headers", "receipt"),
)
task_received = Signal("task_received", "A worker has a message and prepares it.", ("request",))
task_prerun = Signal("task_prerun", "A body is about to run.", _ATTEMPT)
task_postrun = Signal("task_postrun", "A body has ended.", (*_ATTEMPT, "retval", "state"))
task_success = Signal("task_success", "A body returned.", ("result",))
task_retry = Signal("task_retry", "A message is to be tried again.", ("request", "reason", "einfo"))
task_failure = Signal(
    "task_failure",
    "A message ended as a failure.",
    ("task_id", "exception", "args", "kwargs", "traceback", "einfo"),
)
task_internal_error = Signal(
    "task_internal_error", "A fault of the worker's own failed a message.", ("task_id", "exception")
)
task_revoked = Signal(
    "task_revoked",
    "A message was revoked while its body ran.",
    ("request", "terminated", "signum", "expired"),
)
task_rejected = Signal("task_rejected", "A body raised `Reject`.", ("message", "exc", "request"))
task_unknown = Signal(
    "task_unknown",
    "A worker got a message of a task that it does not know.",
    ("message", "exc", "name", "id"),
)
celeryd_init = Signal(
    "celeryd_init",
    "The command `worker` has imported the tasks, and reads the settings next; the sender is the "
    "worker's name.",
    ("instance", "conf", "options"),
)
celeryd_after_setup = Signal(
    "celeryd_after_setup",
    "The command `worker` knows what it will do; receivers may add to `instance.queues`. The "
    "sender is the worker's name.",
    ("instance", "conf"),
)
import_modules = Signal(
    "import_modules",
    "A worker, a beat or a command imports the modules with the tasks; the sender is the app. What "
    "a receiver raises ends it.",
)
user_preload_options = Signal(
    "user_preload_options",
    "A command has found its app; the sender is the command's name, the options are those that "
    "all commands have.",
    ("app", "options"),
)
worker_init = Signal("worker_init", "A worker begins; the sender is the app.")
worker_before_create_process = Signal(
    "worker_before_create_process",
    "A worker is about to fork a child; sent in its supervisor, the sender is the app.",
)
heartbeat_sent = Signal(
    "heartbeat_sent",
    "The store has taken a worker's heartbeat; sent in its supervisor, the sender is the worker's "
    "name.",
)
worker_ready = Signal("worker_ready", "A worker consumes; the sender is the app.")
worker_shutting_down = Signal("worker_shutting_down", "A worker was told to stop.", ("sig", "how"))
worker_shutdown = Signal("worker_shutdown", "A worker has stopped; the sender is the app.")
worker_process_init = Signal("worker_process_init", "A worker's child process begins.")
worker_process_shutdown = Signal(
    "worker_process_shutdown", "A worker's child process ends.", ("pid", "exitcode")
)
beat_init = Signal("beat_init", "A beat begins; the sender is the app.")
beat_embedded_init = Signal(
    "beat_embedded_init", "A beat begins that `worker -B` runs; after `beat_init`."
)
setup_logging = Signal(
    "setup_logging",
    "The log is set up; with a receiver, by nobody else.",
    ("loglevel", "logfile", "format", "colorize"),
)
_LOGGER = ("logger", "loglevel", "logfile", "format", "colorize")
after_setup_logger = Signal(
    "after_setup_logger", "The log was set up, but not by a receiver of `setup_logging`.", _LOGGER
)
after_setup_task_logger = Signal(
    "after_setup_task_logger",
    "So was the logger of tasks, with a handler of its own where this has a receiver.",
    _LOGGER,
)

# Never sent ---------------------------------------------------------------------------------------

_NO_EVENTLET = "Never: there is no pool `eventlet`."
eventlet_pool_started = Signal("eventlet_pool_started", _NO_EVENTLET)
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown", _NO_EVENTLET)
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown", _NO_EVENTLET)
eventlet_pool_apply = Signal("eventlet_pool_apply", _NO_EVENTLET, ("target", "args", "kwargs"))
task_sent = Signal("task_sent", "Never: Celery gave it up for `after_task_publish`.")


def signals_table() -> str:
    """The reference of signals, as a Markdown table."""
    rows = ["| signal | sent when | fields |", "| --- | --- | --- |"]
    for signal in (value for value in globals().values() if isinstance(value, Signal)):
        fields = ", ".join(f"`{field}`" for field in signal.fields)
        rows.append(f"| `{signal.name}` | {signal.meaning} | {fields} |")
    return "\n".join(rows) + "\n"
