"""The schema in the database, and its two other accounts: `tables.py` and the API's page."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import make_url

from pgqueue.core.ids import uuid7, uuid7_floor
from pgqueue.migrations import LATEST_VERSION
from pgqueue.store.client import SCHEMA_VERSION
from pgqueue.store.migrate import migrate
from pgqueue.store.queries import Job, QueueRow, WorkerRow
from pgqueue.store.tables import metadata, views
from tests.fixtures.database import Database
from tests.fixtures.jobs import Hands, assert_each_job_stands_in_one_place

POSTGRESQL: sa.Dialect = sa.make_url("postgresql+psycopg://").get_dialect()()
JOBS = """
id uuid, task text, queue text, priority integer, state text, args jsonb, kwargs jsonb,
attempt integer, retries integer, crashes integer,
run_at timestamp with time zone, expires_at timestamp with time zone,
created_at timestamp with time zone, started_at timestamp with time zone,
finished_at timestamp with time zone, worker text, worker_pid integer, result jsonb, error text,
error_type text, traceback text, root_id uuid, parent_id uuid, group_id uuid, schedule text,
due_at timestamp with time zone, headers jsonb, shadow text
"""
PUBLIC_FUNCTIONS = {
    "enqueue",
    "cancel",
    "retry",
    "pause",
    "resume",
    "explain",
    "stats",
    "uuid7",
    "schema_version",
}
# Autovacuum's and UNLOGGED's own names; partitions are made by the day, and Alembic keeps its own table.
OUR_TABLES = """
c.relnamespace = 'pgqueue'::regnamespace AND c.relkind IN ('r', 'p')
AND NOT c.relispartition AND c.relname <> 'alembic_version'
"""
CATALOGUE = {
    "tables": f"""
        SELECT c.relname, c.relkind, c.relpersistence, c.reloptions, pg_get_partkeydef(c.oid),
               obj_description(c.oid, 'pg_class')
        FROM pg_class AS c WHERE {OUR_TABLES} ORDER BY 1""",
    "columns": f"""
        SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity, a.attstorage, a.attcompression, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {OUR_TABLES} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2""",
    "constraints": f"""
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_class AS c JOIN pg_constraint AS k ON k.conrelid = c.oid
        WHERE {OUR_TABLES} AND k.contype <> 'n' ORDER BY 1, 2""",
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid)
        FROM pg_class AS c JOIN pg_index AS i ON i.indrelid = c.oid
        WHERE {OUR_TABLES} ORDER BY 1, 2""",
    "sequences": """
        SELECT sequencename, data_type, start_value, increment_by, cycle, cache_size
        FROM pg_sequences WHERE schemaname = 'pgqueue' ORDER BY 1""",
}


