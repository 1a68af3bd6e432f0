"""The settings that have an effect: name, default, type and one line of meaning.

Celery's settings that have none here are in `setting_without_effect`; old spellings in
`setting_names`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pgqueue.core.setting_values import (
    BOOLEAN,
    CONCURRENCY,
    COUNT,
    MAPPING,
    NAMES,
    OPAQUE,
    POSTGRESQL_URL,
    RATE,
    SCHEMA,
    SECONDS,
    SWITCH,
    TEXT,
    TIMEZONE,
    URL,
    URLS,
    ValueType,
    choice,
    integer,
    optional,
    seconds,
)


class Effect(StrEnum):
    """What a setting does in pgqueue."""

    EFFECTIVE = "effective"
    TO_COME = "to come"  # known, and without effect in this release
    ACCEPTED = "accepted"  # Celery's; nothing here depends on it
    FOREIGN = "foreign"  # another product's (redis_*, cassandra_*, …)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its lower-case name, what it is when nobody sets it, and what may be set."""

    name: str
    default: object
    kind: ValueType
    meaning: str
    effect: Effect = Effect.EFFECTIVE


_DAY = 86_400.0
_PROCESS_FORMAT = "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s"
_TASK_FORMAT = (
    "[%(asctime)s: %(levelname)s/%(processName)s] %(task_name)s[%(task_id)s]: %(message)s"
)
_RETRY_POLICY = MappingProxyType(
    {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2}
)
_EMPTY: Mapping[str, object] = MappingProxyType({})

_Row = tuple[str, object, ValueType, str]

# Each row: name, default, type, meaning.
_OWN: tuple[_Row, ...] = (
    ("database_url", None, optional(URL), "The PostgreSQL database that holds the queue"),
    ("database_alias", None, optional(TEXT), "Django: the alias on whose connection jobs are sent"),
    ("schema", "pgqueue", SCHEMA, "The schema of pgqueue's tables"),
    ("listen", True, BOOLEAN, "Wait for notifications; off: polling alone (pgbouncer)"),
    (
        "listen_url",
        None,
        optional(POSTGRESQL_URL),
        "A direct URL for LISTEN, past a pooler; None: database_url",
    ),
    ("notify", True, BOOLEAN, "Enqueues notify idle workers; off for two-phase transactions"),
    ("poll_interval", 1.0, seconds(above_zero=True), "Longest pause between two looks for jobs"),
    (
        "lease_seconds",
        30.0,
        seconds(above_zero=True),
        "A worker silent for so long has lost its jobs",
    ),
    ("self_fence", True, BOOLEAN, "A worker cut off from the database kills its children in time"),
    ("max_crashes", 3, integer(1), "The crash that fails a job for good"),
    (
        "unknown_task_grace",
        600.0,
        SECONDS,
        "How long a job of an unknown task is offered to others",
    ),
    (
        "grace_seconds",
        None,
        optional(SECONDS),
        "Warm stop: wait for running jobs; None: till they end",
    ),
    ("job_expires", 7 * _DAY, optional(SECONDS), "How long ended jobs are kept; None: for ever"),
    ("max_payload_bytes", 1 << 20, integer(1, unit="bytes"), "Largest arguments that may be sent"),
    (
        "compress_above",
        None,
        optional(integer(0, unit="bytes")),
        "Compress payloads above this size",
    ),
    ("scheduler", "on", SWITCH, "Whether workers fire schedules"),
    ("queue_order", "fair", choice("fair", "strict"), "Among queues: fair, or strictly as in -Q"),
    ("priority_aging", None, optional(SECONDS), "Waiting this long raises the priority by one"),
)

_GENERAL: tuple[_Row, ...] = (
    ("accept_content", ("json",), NAMES, "Serialisers whose arguments a worker reads"),
    (
        "result_accept_content",
        None,
        optional(NAMES),
        "As accept_content, of results; None: the same",
    ),
    ("enable_utc", True, BOOLEAN, "False: naive datetimes are read in `timezone`"),
    ("timezone", None, optional(TIMEZONE), "The zone of crontabs and naive times; None: UTC"),
    ("imports", (), NAMES, "Modules that a worker imports at its start"),
    ("include", (), NAMES, "More modules to import, after `imports`"),
)

