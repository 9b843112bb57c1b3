"""What is here instead of the methods and attributes of Celery's classes that are not."""

from reliable_tasks.celery_names.words import (
    NO_AMQP,
    NO_BROADCAST,
    NO_EVENTS,
    NO_POOL_CONTROL,
    NO_STAMPS,
    NO_STEPS,
    NO_SYMBOLS,
    STARTS,
    TESTED,
    Table,
)

OF_CLASSES: Table = {
    "App": {
        STARTS + TESTED: "Worker WorkController",
        "start one by `app.start(['beat'])`, or the command `reliable-tasks beat`": "Beat",
        "`sys.platform`": "IS_WINDOWS IS_macOS SYSTEM",
        "not needed: an app is made anew in each process": "Pickler",
        NO_AMQP: (
            "amqp broker_connection connection connection_for_read connection_for_write "
            "connection_or_acquire default_connection default_producer pool producer_or_acquire "
            "producer_pool"
        ),
        NO_SYMBOLS: (
            "amqp_cls backend_cls control_cls events_cls loader_cls log_cls registry_cls "
            "builtin_fixups"
        ),
        "run `reliable-tasks -A module report`": "bugreport",
        "environment variables such as RELIABLE_TASKS_BROKER_URL, and options of the command": (
            "config_from_cmdline"
        ),
        "`app.Task`, the base of this app's tasks": "create_task_cls subclass_with_self",
        NO_EVENTS: "events",
        "`reliable_tasks.utils.log.get_task_logger`, the signal setup_logging, and the options of "
        "the command": "log",
        "not needed: results are read from the store, not from a queue of replies": (
            "oid thread_oid"
        ),
        "connect to `app.on_after_configure`": "on_configure prepare_config",
        "`reliable-tasks worker -Q a,b`, or `-X` for all but these": "select_queues",
        "messages are not signed, and nothing is unpickled: use rediss:// and the rights of the "
        "server's users": "setup_security",
        NO_STEPS: "steps",
        "`App(strict_typing=False)`": "type_checker",
        "settings of your own are values of `app.conf`; the command takes no more options": (
            "user_options"
        ),
    },
    "Task": {
        NO_SYMBOLS + "; a `__call__` of your own is around each body": (
            "Request Strategy start_strategy"
        ),
        "an attribute that is None stands for its setting, see `app.conf`": "from_config",
        NO_EVENTS + "; publish progress with `self.update_state`": "send_event",
    },
    "backend": {
        "results are written by the commit of their message, and progress by `self.update_state`": (
            "store_result mark_as_done mark_as_failure mark_as_retry mark_as_revoked "
            "mark_as_started"
        ),
        "the store keeps its connections to itself; `app.store` has what can be asked": (
            "client connection_pool get set mget delete expire database engine"
        ),
    },
    "AsyncResult": {NO_STAMPS: "revoke_by_stamped_headers"},
    "solar": {"a year: the sun has each event at least once in it": "max_search_days"},
    "Control": {
        NO_AMQP: "Mailbox",
        NO_BROADCAST: "broadcast shutdown heartbeat",
        "a worker's queues are set where it starts: `reliable-tasks worker -Q a,b`": (
            "add_consumer cancel_consumer"
        ),
        NO_POOL_CONTROL: "autoscale pool_grow pool_restart pool_shrink",
        NO_EVENTS: "enable_events disable_events",
        "not needed: beats and workers need no election": "election",
        "rates are not limited: bound a queue by the concurrency of its worker": "rate_limit",
        NO_STAMPS: "revoke_by_stamped_headers",
        "the options `time_limit` and `soft_time_limit` of a task or a call": "time_limit",
    },
    "Inspect": {
        "`app.control`": "app",
        "not needed: the store orders what happens": "clock hello",
        "`app.conf`, and `reliable-tasks report`": "conf report",
        "a profiler of the process": "memdump memsample objgraph",
        "`app.control.ping()`": "ping",
        "`inspect().registered()`": "registered_tasks",
        "`reliable-tasks audit --event revoked`, and the state of a result": "revoked",
        "`reliable-tasks status`": "stats",
    },
}
