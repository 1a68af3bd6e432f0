"""Celery's settings that change nothing in pgqueue, so that a Celery configuration loads unchanged.

They read back what they were given; `pgqueue config` lists the ones in use.
"""

from pgqueue.core.setting_catalogue import Effect, Setting
from pgqueue.core.setting_values import OPAQUE

# Each row: name, Celery's default, what it is in Celery or why it has no effect here.
_ACCEPTED: tuple[tuple[str, object, str], ...] = (
    ("beat_schedule_filename", "celerybeat-schedule", "Beat's file; schedules are rows"),
    ("beat_remote_control_max_tick_age", None, "Health of one beat; any number may run"),
    ("broker_read_url", None, "A second broker URL; there is one database"),
    ("broker_write_url", None, "A second broker URL; there is one database"),
    ("broker_transport", None, "The broker is PostgreSQL"),
    ("broker_transport_options", {}, "Options of kombu's transport"),
    ("broker_host", None, "Part of a broker's address; see database_url"),
    ("broker_port", None, "Part of a broker's address; see database_url"),
    ("broker_user", None, "Part of a broker's address; see database_url"),
    ("broker_password", None, "Part of a broker's address; see database_url"),
    ("broker_vhost", None, "Part of a broker's address; see database_url"),
    ("broker_heartbeat", 120, "AMQP heartbeats; workers have lease_seconds"),
    ("broker_heartbeat_checkrate", 3.0, "AMQP heartbeats; workers have lease_seconds"),
    ("broker_failover_strategy", None, "Several hosts may stand in database_url"),
    ("broker_login_method", None, "AMQP's; PostgreSQL decides how to log in"),
    ("broker_channel_error_retry", False, "AMQP's; there are no channels"),
    ("broker_native_delayed_delivery_queue_type", "quorum", "RabbitMQ's; delays are rows"),
    ("control_queue_ttl", 300.0, "Control commands are rows, not queues"),
    ("control_queue_expires", 10.0, "Control commands are rows, not queues"),
    ("control_queue_exclusive", True, "Control commands are rows, not queues"),
    ("control_queue_durable", False, "Control commands are rows, not queues"),
    ("control_exchange", "celery", "Control commands are rows, not queues"),
    ("event_queue_expires", 60.0, "Events come from tables, not queues"),
    ("event_queue_ttl", 5.0, "Events come from tables, not queues"),
    ("event_queue_prefix", "celeryev", "Events come from tables, not queues"),
    ("event_queue_exclusive", True, "Events come from tables, not queues"),
    ("event_queue_durable", False, "Events come from tables, not queues"),
    ("event_serializer", "json", "Events come from tables, not queues"),
    ("event_exchange", "celeryev", "Events come from tables, not queues"),
    ("task_create_missing_queue_type", "classic", "RabbitMQ's; a queue is a name in a column"),
    ("task_create_missing_queue_exchange_type", None, "RabbitMQ's; a queue is a name in a column"),
    ("task_default_delivery_mode", 2, "Every job is durable"),
    ("task_default_queue_type", "classic", "RabbitMQ's; a queue is a name in a column"),
    ("task_protocol", 2, "Celery's message protocol"),
    ("task_repr_maxlevels", 3, "How deep Celery prints arguments; they are columns here"),
    ("result_exchange", "celeryresults", "Results are rows, not messages"),
    ("result_exchange_type", "direct", "Results are rows, not messages"),
    ("result_persistent", None, "Every result is durable"),
    ("result_backend_transport_options", {}, "Options of another backend"),
    ("result_backend_max_sleep_between_retries_ms", 10000, "Retries of another backend"),
    ("result_backend_max_retries", float("inf"), "Retries of another backend"),
    ("result_backend_base_sleep_between_retries_ms", 10, "Retries of another backend"),
    ("result_backend_always_retry", False, "Retries of another backend"),
    ("result_chord_retry_interval", 1.0, "Chords are not polled"),
    ("result_chord_join_timeout", 3.0, "Chords are not polled"),
    ("security_certificate", None, "Celery's message signing, which pgqueue does not do"),
    ("security_cert_store", None, "Celery's message signing, which pgqueue does not do"),
    ("security_key", None, "Celery's message signing, which pgqueue does not do"),
    ("security_key_password", None, "Celery's message signing, which pgqueue does not do"),
    ("security_digest", "sha256", "Celery's message signing, which pgqueue does not do"),
    ("worker_agent", None, "A part of Celery's worker"),
    ("worker_consumer", None, "A part of Celery's worker"),
    ("worker_cancel_long_running_tasks_on_connection_loss", False, "See self_fence"),
    ("worker_eta_task_limit", None, "Delayed jobs stay in the database"),
    ("worker_disable_prefetch", False, "A worker claims only what will start soon"),
    ("worker_enable_prefetch_count_reduction", True, "A worker claims only what will start soon"),
    ("worker_detect_quorum_queues", True, "RabbitMQ's"),
    ("worker_pool_putlocks", True, "A detail of Celery's pool"),
    ("worker_state_db", None, "Revokes are rows"),
    ("worker_timer", None, "A part of Celery's worker"),
    ("worker_timer_precision", 1.0, "A part of Celery's worker"),
)

# Celery 3's, gone or an option of the command line since Celery 4; configurations still have them.
_RETIRED = (
    "celery_amqp_task_result_connection_max",
    "celery_broadcast_exchange",
    "celery_broadcast_exchange_type",
    "celery_broadcast_queue",
    "celery_send_task_error_emails",
    "celery_task_error_whitelist",
    "celerybeat_log_file",
    "celerybeat_log_level",
    "celeryd_eta_scheduler",
    "celeryd_eta_scheduler_precision",
    "celeryd_force_execv",
    "celeryd_log_file",
    "celeryd_log_level",
    "celeryd_mediator",
    "broker_insist",
)

# Of the result backends on SQLAlchemy and Django's cache. Not by prefix: that would swallow a
# misspelled database_url.
_FOREIGN = (
    "cache_backend",
    "cache_backend_options",
    "database_create_tables_at_setup",
    "database_engine_callback",
    "database_engine_options",
    "database_short_lived_sessions",
    "database_table_names",
    "database_table_schemas",
    "result_dburi",
)

FOREIGN_PREFIXES = (
    "arangodb_",
    "azureblockblob_",
    "cassandra_",
    "consul_",
    "cosmosdbsql_",
    "couchbase_",
    "couchdb_",
    "dynamodb_",
    "elasticsearch_",
    "gcs_",
    "mongodb_",
    "redis_",
    "riak_",
    "s3_",
)

SETTINGS_WITHOUT_EFFECT: tuple[Setting, ...] = (
    *(Setting(name, default, OPAQUE, why, Effect.ACCEPTED) for name, default, why in _ACCEPTED),
    *(Setting(name, None, OPAQUE, "Of Celery 3", Effect.ACCEPTED) for name in _RETIRED),
    *(
        Setting(name, None, OPAQUE, "Of another result backend", Effect.FOREIGN)
        for name in _FOREIGN
    ),
)


def foreign_setting(name: str) -> Setting | None:
    """Return the setting of another product that `name` is by its prefix, in lower case."""
    for prefix in FOREIGN_PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            meaning = f"Of another product: {prefix.rstrip('_')}"
            return Setting(name, None, OPAQUE, meaning, Effect.FOREIGN)
    return None