_TASK: tuple[_Row, ...] = (
    ("task_acks_late", True, BOOLEAN, "False: at most once, a crash ends the job as failed"),
    ("task_acks_on_failure", None, optional(BOOLEAN), "False: a job that failed is run again"),
    ("task_acks_on_timeout", None, optional(BOOLEAN), "False: a job that timed out is run again"),
    ("task_acks_on_failure_or_timeout", True, BOOLEAN, "Both of the above, as older Celery"),
    (
        "task_reject_on_worker_lost",
        True,
        BOOLEAN,
        "False: a crash ends the job, as acks_late=False",
    ),
    ("task_retry_on_worker_lost", None, optional(BOOLEAN), "False: a crash is not run again"),
    ("task_always_eager", False, BOOLEAN, "Calls run here and now instead of being sent"),
    ("task_eager_propagates", False, BOOLEAN, "Eager calls raise the task's exception"),
    ("task_store_eager_result", False, BOOLEAN, "Eager calls write their results"),
    ("task_annotations", None, OPAQUE, "Attributes to change, by task name"),
    ("task_compression", None, optional(TEXT), "How arguments are compressed"),
    (
        "task_create_missing_queues",
        True,
        BOOLEAN,
        "Any queue name may be used without declaring it",
    ),
    ("task_default_exchange", None, optional(TEXT), "Exchange of queues without one"),
    (
        "task_default_exchange_type",
        "direct",
        choice("direct", "topic", "fanout"),
        "How routing keys are matched to queues that do not say",
    ),
    ("task_default_routing_key", None, optional(TEXT), "Routing key of sends without one"),
    ("task_default_priority", 5, optional(COUNT), "Priority of sends without one, 0 to 9"),
    ("task_default_queue", "celery", TEXT, "Queue of sends without one"),
    ("task_default_rate_limit", None, optional(RATE), "Rate limit of tasks without one"),
    (
        "task_inherit_parent_priority",
        False,
        BOOLEAN,
        "Jobs take the priority of the job that sends",
    ),
    ("task_ignore_result", False, BOOLEAN, "Results are not kept"),
    ("task_store_errors_even_if_ignored", False, BOOLEAN, "Errors are kept though results are not"),
    ("task_publish_retry", True, BOOLEAN, "Send again when the database is away"),
    ("task_publish_retry_policy", _RETRY_POLICY, MAPPING, "How often and how fast to send again"),
    ("task_queues", None, OPAQUE, "The queues of this app; a worker without -Q consumes them"),
    (
        "task_queue_max_priority",
        None,
        optional(COUNT),
        "Highest priority of queues that do not say",
    ),
    ("task_routes", None, OPAQUE, "Which task goes to which queue"),
    ("task_send_sent_event", False, BOOLEAN, "Sends are shown as task-sent events"),
    ("task_serializer", "json", TEXT, "How arguments are written"),
    (
        "task_soft_time_limit",
        None,
        optional(SECONDS),
        "SoftTimeLimitExceeded in the task after this",
    ),
    ("task_time_limit", None, optional(SECONDS), "The task's process is killed after this"),
    ("task_track_started", False, BOOLEAN, "AsyncResult shows STARTED"),
    ("task_allow_error_cb_on_chord_header", False, BOOLEAN, "Error callbacks also on the header"),
    ("task_remote_tracebacks", False, BOOLEAN, "Raised errors carry the worker's traceback"),
)

_RESULT: tuple[_Row, ...] = (
    ("result_backend", None, optional(URLS), "Celery's; a PostgreSQL URL names the database"),
    ("result_serializer", "json", TEXT, "How results are written"),
    ("result_compression", None, optional(TEXT), "How results are compressed"),
    ("result_expires", _DAY, optional(SECONDS), "How long results can be read; 0 or None: always"),
    ("result_failure_expires", None, optional(SECONDS), "The same of errors; None: result_expires"),
    (
        "result_chord_expires",
        None,
        optional(SECONDS),
        "The same of chord parts; None: result_expires",
    ),
    ("result_extended", False, BOOLEAN, "AsyncResult shows name, args, kwargs, worker, …"),
    ("result_cache_max", -1, integer(-1), "Finished results kept in memory; -1: none"),
)