@pytest.fixture
def made_from_tables(empty_database: Database) -> Database:
    """A database whose tables `tables.py` has made."""
    engine = _engine(empty_database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA pgqueue"))
        metadata.create_all(connection)
    engine.dispose()
    return empty_database


def test_alembic_finds_no_difference_between_the_migrations_and_the_tables(
    database_of_module: Database,
) -> None:
    engine = _engine(database_of_module)

    with engine.connect() as connection:
        options = {
            "include_schemas": True,
            "include_name": _is_ours,
            "version_table_schema": "pgqueue",
        }
        differences = compare_metadata(
            MigrationContext.configure(connection, opts=options), metadata
        )

    engine.dispose()
    assert differences == []


@pytest.mark.parametrize("what", CATALOGUE)
def test_the_catalogue_is_the_same_by_the_migrations_as_by_the_tables(
    database_of_module: Database, made_from_tables: Database, what: str
) -> None:
    migrated = _catalogue(database_of_module, what)

    assert migrated == _catalogue(made_from_tables, what)
    assert migrated


def test_the_views_have_the_columns_that_the_tables_module_says(
    database_of_module: Database,
) -> None:
    for view in views.sorted_tables:
        said = [
            (column.name, column.type.compile(dialect=POSTGRESQL).lower())
            for column in view.columns
        ]

        assert _columns(database_of_module, view.name) == said


def test_the_jobs_view_has_the_columns_that_are_promised(database_of_module: Database) -> None:
    promised = [tuple(column.split(maxsplit=1)) for column in JOBS.strip().split(",")]

    assert _columns(database_of_module, "jobs") == promised


@pytest.mark.parametrize(
    ("row", "view"), [(Job, "jobs"), (WorkerRow, "workers"), (QueueRow, "queues")]
)
def test_the_rows_that_programs_get_begin_with_the_columns_of_the_view(
    database_of_module: Database, row: Any, view: str
) -> None:
    names = [field.name.removesuffix("_seconds") for field in dataclasses.fields(row)]
    columns = [name for name, _ in _columns(database_of_module, view)]

    assert names[: len(columns)] == columns


def test_every_table_and_view_says_in_a_comment_whether_it_is_public(
    database_of_module: Database,
) -> None:
    comments = dict(
        database_of_module.execute(
            "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class "
            "WHERE relnamespace = 'pgqueue'::regnamespace AND relkind IN ('r', 'p', 'v') "
            "AND NOT relispartition AND relname <> 'alembic_version'"
        )
    )

    public = {name for name, text in comments.items() if text.startswith("Public and stable: ")}
    private = {name for name, text in comments.items() if text.startswith("Private to pgqueue: ")}
    assert public == {view.name for view in views.sorted_tables}
    assert private == {table.name for table in metadata.sorted_tables}


def test_every_function_says_in_a_comment_whether_it_is_public(
    database_of_module: Database,
) -> None:
    comments = dict(
        database_of_module.execute(
            "SELECT proname, COALESCE(obj_description(oid, 'pg_proc'), '') FROM pg_proc "
            "WHERE pronamespace = 'pgqueue'::regnamespace"
        )
    )

    public = {name for name, text in comments.items() if text.startswith("Public and stable: ")}
    private = {name for name, text in comments.items() if text.startswith("Private to pgqueue: ")}
    assert public == PUBLIC_FUNCTIONS
    assert private == set(comments) - PUBLIC_FUNCTIONS


def test_the_schema_knows_its_version(database_of_module: Database) -> None:
    assert (
        database_of_module.count("SELECT pgqueue.schema_version()")
        == LATEST_VERSION
        == SCHEMA_VERSION
    )


def test_the_numbers_of_ready_jobs_are_not_cached_by_sessions(database_of_module: Database) -> None:
    cached = "SELECT seqcache FROM pg_sequence WHERE seqrelid = 'pgqueue.ready_seq'::regclass"

    assert database_of_module.count(cached) == 1


@pytest.mark.parametrize("table", ["job", "attempt"])
def test_there_are_partitions_from_yesterday_to_two_weeks_ahead(
    database_of_module: Database, table: str
) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    expected = {f"{table}_{yesterday + timedelta(days=n):%Y%m%d}" for n in range(16)}

    assert _partitions(database_of_module, table) == expected | {f"{table}_default"}


def test_an_id_made_now_lands_in_the_partition_of_the_day(database: Database, hands: Hands) -> None:
    job_id = hands.send_one()
    hands.succeed(hands.claim_one())

    today = f"{datetime.now(UTC):%Y%m%d}"
    assert _homes(database, job_id) == (f"pgqueue.job_{today}", f"pgqueue.attempt_{today}")


def test_the_bounds_of_a_day_are_those_of_the_ids_made_on_it(database: Database) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for moment in (midnight, midnight + timedelta(days=1) - timedelta(milliseconds=1)):
        job_id = uuid7_floor(moment)
        database.execute("SELECT pgqueue.enqueue('t', id => %s)", [job_id])

        assert _homes(database, job_id)[0] == f"pgqueue.job_{moment:%Y%m%d}"


def test_a_foreign_id_lands_in_the_default_partition_and_the_job_lives_as_any_other(
    database: Database, hands: Hands
) -> None:
    foreign = "0b0e7a0c-7f5f-4d57-9a3b-7f1f5a3c2d11"

    database.execute("SELECT pgqueue.enqueue('t', id => %s)", [foreign])
    hands.retry(hands.claim_one(), delay_seconds=0.0)
    hands.succeed(hands.claim_one(), "done")

    assert _homes(database, foreign)[0] == "pgqueue.job_default"
    assert database.job(foreign)["result"] == "done"
    assert database.execute("SELECT pgqueue.retry(%s)", [foreign]) == [(True,)]
    assert_each_job_stands_in_one_place(database)


def test_making_the_partitions_twice_makes_none(database_of_module: Database) -> None:
    assert database_of_module.count("SELECT pgqueue.make_partitions()") == 0


def test_making_partitions_makes_those_that_are_missing(database: Database) -> None:
    expected = _partitions(database, "job")
    _drop_last_day(database)

    assert database.count("SELECT pgqueue.make_partitions()") == 2
    assert _partitions(database, "job") == expected
    assert database.count("SELECT pgqueue.make_partitions(16)") == 4


def test_a_new_partition_is_built_as_its_sisters_are(database: Database) -> None:
    [(leaf,)] = _drop_last_day(database)[:1]
    sister = f"{leaf[:4]}{datetime.now(UTC):%Y%m%d}"

    database.execute("SELECT pgqueue.make_partitions()")

    described = (
        "SELECT replace(pg_get_indexdef(indexrelid), %s, 'leaf') FROM pg_index "
        "WHERE indrelid = ('pgqueue.' || %s)::regclass"
    )
    assert database.execute(described, [leaf, leaf]) == database.execute(
        described, [sister, sister]
    )


def test_a_day_with_a_row_in_the_default_partition_is_left_out_and_nothing_breaks(
    database: Database, hands: Hands
) -> None:
    leaves = _drop_last_day(database)
    last_day = datetime.now(UTC) + timedelta(days=14)
    early = f"{uuid7_floor(last_day)[:14]}7000-8000-000000000001"
    database.execute("SELECT pgqueue.enqueue('t', id => %s)", [early])

    made = database.count("SELECT pgqueue.make_partitions()")

    assert made == 1
    assert _partitions(database, "job").isdisjoint({name for (name,) in leaves})
    hands.succeed(hands.claim_one(), 1)
    assert database.job(early)["state"] == "succeeded"


@pytest.mark.parametrize(
    "send",
    [
        "SELECT pgqueue.enqueue('t') FROM generate_series(1, 10)",
        "SELECT pgqueue.enqueue('t', id => pgqueue.uuid7()) FROM generate_series(1, 10)",
    ],
    ids=["new ids", "chosen ids"],
)
def test_making_partitions_does_not_wait_for_a_transaction_that_has_enqueued(
    database: Database, send: str
) -> None:
    _drop_last_day(database)

    with psycopg.connect(database.url) as enqueuing:
        enqueuing.execute(send)
        made = database.count("SELECT pgqueue.make_partitions()")

    assert made == 2
    database.assert_states(ready=10)


def test_making_partitions_does_not_wait_for_the_app_to_commit(database: Database) -> None:
    _drop_last_day(database)

    with Hands(database) as sender:
        sender.connection.execute("BEGIN")
        for _ in range(10):
            sender.send(3)
        made = database.count("SELECT pgqueue.make_partitions()")
        sender.connection.execute("COMMIT")

    assert made == 2
    database.assert_states(ready=30)


def test_making_partitions_gives_up_soon_when_somebody_reads_all_jobs(database: Database) -> None:
    leaves = _drop_last_day(database)

    with psycopg.connect(database.url) as reading:
        reading.execute("SELECT count(*) FROM pgqueue.jobs")
        asked = datetime.now(UTC)
        made = database.count("SELECT pgqueue.make_partitions()")
        waited = datetime.now(UTC) - asked

    assert made == 0
    assert waited < timedelta(seconds=1)
    assert database.count("SELECT pgqueue.make_partitions()") == len(leaves)


def test_the_days_are_those_of_utc_whatever_zone_the_session_is_in(
    empty_database: Database,
) -> None:
    name = make_url(empty_database.url).database
    empty_database.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Kiritimati'")
    migrate(empty_database.url)
    job_id = uuid7()

    empty_database.execute("SELECT pgqueue.enqueue('t', id => %s)", [job_id])

    assert _homes(empty_database, job_id)[0] == f"pgqueue.job_{datetime.now(UTC):%Y%m%d}"


def _engine(database: Database) -> sa.Engine:
    # A user of the schema's name would find it without asking: Alembic would take it for the default one.
    return sa.create_engine(
        database.sqlalchemy_url, connect_args={"options": "-csearch_path=public"}
    )


def _is_ours(name: str | None, kind: str, parents: Any) -> bool:
    if kind == "schema":
        return name == "pgqueue"
    return kind != "table" or f"pgqueue.{name}" in metadata.tables


def _catalogue(database: Database, what: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url, options="-csearch_path=public") as connection:
        return connection.execute(CATALOGUE[what]).fetchall()


def _columns(database: Database, relation: str) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = ('pgqueue.' || %s)::regclass AND attnum > 0 ORDER BY attnum",
        [relation],
    )


def _partitions(database: Database, table: str) -> set[str]:
    rows = database.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid "
        "WHERE inhparent = ('pgqueue.' || %s)::regclass AND relkind = 'r'",
        [table],
    )
    return {name for (name,) in rows}


def _drop_last_day(database: Database) -> list[tuple[Any, ...]]:
    """Drop the last day's partitions, job's and attempt's; returns their names."""
    leaves = [
        (max(_partitions(database, table) - {f"{table}_default"}),) for table in ("job", "attempt")
    ]
    for (leaf,) in leaves:
        database.execute(f"DROP TABLE pgqueue.{leaf}")
    return leaves


def _homes(database: Database, job_id: str) -> tuple[str, str | None]:
    """The partitions that hold the job, and its attempt."""
    [(home,)] = database.execute(
        "SELECT tableoid::regclass::text FROM pgqueue.job WHERE id = %s", [job_id]
    )
    attempts = database.execute(
        "SELECT tableoid::regclass::text FROM pgqueue.attempt WHERE job_id = %s", [job_id]
    )
    return _qualified(home), _qualified(attempts[0][0]) if attempts else None


def _qualified(relation: str) -> str:
    return relation if "." in relation else f"pgqueue.{relation}"
