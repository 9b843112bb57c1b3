"""The names of settings: ours, Celery's old spellings, and those that have no use here.

Three sorts of names are known. A *setting* has an effect. A *noted* name is accepted with a note
that says why it is not needed, so that a Celery user's configuration loads. A *refused* name asks
for something that would change what the program does and that is not there; only a value that
asks for nothing (None, False, empty) is accepted.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reliable_tasks.config.settings import described

__all__ = ["NOTED", "NOTED_VALUES", "OLD_NAMES", "REFUSED", "known_names", "resolve"]


def _each(table: Mapping[str, str]) -> dict[str, str]:
    """Turn `{reason: names}` into `{name: reason}`."""
    return {name: reason for reason, names in table.items() for name in names.split()}


NOTED: Mapping[str, str] = _each(
    {
        "always so: a message ends with the commit of its outcome, and one whose worker died is "
        "delivered again": "task_acks_late task_reject_on_worker_lost "
        "task_acks_on_failure_or_timeout "
        "task_acks_on_failure task_acks_on_timeout task_retry_on_worker_lost",
        "not needed: what is claimed ahead is bounded by time, see claim_ahead_ms": (
            "worker_prefetch_multiplier worker_disable_prefetch "
            "worker_enable_prefetch_count_reduction worker_eta_task_limit worker_pool_putlocks"
        ),
        "not needed: connections are opened when needed and kept, and every call that fails is "
        "tried again": (
            "broker_pool_limit broker_connection_timeout broker_connection_retry "
            "broker_connection_retry_on_startup broker_connection_max_retries "
            "broker_pool_acquire_timeout broker_channel_error_retry "
            "broker_failover_strategy broker_heartbeat "
            "broker_heartbeat_checkrate broker_login_method redis_max_connections "
            "redis_socket_timeout redis_socket_connect_timeout redis_retry_on_timeout "
            "redis_socket_keepalive redis_backend_health_check_interval redis_client_name "
            "result_backend_always_retry result_backend_max_sleep_between_retries_ms "
            "result_backend_base_sleep_between_retries_ms result_backend_max_retries "
            "result_backend_thread_safe database_engine_options database_short_lived_sessions"
        ),
        "not needed: results live with the messages": (
            "result_backend_transport_options result_persistent result_cache_max result_exchange "
            "result_exchange_type result_compression cache_backend cache_backend_options "
            "database_url database_engine_callback database_table_names database_table_schemas "
            "database_create_tables_at_setup mongodb_backend_settings "
            "couchbase_backend_settings riak_backend_settings arangodb_backend_settings "
            "cassandra_entry_ttl cassandra_keyspace cassandra_port cassandra_read_consistency "
            "cassandra_servers cassandra_bundle_path cassandra_table cassandra_write_consistency "
            "cassandra_auth_provider cassandra_auth_kwargs cassandra_options "
            "elasticsearch_retry_on_timeout elasticsearch_max_retries elasticsearch_timeout "
            "elasticsearch_save_meta_as_text s3_access_key_id s3_secret_access_key s3_bucket "
            "s3_base_path s3_endpoint_url s3_region dynamodb_endpoint_url "
            "azureblockblob_container_name azureblockblob_retry_initial_backoff_sec "
            "azureblockblob_retry_increment_base azureblockblob_retry_max_attempts "
            "azureblockblob_base_path azureblockblob_connection_timeout "
            "azureblockblob_read_timeout gcs_bucket gcs_project gcs_base_path gcs_ttl "
            "gcs_threadpool_maxsize firestore_project cosmosdbsql_database_name "
            "cosmosdbsql_collection_name cosmosdbsql_consistency_level "
            "cosmosdbsql_max_retry_attempts cosmosdbsql_max_retry_wait_time"
        ),
        "not needed: a workflow's parts are joined in the store, nothing polls or waits": (
            "result_chord_join_timeout result_chord_expires result_chord_retry_interval "
            "result_chord_ordered "
            "chord_propagates"
        ),
        "not needed: there are no exchanges, a queue exists when a message is in it": (
            "task_create_missing_queues task_create_missing_queue_type "
            "task_create_missing_queue_exchange_type task_default_exchange "
            "task_default_exchange_type task_default_routing_key task_default_delivery_mode "
            "task_default_queue_type task_queue_ha_policy task_queue_max_priority "
            "broker_native_delayed_delivery_queue_type worker_detect_quorum_queues "
            "broadcast_queue broadcast_exchange broadcast_exchange_type"
        ),
        "always so: a result is STARTED while its body runs": "task_track_started",
        "not needed: name, worker and queue are kept with every result, and the arguments until "
        "the message has succeeded": "result_extended",
        "not used: instants are stored in UTC in any case; timezone is that of schedules": (
            "enable_utc"
        ),
        "not used: messages are stored as they are encoded": "task_compression task_protocol",
        "always so: failures are kept, with their traceback and arguments, as dead letters": (
            "task_store_errors_even_if_ignored task_remote_tracebacks"
        ),
        "not used: the result of an eager task is in its EagerResult": "task_store_eager_result",
        "not used: a task has the priority that is asked for it": "task_inherit_parent_priority",
        "not used: an errback of a chord runs once, whichever part failed": (
            "task_allow_error_cb_on_chord_header"
        ),
        "not needed: events need no switch; audit='all' keeps every transition": (
            "worker_send_task_events task_send_sent_event event_serializer event_queue_ttl "
            "event_queue_expires event_queue_prefix event_queue_exclusive event_queue_durable "
            "event_exchange task_send_error_emails task_error_whitelist"
        ),
        "not needed: commands reach workers with their heartbeat": (
            "worker_enable_remote_control control_queue_ttl control_queue_expires "
            "beat_enable_remote_control beat_remote_control_max_tick_age "
            "control_queue_exclusive control_queue_durable control_exchange worker_pool_restarts"
        ),
        "not needed: revocations and delays are kept in the store": (
            "worker_state_db worker_timer worker_timer_precision worker_lost_wait "
            "worker_cancel_long_running_tasks_on_connection_loss "
            "worker_deduplicate_successful_tasks"
        ),
        "not used: rate limits are not supported": "worker_disable_rate_limits",
        "not used: children are forked": "worker_pool_start_method",
        "not used: the grace period of a shutdown is worker_shutdown_timeout": (
            "worker_soft_shutdown_timeout worker_enable_soft_shutdown_on_idle"
        ),
        "not used: the worker is one program without parts to exchange": (
            "worker_autoscaler worker_autoreloader worker_consumer worker_agent "
            "worker_proc_alive_timeout worker_force_execv"
        ),
        "not used: log lines have fixed fields; worker_log_json and the command's options say how "
        "they look": (
            "worker_log_format worker_task_log_format worker_log_datefmt worker_task_log_datefmt "
            "task_repr_maxlevels worker_log_color worker_log_level "
            "worker_log_file beat_log_level beat_log_file monitor_log_level monitor_log_file "
            "monitor_log_format"
        ),
        "not needed: the schedule's state lives in the store, and beat sleeps exactly until the "
        "next slot": "beat_schedule_filename beat_sync_every beat_max_loop_interval",
        "not used: beat_catch_up says what happens to slots that were missed": (
            "beat_cron_starting_deadline"
        ),
    }
)
"""Why each of these names of Celery's has no effect here."""