_WORKER: tuple[_Row, ...] = (
    ("worker_autoscaler", None, optional(TEXT), "Class that decides how many children run"),
    (
        "worker_concurrency",
        None,
        optional(CONCURRENCY),
        "How many jobs run at once; None: the CPUs",
    ),
    ("worker_pool", "prefork", OPAQUE, "prefork, threads, asyncio, solo, or a class"),
    (
        "worker_pool_start_method",
        "forkserver",
        choice("forkserver", "spawn", "fork"),
        "How children are made",
    ),
    ("worker_pool_restarts", False, BOOLEAN, "control.pool_restart() is allowed"),
    ("worker_max_tasks_per_child", None, optional(COUNT), "A child is replaced after so many jobs"),
    ("worker_max_memory_per_child", None, optional(COUNT), "A child is replaced above so many KiB"),
    ("worker_prefetch_multiplier", None, optional(COUNT), "Cap of claims per child; None: adapts"),
    ("worker_proc_alive_timeout", 4.0, SECONDS, "How long a new child may take to start"),
    ("worker_lost_wait", 10.0, SECONDS, "Wait for the outcome of a child that has gone"),
    ("worker_soft_shutdown_timeout", 0.0, SECONDS, "Time for running jobs before a cold stop"),
    ("worker_enable_soft_shutdown_on_idle", False, BOOLEAN, "The same also without running jobs"),
    ("worker_disable_rate_limits", False, BOOLEAN, "This worker ignores rate limits"),
    ("worker_enable_remote_control", True, BOOLEAN, "Workers obey control commands"),
    ("worker_send_task_events", False, BOOLEAN, "Workers notify event listeners"),
    (
        "worker_deduplicate_successful_tasks",
        False,
        BOOLEAN,
        "A job that succeeded is not run again",
    ),
    ("worker_direct", False, BOOLEAN, "Each worker also consumes a queue of its own name"),
    ("worker_hijack_root_logger", True, BOOLEAN, "The worker configures the root logger"),
    ("worker_log_color", None, optional(BOOLEAN), "Colours in the log; None: on a terminal"),
    ("worker_log_format", _PROCESS_FORMAT, TEXT, "Format of the worker's log"),
    ("worker_task_log_format", _TASK_FORMAT, TEXT, "Format of log lines from tasks"),
    ("worker_log_datefmt", None, optional(TEXT), "Time format of the worker's log"),
    ("worker_task_log_datefmt", None, optional(TEXT), "Time format of log lines from tasks"),
    ("worker_redirect_stdouts", True, BOOLEAN, "Prints of tasks go to the log"),
    ("worker_redirect_stdouts_level", "WARNING", OPAQUE, "Log level of those prints"),
)

_BEAT: tuple[_Row, ...] = (
    ("beat_schedule", _EMPTY, MAPPING, "Schedules of this app"),
    ("beat_scheduler", None, OPAQUE, "Class of the scheduler; None: the table's"),
    ("beat_max_loop_interval", 0.0, SECONDS, "Longest sleep between looks; 0: adapts"),
    ("beat_sync_every", 0, COUNT, "Of Celery's in-memory scheduler: syncs after so many sends"),
    (
        "beat_cron_starting_deadline",
        None,
        optional(SECONDS),
        "Crontab runs missed by more are skipped",
    ),
    ("beat_enable_remote_control", False, BOOLEAN, "`pgqueue beat` obeys control commands"),
)

_BROKER: tuple[_Row, ...] = (
    ("broker_url", None, optional(URLS), "Celery's; a PostgreSQL URL names the database"),
    ("broker_pool_limit", 10, optional(COUNT), "Connections of a client at a time; 0 or None: 10"),
    ("broker_pool_acquire_timeout", None, optional(SECONDS), "How long to wait for one of them"),
    ("broker_connection_timeout", 4.0, SECONDS, "How long opening a connection may take"),
    ("broker_connection_retry", True, BOOLEAN, "A worker that lost the database reconnects"),
    ("broker_connection_retry_on_startup", None, optional(BOOLEAN), "The same at its start"),
    ("broker_connection_max_retries", 100, optional(COUNT), "Tries at start; 0 or None: no limit"),
    ("broker_use_ssl", False, OPAQUE, "TLS: True, or a dict of options"),
)

# What this release reads. The others of the tables above have their names and types, and no effect yet.
_IN_EFFECT = frozenset(
    {
        "broker_pool_limit",
        "broker_url",
        "database_url",
        "grace_seconds",
        "imports",
        "include",
        "lease_seconds",
        "listen",
        "max_crashes",
        "max_payload_bytes",
        "notify",
        "poll_interval",
        "result_backend",
        "result_expires",
        "schema",
        "self_fence",
        "task_default_priority",
        "task_default_queue",
        "task_ignore_result",
        "task_publish_retry",
        "task_publish_retry_policy",
        "task_queues",
        "task_store_errors_even_if_ignored",
        "task_track_started",
        "timezone",
        "unknown_task_grace",
        "worker_concurrency",
        "worker_hijack_root_logger",
        "worker_log_format",
        "worker_max_tasks_per_child",
        "worker_pool",
    }
)

KNOWN_SETTINGS: tuple[Setting, ...] = tuple(
    Setting(*row, effect=Effect.EFFECTIVE if row[0] in _IN_EFFECT else Effect.TO_COME)
    for rows in (_OWN, _GENERAL, _TASK, _RESULT, _WORKER, _BEAT, _BROKER)
    for row in rows
)


def mapping_by_name(settings: Iterable[Setting]) -> dict[str, Setting]:
    """Return `settings` by name, in their order."""
    return {setting.name: setting for setting in settings}
