"""The schema in SQLAlchemy: Alembic compares it, and host applications may `select()` from it.

The tables are private; `jobs`, `attempts`, `workers` and `queues` are the public views.
With another schema name, use SQLAlchemy's `schema_translate_map={"pgqueue": name}`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.dialects.postgresql.base import PGDialect

metadata = sa.MetaData(schema="pgqueue")
views = sa.MetaData(schema="pgqueue")

NOW = sa.func.clock_timestamp()
MOMENT = sa.DateTime(timezone=True)
ID = UUID(as_uuid=True)


def _stored_with(**parameters: str) -> dict[str, Any]:
    # SQLAlchemy 2.0 has no word for storage parameters; only create_all() would use it.
    for kind, known in PGDialect.construct_arguments or ():
        if kind is sa.Table and "with" in known:
            return {"postgresql_with": parameters}
    return {}


# Rows come and go at job rate: vacuum early, and never give pages back that the next second needs.
CHURNING = _stored_with(
    autovacuum_vacuum_scale_factor="0",
    autovacuum_vacuum_threshold="20000",
    autovacuum_vacuum_cost_delay="0",
    vacuum_truncate="off",
)
ready_seq = sa.Sequence("ready_seq", metadata=metadata, cache=1)


def _column(name: str, kind: Any, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _counters() -> list[Any]:
    """Runs begun, errors retried, and runs that ended without an outcome."""
    return [
        _column(name, sa.Integer, server_default=sa.text("0"))
        for name in ("attempt", "retries", "crashes")
    ]


def _next_seq() -> Any:
    return sa.text(f"nextval('{ready_seq.schema}.{ready_seq.name}'::regclass)")


job = sa.Table(
    "job",
    metadata,
    sa.Column("id", ID, primary_key=True),
    _column("send_id", sa.BigInteger),
    _column("task", sa.Text),
    _column("queue", sa.Text),
    _column("priority", sa.SmallInteger),
    _column("created_at", MOMENT, server_default=NOW),
    sa.Column("run_at", MOMENT),
    sa.Column("expires_at", MOMENT),
    sa.Column("root_id", ID),
    sa.Column("parent_id", ID),
    sa.Column("group_id", ID),
    sa.Column("schedule", sa.Text),
    sa.Column("due_at", MOMENT),
    sa.Column("args", JSONB),
    sa.Column("kwargs", JSONB),
    sa.Column("options", JSONB),
    sa.CheckConstraint("priority BETWEEN 0 AND 9", name="job_priority_check"),
    postgresql_partition_by="RANGE (id)",
    comment="Private to pgqueue: read the view jobs.",
)

attempt = sa.Table(
    "attempt",
    metadata,
    sa.Column("job_id", ID, nullable=False, index=False),
    _column("attempt", sa.Integer),
    _column("retries", sa.Integer),
    _column("crashes", sa.Integer),
    _column("outcome", sa.Text),
    _column("final", sa.Boolean),
    sa.Column("started_at", MOMENT),
    _column("finished_at", MOMENT, server_default=NOW),
    sa.Column("worker", sa.Text),
    sa.Column("worker_pid", sa.Integer),
    sa.Column("result", JSONB),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("error_data", JSONB),
    sa.CheckConstraint(
        "outcome IN ('succeeded', 'failed', 'cancelled', 'expired', 'retried', 'lost')",
        name="attempt_outcome_check",
    ),
    sa.Index("attempt_job_id_idx", "job_id"),
    postgresql_partition_by="RANGE (finished_at)",
    comment="Private to pgqueue: read the view attempts.",
)

ready = sa.Table(
    "ready",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("priority", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column(
        "seq", sa.BigInteger, primary_key=True, autoincrement=False, server_default=_next_seq()
    ),
    _column("job_id", ID),
    *_counters(),
    sa.UniqueConstraint("job_id", name="ready_job_id_key"),
    sa.Index(
        "ready_suspect_idx", "queue", "priority", "seq", postgresql_where=sa.text("crashes > 0")
    ),
    comment="Private to pgqueue: read the view jobs.",
    **CHURNING,
)

running = sa.Table(
    "running",
    metadata,
    sa.Column("job_id", ID, primary_key=True),
    _column("claim", sa.BigInteger),
    _column("attempt", sa.Integer),
    _column("retries", sa.Integer),
    _column("crashes", sa.Integer),
    _column("worker_id", sa.Integer),
    _column("claimed_at", MOMENT, server_default=NOW),
    _column("cancel", sa.Boolean, server_default=sa.false()),
    comment="Private to pgqueue: read the view jobs.",
    **CHURNING,
)

scheduled = sa.Table(
    "scheduled",
    metadata,
    sa.Column("job_id", ID, primary_key=True),
    _column("run_at", MOMENT),
    _column("queue", sa.Text),
    _column("priority", sa.SmallInteger),
    *_counters(),
    _column("retrying", sa.Boolean, server_default=sa.false()),
    sa.Index("scheduled_run_at_idx", "run_at"),
    comment="Private to pgqueue: read the view jobs.",
    **CHURNING,
)

waiting = sa.Table(
    "waiting",
    metadata,
    sa.Column("job_id", ID, primary_key=True),
    _column("seq", sa.BigInteger, server_default=_next_seq()),
    _column("queue", sa.Text),
    _column("priority", sa.SmallInteger),
    *_counters(),
    comment="Private to pgqueue: read the view jobs.",
)

worker = sa.Table(
    "worker",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    _column("name", sa.Text),
    _column("host", sa.Text),
    _column("pid", sa.Integer),
    _column("queues", ARRAY(sa.Text)),
    _column("concurrency", sa.Integer),
    _column("version", sa.Text),
    _column("lease_seconds", sa.Double),
    _column("started_at", MOMENT, server_default=NOW),
    _column("beat_at", MOMENT, server_default=NOW),
    **_stored_with(fillfactor="50"),
    comment="Private to pgqueue: read the view workers.",
)

queue = sa.Table(
    "queue",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _column("paused", sa.Boolean, server_default=sa.false()),
    comment="Private to pgqueue: read the view queues.",
)

armed = sa.Table(
    "armed",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("worker_id", sa.Integer, primary_key=True, autoincrement=False),
    prefixes=["UNLOGGED"],
    comment="Private to pgqueue: idle workers that want a notification.",
)

awaited = sa.Table(
    "awaited",
    metadata,
    sa.Column("job_id", ID, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    _column("since", MOMENT, server_default=NOW),
    prefixes=["UNLOGGED"],
    comment="Private to pgqueue: jobs whose end somebody waits for.",
)

jobs = sa.Table(
    "jobs",
    views,
    sa.Column("id", ID, primary_key=True),
    sa.Column("task", sa.Text),
    sa.Column("queue", sa.Text),
    sa.Column("priority", sa.Integer),
    sa.Column("state", sa.Text),
    sa.Column("args", JSONB),
    sa.Column("kwargs", JSONB),
    sa.Column("attempt", sa.Integer),
    sa.Column("retries", sa.Integer),
    sa.Column("crashes", sa.Integer),
    sa.Column("run_at", MOMENT),
    sa.Column("expires_at", MOMENT),
    sa.Column("created_at", MOMENT),
    sa.Column("started_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.Column("worker", sa.Text),
    sa.Column("worker_pid", sa.Integer),
    sa.Column("result", JSONB),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("root_id", ID),
    sa.Column("parent_id", ID),
    sa.Column("group_id", ID),
    sa.Column("schedule", sa.Text),
    sa.Column("due_at", MOMENT),
    sa.Column("headers", JSONB),
    sa.Column("shadow", sa.Text),
)

attempts = sa.Table(
    "attempts",
    views,
    sa.Column("job_id", ID),
    sa.Column("attempt", sa.Integer),
    sa.Column("retries", sa.Integer),
    sa.Column("crashes", sa.Integer),
    sa.Column("outcome", sa.Text),
    sa.Column("final", sa.Boolean),
    sa.Column("started_at", MOMENT),
    sa.Column("finished_at", MOMENT),
    sa.Column("worker", sa.Text),
    sa.Column("worker_pid", sa.Integer),
    sa.Column("result", JSONB),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.Text),
    sa.Column("traceback", sa.Text),
)

workers = sa.Table(
    "workers",
    views,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("host", sa.Text),
    sa.Column("pid", sa.Integer),
    sa.Column("queues", ARRAY(sa.Text)),
    sa.Column("concurrency", sa.Integer),
    sa.Column("version", sa.Text),
    sa.Column("started_at", MOMENT),
    sa.Column("beat_at", MOMENT),
    sa.Column("alive", sa.Boolean),
    sa.Column("running", sa.BigInteger),
)

queues = sa.Table(
    "queues",
    views,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("paused", sa.Boolean),
    sa.Column("depth", sa.BigInteger),
    sa.Column("oldest_age", sa.Interval),
)
