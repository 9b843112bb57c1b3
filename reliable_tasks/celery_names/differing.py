"""How names that are here differ from Celery's."""

from reliable_tasks.celery_names.words import Table

DIFFERING: Table = {
    "App": {
        "is sent with the schedule's entries, by beat; and by `app.finalize()`": (
            "on_after_configure on_after_finalize"
        ),
        "the store's view of results: reading, forgetting, progress": "backend",
        "imports modules, and no more": "loader",
        "nothing is lazy: sends on_after_configure and on_after_finalize, once": "finalize",
    },
    "Task": {
        "refused: give the task a queue and a worker of its own": "rate_limit",
        "always so, whatever is said": (
            "acks_late acks_on_failure acks_on_failure_or_timeout acks_on_timeout "
            "reject_on_worker_lost track_started store_errors_even_if_ignored"
        ),
        "taken and noted; a message whose worker died is delivered again": "retry_on_worker_lost",
        "is about `self.request.children` alone": "trail",
        "taken and noted; events need no switch": "send_events",
        "another name of StoreUnavailable: a call could not be stored": "OperationalError",
        "a new message with the same call, queue and options": (
            "signature_from_request subtask_from_request"
        ),
        "the store's view of results": "backend",
    },
    "request": {
        "what the body has enqueued, at most 10,000; none with `trail=False`": "children",
        "always None: callbacks are in the store; setting it is an error": "callbacks errbacks",
        "its last message; setting it is an error: `raise Ignore()` ends what follows": "chain",
        "the id of the chord's body; setting it is an error": "chord",
        "always None: the log's level is that of the worker": "logfile loglevel",
        "of a chord's body: the last member of its header": "parent_id",
        "one for the whole workflow: its first message": "root_id",
    },
    "Signature": {
        "refuses: every message is run by one worker; a once-task is enqueued once": "election"
    },
    "chain": {
        "refuses: a chain is compiled as a whole; `freeze()` gives ids to its parts": (
            "prepare_steps"
        ),
    },
    "schedule": {
        "the schedule's own zone, where it was given one": "tz",
        "always true": "utc_enabled",
        "returns the instant as it is": "to_local",
    },
    "crontab": {
        "the difference is a timedelta": "remaining_delta",
    },
    "celery.schedules": {"another name of BadSchedule": "ParseException"},
    "celery.exceptions": {
        "another name of ReliableTasksError, the root of all": "CeleryError TaskError",
        "another name of ConfigError": "ImproperlyConfigured AlreadyRegistered QueueNotFound",
        "another name of CodecError": "InvalidTaskError",
        "another name of StoreUnavailable: a call could not be stored": "OperationalError",
        "another name of StoreError": "BackendError BackendGetMetaError BackendStoreError",
    },
    "celery.states": {"no message is ever in it": "RECEIVED"},
    "celery": {"the same class as App": "Celery"},
    "Control": {
        "asks the store; gives the state of each message": "revoke",
        "revokes what waits, which the audit trail shows": "purge discard_all",
    },
}