NOTED_VALUES: Mapping[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_acks_on_failure_or_timeout": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_retry_on_worker_lost": True,
    "worker_pool_start_method": "fork",
    "task_track_started": True,
    "enable_utc": True,
    "worker_prefetch_multiplier": 1,
    "task_store_errors_even_if_ignored": True,
    "beat_max_loop_interval": 0,
}
"""What reading a noted name gives while nobody set it, where that is not None."""

REFUSED: Mapping[str, str] = _each(
    {
        "rate limits are not supported: bound a queue by the concurrency of the worker that "
        "serves it": "task_default_rate_limit",
        "it belongs in the URL: rediss://host:6379/0?ssl_cert_reqs=required&ssl_ca_certs=FILE": (
            "broker_use_ssl redis_backend_use_ssl"
        ),
        "it belongs in broker_url: redis://user:password@host:6379/0": (
            "broker_host broker_port broker_user broker_password broker_vhost broker_transport "
            "redis_host redis_port redis_db redis_username redis_password "
            "redis_backend_credential_provider broker_read_url broker_write_url"
        ),
        "signed messages are not supported: let the server authenticate who writes to it": (
            "security_key security_certificate security_cert_store security_digest "
            "security_key_password"
        ),
        "backends cannot be exchanged: results live with the messages": "override_backends",
        "workers have no queues of their own: give a worker one with its option -Q": (
            "worker_direct"
        ),
        "the scheduler cannot be exchanged: entries live in the store, see beat_schedule and "
        "app.schedules": "beat_scheduler",
        "give the class to the app: App(…, task_cls=…)": "task_cls",
    }
)
"""Why each of these names of Celery's is refused, and what to do instead."""

