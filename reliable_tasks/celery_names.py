"""Celery's names that are not here, with what is here instead; and those that mean something else.

Errors, the page of Celery's names and `python -m reliable_tasks.migrate` say it in these words. A
name that comes to be here needs no line: whoever asks looks first whether it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["differs", "instead", "no_attribute"]

_Table = dict[str, dict[str, str]]

_SAME_WORDS = {
    **dict.fromkeys(("chain", "group", "chord", "chunks", "xmap", "xstarmap"), "Signature"),
    **dict.fromkeys(("GroupResult", "ResultSet", "EagerResult"), "AsyncResult"),
    "celery.app": "celery",
}
"""Sections that say what another one says of a name, unless they say more."""

_NO_AMQP = (
    "there are no connections of AMQP's: the store is `app.store`, `app.control.ping()` shows "
    "the workers, `reliable-tasks status` the queues"
)
_NO_SYMBOLS = "there is one implementation; it is not exchanged by a name"
_NO_EVENTS = (
    "there is no stream of events: `reliable-tasks audit` and `app.store.audit` have the trail of "
    "every message, signals tell a process of its own"
)
_NO_STAMPS = (
    "there are no stamps: give `headers=`, which `self.request.headers` has in every attempt; "
    "revoke by ids"
)
_NO_STEPS = (
    "a worker has no parts to exchange: connect to the signals worker_init, worker_ready, "
    "worker_process_init and worker_shutdown"
)
_NO_BROADCAST = (
    "workers are not commanded one by one: `app.control.revoke`, `terminate`, `purge` and `ping` "
    "work through the store; a worker stops on TERM, see `reliable-tasks worker --help`"
)
_NO_POOL_CONTROL = (
    "the size of a worker is set where it starts: `reliable-tasks worker -c N`; start more workers "
    "for more"
)
_STARTS = "start one by `app.worker_main([...])`, the command `reliable-tasks worker`, or in tests "
_TESTED = "by `reliable_tasks.testing.run_until_idle(app)`"

_INSTEAD: _Table = {
    "celery": {
        "version: `reliable_tasks.__version__`": (
            "SERIES VERSION VERSION_BANNER version_info version_info_t"
        ),
        "run `reliable-tasks -A module report`": "bugreport",
        "not needed: gevent and eventlet are no pools here, and nothing is patched": (
            "maybe_patch_concurrency"
        ),
        "`reliable_tasks.current_app`, or the app itself": "app_or_default default_app",
        "not needed: an app is made anew in each process": "AppPickler",
        "not needed: `reliable_tasks.current_task` knows by itself": (
            "push_current_task pop_current_task"
        ),
        "not needed: an app shows no stack": "enable_trace disable_trace",
    },
    "App": {
        _STARTS + _TESTED: "Worker WorkController",
        "start one by `app.start(['beat'])`, or the command `reliable-tasks beat`": "Beat",
        "`sys.platform`": "IS_WINDOWS IS_macOS SYSTEM",
        "not needed: an app is made anew in each process": "Pickler",
        _NO_AMQP: (
            "amqp broker_connection connection connection_for_read connection_for_write "
            "connection_or_acquire default_connection default_producer pool producer_or_acquire "
            "producer_pool"
        ),
        _NO_SYMBOLS: (
            "amqp_cls backend_cls control_cls events_cls loader_cls log_cls registry_cls "
            "builtin_fixups"
        ),
        "the settings `task_annotations`": "annotations",
        "run `reliable-tasks -A module report`": "bugreport",
        "environment variables such as RELIABLE_TASKS_BROKER_URL, and options of the command": (
            "config_from_cmdline"
        ),
        "`app.Task`, the base of this app's tasks": "create_task_cls subclass_with_self",
        _NO_EVENTS: "events",
        "`reliable_tasks.utils.log.get_task_logger`, the signal setup_logging, and the options of "
        "the command": "log",
        "not needed: results are read from the store, not from a queue of replies": (
            "oid thread_oid"
        ),
        "connect to `app.on_after_configure`": "on_configure prepare_config",
        "`reliable-tasks worker -Q a,b`, or `-X` for all but these": "select_queues",
        "messages are not signed, and nothing is unpickled: use rediss:// and the rights of the "
        "server's users": "setup_security",
        _NO_STEPS: "steps",
        "`App(strict_typing=False)`": "type_checker",
        "settings of your own are values of `app.conf`; the command takes no more options": (
            "user_options"
        ),
    },
    "Task": {
        "`reliable_tasks.errors.StoreUnavailable`": "OperationalError",
        _NO_SYMBOLS: "Request Strategy start_strategy",
        "always so: a message ends with the commit of its outcome": (
            "acks_on_failure acks_on_timeout retry_on_worker_lost"
        ),
        "give the options to the task, or `task_annotations`": "add_around annotate from_config",
        "not needed: the store knows what a message has enqueued": "add_trail",
        "`self.app.backend`": "backend",
        "a class of tasks of your own has `__init__`, and `base=` names it": "on_bound",
        "the signal task_success of what stands in its place": "on_replace",
        _NO_EVENTS: "send_event send_events",
        "give `shadow=` with the call": "shadow_name",
        "`self.signature(args, kwargs)`, or `self.retry()`": (
            "signature_from_request subtask_from_request"
        ),
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
    "request": {
        "`self.request.get(name)`; a retry keeps the options by itself": "as_execution_options",
        "`AsyncResult(self.request.id).children`": "children",
        "the log's level is that of the worker": "logfile loglevel",
        "there are no properties of AMQP's: `self.request.headers`, `correlation_id`, `priority`": (
            "properties"
        ),
        "not needed: results are read from the store, not from a queue of replies": "reply_to",
        "not needed: a replaced message keeps its id": "replaced_task_nesting",
        "`self.request.timelimit`, a pair": "time_limit soft_time_limit",
        _NO_STAMPS: "stamps stamped_headers",
        "`self.request.group`": "taskset",
    },
    "AsyncResult": {
        "`reliable_tasks.errors.TimeoutError`": "TimeoutError",
        "`result.as_tuple()`": "as_list",
        "`result.app.backend`": "backend",
        "`reliable-tasks graph ID`, and `result.children`": "build_graph graph",
        "the last of `result.collect()`": "get_leaf",
        "`result.state == 'IGNORED'`": "ignored",
        _NO_STAMPS: "revoke_by_stamped_headers",
        "all results are in one store: `join_native` is `join`": "supports_native_join",
        "`result.get()` raises": "throw",
        "`discard`": "remove",
    },
    "Signature": {
        "`sig.freeze()` gives the handle": "AsyncResult",
        "classes of your own are registered by `Signature.register_type`": "TYPES",
        "`sig.link(...)` and `sig.options`": (
            "append_to_list_option extend_list_option flatten_links"
        ),
        "not needed: beats and workers need no election": "election",
        "`repr(sig)`": "reprcall",
        _NO_STAMPS: "stamp stamp_links",
        "`sig.apply_async()`": "run prepare_steps apply_chunks",
        "give parts `countdown=`": "skew",
    },
    "solar": {"a year: the sun has each event at least once in it": "max_search_days"},
    "Control": {
        _NO_AMQP: "Mailbox",
        _NO_BROADCAST: "broadcast shutdown heartbeat",
        "a worker's queues are set where it starts: `reliable-tasks worker -Q a,b`": (
            "add_consumer cancel_consumer"
        ),
        _NO_POOL_CONTROL: "autoscale pool_grow pool_restart pool_shrink",
        _NO_EVENTS: "enable_events disable_events",
        "not needed: beats and workers need no election": "election",
        "rates are not limited: bound a queue by the concurrency of its worker": "rate_limit",
        _NO_STAMPS: "revoke_by_stamped_headers",
        "the options `time_limit` and `soft_time_limit` of a task or a call": "time_limit",
    },
    "Inspect": {
        "`app.control`": "app",
        "not needed: the store orders what happens": "clock hello",
        "`app.conf`, and `reliable-tasks report`": "conf report",
        "a profiler of the process": "memdump memsample objgraph",
        "`app.control.ping()`": "ping",
        "`inspect().registered()`": "registered_tasks",
        "`reliable-tasks audit --kind revoked`, and the state of a result": "revoked",
        "`reliable-tasks status`": "stats",
    },
    "celery.signals": {
        "`setup_logging`": "after_setup_logger after_setup_task_logger",
        "`worker_init`": "celeryd_init celeryd_after_setup worker_before_create_process",
        "`beat_init`, in its process": "beat_embedded_init",
        "gevent and eventlet are no pools here: `worker_process_init`": (
            "eventlet_pool_apply eventlet_pool_postshutdown eventlet_pool_preshutdown "
            "eventlet_pool_started"
        ),
        "the supervisor renews a session; `app.control.ping()` shows who does": "heartbeat_sent",
    },
    "celery.exceptions": {
        "settings that mean nothing here are notes of the worker's banner, not warnings": (
            "CDeprecationWarning CPendingDeprecationWarning CeleryWarning AlwaysEagerIgnored "
            "DuplicateNodenameWarning DuplicateTaskNameWarning FixupWarning SecurityWarning"
        ),
        "the commands exit with a code and say why on standard error": "CeleryCommandException",
        "messages are not signed": "SecurityError",
        "`raise exc from cause`": "reraise",
        "a worker stops on TERM; see `reliable-tasks worker --help`": (
            "WorkerShutdown WorkerTerminate"
        ),
        "a body that is terminated ends as REVOKED: `TaskRevokedError`": "Terminated",
    },
    "celery.utils": {
        "`functools.cached_property`": "cached_property",
        "`functools.lru_cache`": "memoize",
        "`itertools.batched`, or `task.chunks` for calls": "chunks",
        "`importlib`": "get_cls_by_name get_full_cls_name import_from_cwd instantiate",
        "`logging.getLevelNamesMapping()`": "LOG_LEVELS mlevel",
        "the names of workers are any text: `reliable-tasks worker -n NAME`": (
            "nodename nodesplit worker_direct"
        ),
        "a function of your own": "noop",
    },
    "celery.utils.log": {
        "`logging.getLevelNamesMapping()`": "LOG_LEVELS mlevel",
        "the log is set up by the command; `setup_logging` and `logging.config` change it": (
            "ColorFormatter LoggingProxy base_logger get_multiprocessing_logger in_sighandler "
            "reset_multiprocessing_logger set_in_sighandler"
        ),
    },
    "celery.app.control": {"replies are those of the store, by worker": "flatten_reply"},
    "celery.beat": {
        "the schedule lives in the store, and any number of beats fires it: `app.schedules`, "
        "`beat_schedule`, `app.start(['beat'])`": (
            "BeatPidbox EmbeddedService PersistentScheduler ScheduleEntry Scheduler Service"
        ),
        "`reliable_tasks.errors.ConfigError`": "SchedulingError",
    },
    "celery.bootsteps": {_NO_STEPS: "*"},
    "celery.loaders": {_NO_SYMBOLS: "*"},
    "celery.app.log": {
        "`reliable_tasks.log.TaskContext` adds a task's name and id to the lines of handlers of "
        "your own; the signal setup_logging replaces the set-up": "*"
    },
    "celery.app.amqp": {_NO_AMQP: "*"},
    "celery.app.defaults": {"the page of settings: docs/reference/settings.md": "*"},
    "celery.app.routes": {"`task_routes`": "*"},
    "celery.app.trace": {"the signals task_prerun, task_postrun, task_success, …": "*"},
    "celery.app.utils": {
        "`app.conf`": "Settings filter_hidden_settings",
        "`importlib`": "find_app",
        "run `reliable-tasks -A module report`": "bugreport",
        "`repr(app)`": "appstr",
        "a function of your own": "sanitize_url",
    },
    "celery.contrib.testing.worker": {
        "`start_worker(app)`, or `reliable_tasks.testing.run_until_idle(app)`": "*"
    },
    "celery.contrib.testing.app": {"`TestApp`, or the fixture `task_app`": "*"},
    "celery.contrib.pytest": {
        "the fixtures `task_app` and `run_until_idle`, see docs/how-to/testing.md": "*"
    },
    "celery.contrib.abortable": {"`result.revoke(terminate=True)`": "*"},
    "celery.contrib.django.task": {"`app.task`, and `transaction.on_commit`": "*"},
    "celery.contrib.rdb": {"a debugger of the process, with `reliable-tasks worker -P solo`": "*"},
    "celery.contrib.migrate": {
        "messages of a broker stay there: let the old workers finish them; "
        "`reliable-tasks dead replay` sends dead letters again": "*"
    },
    "celery.contrib.sphinx": {"`sphinx.ext.autodoc` sees tasks as the functions they wrap": "*"},
    "celery.events": {_NO_EVENTS: "*"},
    "celery.events.receiver": {_NO_EVENTS: "*"},
    "celery.events.state": {_NO_EVENTS: "*"},
    "celery.platforms": {"a worker does not detach itself: systemd or a container runs it": "*"},
    "celery.concurrency": {"`reliable-tasks worker -P NAME`": "*"},
    "celery.worker": {_STARTS + _TESTED: "*"},
    "celery.security": {
        "messages are not signed, and nothing is unpickled: use rediss:// and the rights of the "
        "server's users": "*"
    },
    "celery.backends": {"results live with the messages: there is one store": "*"},
    "celery.backends.base": {"results live with the messages: there is one store": "*"},
    "celery.concurrency.gevent": {"`reliable-tasks worker -P threads`": "*"},
    "celery.local": {"`reliable_tasks.current_app` and `current_task`": "*"},
    "celery.result": {"`AsyncResult`, which all of them are": "ResultBase"},
    "celery.bin": {"the command is `reliable-tasks`": "*"},
    "celery.fixups": {"`reliable_tasks.contrib.django` sets Django up": "*"},
    "settings": {},
    "commands": {
        "there is no AMQP: `status`, `purge`, `call`": (
            "amqp;amqp basic.ack;amqp basic.get;amqp basic.publish;amqp exchange.declare;"
            "amqp exchange.delete;amqp queue.bind;amqp queue.declare;amqp queue.delete;"
            "amqp queue.purge;amqp repl"
        ),
        "`RELIABLE_TASKS_…` variables, and `app.conf`": (
            "--result-backend;--loader;--config;-C;--skip-checks"
        ),
        "let systemd or a container run it": (
            "beat --detach;beat --uid;beat --gid;beat --umask;beat --executable;worker --uid;"
            "worker --gid;worker --umask;worker --executable"
        ),
        "beats are equal and have no names": (
            "beat -n;beat --hostname;beat --enable-remote-control;beat --no-enable-remote-control"
        ),
        "options of the task": "call --serializer",
        "`call -Q`": "call --exchange;call --routing-key",
        "`revoke`, `purge`, `status`": "control;inspect",
        "`audit --follow`": "events",
        "`graph ID` shows a workflow": "graph bootsteps;graph workers",
        "`status`": "list;list bindings;status -t;status --timeout;status -d;status --destination",
        "`status --json`": "status -j",
        "`audit`, and the log's JSON lines": (
            "logtool;logtool debug;logtool errors;logtool incomplete;logtool stats;logtool traces"
        ),
        "`dead replay`": "migrate",
        "one worker for each line of systemd or of your container": "multi",
        "the id is enough": "result -t;result --task",
        "`python`, then import your app": "shell",
        "old names are understood": "upgrade;upgrade settings",
        "not needed": (
            "worker --optimization;worker --disable-prefetch;worker --pool-start-method;"
            "worker --scheduler"
        ),
    },
}

_DIFFERS: _Table = {
    "App": {
        "is sent with the schedule's entries, by beat; and by `app.finalize()`": (
            "on_after_configure on_after_finalize"
        ),
        "the store's view of results: reading, forgetting, progress": "backend",
        "imports modules, and no more": "loader",
        "nothing is lazy: sends on_after_configure and on_after_finalize, once": "finalize",
    },
    "Task": {"taken; a rate is not limited": "rate_limit"},
    "schedule": {
        "the schedule's own zone, where it was given one": "tz",
        "always true": "utc_enabled",
        "returns the instant as it is": "to_local",
    },
    "crontab": {
        "the difference is a timedelta": "remaining_delta",
        "the schedule's own zone, where it was given one": "tz",
        "always true": "utc_enabled",
        "returns the instant as it is": "to_local",
    },
    "celery.schedules": {"another name of BadSchedule": "ParseException"},
    "celery": {"the same class as App": "Celery"},
    "Control": {
        "asks the store; gives the state of each message": "revoke",
        "revokes what waits, which the audit trail shows": "purge discard_all",
    },
}


def _flat(table: _Table) -> dict[tuple[str, str], str]:
    """Turn `{section: {words: names}}` into `{(section, name): words}`."""
    return {
        (section, name): words
        for section, of_section in table.items()
        for words, names in of_section.items()
        for name in (names.split(";") if section == "commands" else names.split())
    }


def _said(table: Mapping[tuple[str, str], str], section: str, name: str) -> str | None:
    for where in (section, _SAME_WORDS.get(section, section)):
        for what in (name, "*"):
            if (where, what) in table:
                return table[where, what]
    return None


def instead(section: str, name: str) -> str | None:
    """What is here instead of a name of Celery's that is not; None where nothing is known of it.

    Args:
        section: the module (`celery.utils`) or the class (`App`, `Task`, `request`, …).
        name: in it.
    """
    return _said(_flat(_INSTEAD), section, name)


def differs(section: str, name: str) -> str | None:
    """How a name that is here differs from Celery's; None where it does not."""
    return _said(_flat(_DIFFERS), section, name)


def no_attribute(owner: str, section: str, name: str) -> str:
    """The text of an AttributeError, which says what is here instead."""
    said = None if name.startswith("_") else instead(section, name)
    return f"{owner} has no attribute {name!r}" + (f"; instead: {said}" if said else "")
