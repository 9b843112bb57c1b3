"""What is here instead of the modules, settings and commands of Celery's that are not."""

from reliable_tasks.celery_names.words import (
    NO_AMQP,
    NO_EVENTS,
    NO_STEPS,
    NO_SYMBOLS,
    STARTS,
    TESTED,
    Table,
)

OF_MODULES: Table = {
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
    "modules": {
        "`app.schedules` and `beat_schedule`; start one by `app.start(['beat'])`": "beat",
        "the command is `reliable-tasks`": "bin",
        "gone from Celery 5 as well: `app.task`, `app.control`": "task decorators",
        STARTS + TESTED: "worker",
    },
    "celery.exceptions": {
        "settings that mean nothing here are notes of the worker's banner, not warnings": (
            "CDeprecationWarning CPendingDeprecationWarning CeleryWarning AlwaysEagerIgnored "
            "DuplicateNodenameWarning DuplicateTaskNameWarning FixupWarning SecurityWarning"
        ),
        "the commands exit with a code and say why on standard error": "CeleryCommandException",
        "messages are not signed": "SecurityError",
        "`raise exc from cause`": "reraise",
        "the settings that are missing are named where they are used: `ConfigError`": (
            "NotConfigured"
        ),
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
    "celery.bootsteps": {NO_STEPS: "Blueprint ConsumerStep StartStopStep Step"},
    "celery.loaders": {NO_SYMBOLS: "*"},
    "celery.app.log": {
        "`reliable_tasks.log.TaskContext` adds a task's name and id to the lines of handlers of "
        "your own; the signal setup_logging replaces the set-up": "*"
    },
    "celery.app.amqp": {NO_AMQP: "*"},
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
    "celery.contrib.testing.tasks": {
        "not needed: what ends a worker early is raised at the end of its block": "*"
    },
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
    "celery.events": {NO_EVENTS: "*"},
    "celery.events.receiver": {NO_EVENTS: "*"},
    "celery.events.state": {NO_EVENTS: "*"},
    "celery.platforms": {"a worker does not detach itself: systemd or a container runs it": "*"},
    "celery.concurrency": {"`reliable-tasks worker -P NAME`": "*"},
    "celery.worker": {STARTS + TESTED: "*"},
    "celery.security": {
        "messages are not signed, and nothing is unpickled: use rediss:// and the rights of the "
        "server's users": "*"
    },
    "celery.backends": {"results live with the messages: there is one store": "*"},
    "celery.backends.base": {"results live with the messages: there is one store": "*"},
    "celery.concurrency.gevent": {"`reliable-tasks worker -P threads`": "*"},
    "celery.local": {"`reliable_tasks.current_app` and `current_task`": "*"},
    "celery.app.base": {"`reliable_tasks.App`": "*"},
    "celery_once": {
        "a once-lock is part of its message: `reliable-tasks locks` shows and frees them; see "
        "docs/how-to/migrate-from-celery-once.md": "*"
    },
    "celery.task": {"gone from Celery 5 as well: `app.task`, `app.control`": "*"},
    "celery.bin": {"the command is `reliable-tasks`": "*"},
    "celery.fixups": {"`reliable_tasks.contrib.django` sets Django up": "*"},
    "commands": {
        "there is no AMQP: `status`, `purge`, `call`": (
            "amqp;amqp basic.ack;amqp basic.get;amqp basic.publish;amqp exchange.declare;"
            "amqp exchange.delete;amqp queue.bind;amqp queue.declare;amqp queue.delete;"
            "amqp queue.purge;amqp repl"
        ),
        "`status`, `revoke`, `purge`, `schedules pause`": "control;inspect",
        "`audit --since 1h`, and the log of `worker -l info`": "events",
        "`graph ID` shows a workflow": "graph bootsteps;graph workers",
        "`status`": "list;list bindings",
        "`audit`, and the log's JSON lines": (
            "logtool;logtool debug;logtool errors;logtool incomplete;logtool stats;logtool traces"
        ),
        "`python -m reliable_tasks.migrate` rewrites imports; no messages are moved": "migrate",
        "one worker for each line of systemd or of your container": "multi",
        "old names are understood": "upgrade;upgrade settings",
    },
}