BUILT_IN_SCHEDULERS = frozenset(
    {"celery.beat:PersistentScheduler", "celery.beat.PersistentScheduler"}
)
"""Values of `beat_scheduler` that ask for nothing special."""


def _renamed(table: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Turn `{(old prefix, new prefix): "A B"}` into `{old name: new name}`."""
    return {
        f"{old}{word}": f"{new}{word.lower()}"
        for (old, new), words in table.items()
        for word in words.split()
    }


OLD_NAMES: Mapping[str, str] = _renamed(
    {
        ("BROKER_", "broker_"): (
            "URL HOST PORT USER PASSWORD VHOST TRANSPORT TRANSPORT_OPTIONS USE_SSL "
            "POOL_LIMIT CONNECTION_TIMEOUT CONNECTION_RETRY CONNECTION_MAX_RETRIES "
            "FAILOVER_STRATEGY HEARTBEAT HEARTBEAT_CHECKRATE LOGIN_METHOD"
        ),
        ("CELERY_", ""): (
            "TIMEZONE ENABLE_UTC IMPORTS INCLUDE ACCEPT_CONTENT RESULT_ACCEPT_CONTENT "
            "RESULT_BACKEND RESULT_SERIALIZER RESULT_COMPRESSION RESULT_EXCHANGE "
            "RESULT_EXCHANGE_TYPE RESULT_EXPIRES RESULT_PERSISTENT TASK_SERIALIZER "
            "TASK_PUBLISH_RETRY TASK_PUBLISH_RETRY_POLICY CACHE_BACKEND "
            "CACHE_BACKEND_OPTIONS COUCHBASE_BACKEND_SETTINGS MONGODB_BACKEND_SETTINGS "
            "RIAK_BACKEND_SETTINGS EVENT_SERIALIZER EVENT_QUEUE_EXPIRES EVENT_QUEUE_TTL "
            "EVENT_QUEUE_PREFIX REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD "
            "REDIS_MAX_CONNECTIONS SECURITY_KEY SECURITY_CERTIFICATE SECURITY_CERT_STORE "
            "CHORD_PROPAGATES BROADCAST_QUEUE BROADCAST_EXCHANGE BROADCAST_EXCHANGE_TYPE "
            "TASK_ERROR_WHITELIST"
        ),
        ("CELERY_", "task_"): (
            "ACKS_LATE ALWAYS_EAGER ANNOTATIONS CREATE_MISSING_QUEUES DEFAULT_DELIVERY_MODE "
            "DEFAULT_EXCHANGE DEFAULT_EXCHANGE_TYPE DEFAULT_QUEUE DEFAULT_RATE_LIMIT "
            "DEFAULT_ROUTING_KEY IGNORE_RESULT QUEUES QUEUE_HA_POLICY QUEUE_MAX_PRIORITY "
            "REJECT_ON_WORKER_LOST ROUTES SEND_SENT_EVENT STORE_ERRORS_EVEN_IF_IGNORED "
            "TRACK_STARTED REMOTE_TRACEBACKS"
        ),
        ("CELERY_", "worker_"): (
            "DISABLE_RATE_LIMITS ENABLE_REMOTE_CONTROL REDIRECT_STDOUTS REDIRECT_STDOUTS_LEVEL"
        ),
        ("CELERYD_", "worker_"): (
            "AGENT AUTORELOADER AUTOSCALER CONCURRENCY CONSUMER FORCE_EXECV "
            "HIJACK_ROOT_LOGGER LOG_COLOR LOG_FILE LOG_FORMAT LOG_LEVEL "
            "MAX_MEMORY_PER_CHILD MAX_TASKS_PER_CHILD POOL POOL_PUTLOCKS POOL_RESTARTS "
            "PREFETCH_MULTIPLIER PROC_ALIVE_TIMEOUT STATE_DB TASK_LOG_FORMAT TIMER "
            "TIMER_PRECISION"
        ),
        ("CELERYD_", ""): "TASK_TIME_LIMIT TASK_SOFT_TIME_LIMIT",
        ("CELERYBEAT_", "beat_"): (
            "SCHEDULE SCHEDULER SCHEDULE_FILENAME SYNC_EVERY MAX_LOOP_INTERVAL LOG_LEVEL LOG_FILE"
        ),
        ("CELERYMON_", "monitor_"): "LOG_LEVEL LOG_FILE LOG_FORMAT",
        (
            "CASSANDRA_",
            "cassandra_",
        ): "ENTRY_TTL KEYSPACE PORT READ_CONSISTENCY SERVERS TABLE WRITE_CONSISTENCY",
        ("S3_", "s3_"): "ACCESS_KEY_ID SECRET_ACCESS_KEY BUCKET BASE_PATH ENDPOINT_URL REGION",
    }
) | {
    "CELERYD_WORKER_LOST_WAIT": "worker_lost_wait",
    "CELERY_AMQP_TASK_RESULT_EXPIRES": "result_expires",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERY_EAGER_PROPAGATES": "task_eager_propagates",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_MAX_CACHED_RESULTS": "result_cache_max",
    "CELERY_MESSAGE_COMPRESSION": "task_compression",
    "CELERY_REDIS_BACKEND_USE_SSL": "redis_backend_use_ssl",
    "CELERY_RESULT_DBURI": "database_url",
    "CELERY_RESULT_DB_SHORT_LIVED_SESSIONS": "database_short_lived_sessions",
    "CELERY_RESULT_DB_TABLENAMES": "database_table_names",
    "CELERY_RESULT_ENGINE_OPTIONS": "database_engine_options",
    "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_SEND_TASK_ERROR_EMAILS": "task_send_error_emails",
    "CELERY_SEND_TASK_SENT_EVENT": "task_send_sent_event",
    "CELERY_WORKER_DIRECT": "worker_direct",
    "result_failure_expires": "dead_letter_expires",
    "CELERY_RESULT_FAILURE_EXPIRES": "dead_letter_expires",
}
"""Celery's upper-case names, and what each is called now."""

_FAMILIAR_PREFIX = "CELERY_"


def resolve(name: str) -> str | None:
    """Return the present name for any spelling of a setting's, or None for an unknown one.

    Known spellings are the present names, Celery's old upper-case ones, and the present ones in
    upper case behind `CELERY_`, as Django projects write them.
    """
    if name in described or name in NOTED or name in REFUSED:
        return name
    if name in OLD_NAMES:
        return OLD_NAMES[name]
    if name == "once":
        return "ONCE"
    if name.startswith(_FAMILIAR_PREFIX):
        short = name.removeprefix(_FAMILIAR_PREFIX).lower()
        return resolve(short)
    return None


def known_names() -> Iterable[str]:
    """Every spelling that a suggestion may name."""
    yield from described
    yield from NOTED
    yield from REFUSED
    yield from OLD_NAMES
    yield from (f"{_FAMILIAR_PREFIX}{name.upper()}" for name in described)
