"""`pgqueue migrate`: up, down, twice, at the same time, printed, and in another schema."""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import make_url

from pgqueue import App, migrations
from pgqueue.exceptions import ImproperlyConfigured, OperationalError, SchemaTooOld
from pgqueue.store.embedded_binaries import find_binaries
from pgqueue.store.migrate import migrate, migration_sql
from tests.fixtures.database import Database, Databases
from tests.fixtures.jobs import Hands


@pytest.fixture
def latin1_database(databases: Databases) -> Iterator[Database]:
    """A database that is not UTF8."""
    name = f"pgqueue_test_{os.getpid()}_latin1"
    url = make_url(databases.server_url).set(database=name)
    made = Database(url.render_as_string(hide_password=False))
    Database(databases.server_url).execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"
    )
    yield made
    databases.drop(made)


def test_migrating_says_where_it_came_from_and_where_it_got(empty_database: Database) -> None:
    assert migrate(empty_database.url) == (None, "0001")


def test_migrating_again_changes_nothing(database: Database) -> None:
    before = dump(database)

    assert migrate(database.url) == ("0001", "0001")
    assert dump(database) == before


def test_going_down_leaves_only_the_empty_schema_and_its_version_table(database: Database) -> None:
    assert migrate(database.url, to="base") == ("0001", None)

    left = database.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'pgqueue'::regnamespace AND relkind <> 'i'"
    )
    assert left == [("alembic_version",)]
    assert not database.count(
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgqueue'::regnamespace"
    )


def test_up_down_and_up_again_ends_where_it_began(database: Database) -> None:
    before = dump(database)
    with Hands(database) as hands:
        hands.send(3)
        hands.succeed(hands.claim_one())

    migrate(database.url, to="base")
    migrate(database.url)

    assert dump(database) == before
    database.assert_states()


def test_two_migrations_of_one_database_at_a_time_both_succeed(empty_database: Database) -> None:
    both = threading.Barrier(2)

    def migrate_at_once(_: int) -> tuple[str | None, str | None]:
        both.wait()
        return migrate(empty_database.url)

    with ThreadPoolExecutor(2) as threads:
        found = sorted(map(str, threads.map(migrate_at_once, range(2))))

    assert found == ["('0001', '0001')", "(None, '0001')"]


def test_several_databases_can_be_migrated_at_a_time(databases: Databases) -> None:
    made = [databases.create() for _ in range(3)]
    together = threading.Barrier(3)

    def migrate_at_once(database: Database) -> tuple[str | None, str | None]:
        together.wait()
        return migrate(database.url)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(migrate_at_once, made))

    assert found == [(None, "0001")] * 3
    for database in made:
        assert database.count("SELECT pgqueue.schema_version()") == 1
        databases.drop(database)


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: Database) -> None:
    empty_database.execute("CREATE SCHEMA pgqueue")
    empty_database.execute("CREATE TABLE pgqueue.running (is_in_the_way int)")

    with pytest.raises(OperationalError, match="already exists"):
        migrate(empty_database.url)

    assert empty_database.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'pgqueue'::regnamespace"
    ) == [("running",)]


def test_the_printed_sql_makes_the_same_schema(
    database: Database, empty_database: Database, tmp_path: Path
) -> None:
    script = tmp_path / "migration.sql"
    script.write_text(migration_sql())

    run_script(empty_database, script)

    assert dump(empty_database) == dump(database)
    assert migrate(empty_database.url) == ("0001", "0001")


def test_a_migration_of_a_host_application_makes_the_same_schema(
    database: Database, empty_database: Database
) -> None:
    engine = sa.create_engine(empty_database.sqlalchemy_url)

    with engine.begin() as connection:
        migrations.upgrade(Operations(MigrationContext.configure(connection)))

    engine.dispose()
    migrate(database.url)
    database.execute("DROP TABLE pgqueue.alembic_version")
    assert dump(empty_database) == dump(database)


def test_a_schema_of_another_name_works_from_the_enqueue_to_the_view(
    empty_database: Database,
) -> None:
    migrate(empty_database.url, schema="jobs_of_shop")

    with (
        App("shop", empty_database.url, schema="jobs_of_shop", set_as_current=False) as app,
        Hands(empty_database, schema="jobs_of_shop") as hands,
    ):
        sent = app.send_task("shop.charge", [7], task_id="0b0e7a0c-7f5f-4d57-9a3b-7f1f5a3c2d11")
        hands.succeed(hands.claim_one(), {"charged": 7})

        assert sent.get(timeout=5) == {"charged": 7}

    row = "SELECT args, state, result FROM jobs_of_shop.jobs"
    assert empty_database.execute(row) == [([7], "succeeded", {"charged": 7})]
    assert not empty_database.count("SELECT count(*) FROM pg_namespace WHERE nspname = 'pgqueue'")


def test_two_schemas_live_in_one_database(database: Database) -> None:
    migrate(database.url, schema="other")

    database.execute("SELECT other.enqueue('t')")

    assert database.count("SELECT count(*) FROM other.jobs") == 1
    database.assert_states()
    assert migrate(database.url, schema="other", to="base") == ("0001", None)
    assert database.count("SELECT pgqueue.schema_version()") == 1


@pytest.mark.parametrize("name", ['a"b', "Jobs", "a b", "1st", "", "a" * 41, "a;--", "jöbs"])
def test_a_schema_name_that_needs_quotes_is_refused(empty_database: Database, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="not a plain identifier"):
        migrate(empty_database.url, schema=name)
    with pytest.raises(ImproperlyConfigured, match="not a plain identifier"):
        migration_sql(schema=name)


def test_a_database_that_is_not_utf8_is_refused_untouched(latin1_database: Database) -> None:
    with pytest.raises(ImproperlyConfigured, match="encoding is LATIN1"):
        migrate(latin1_database.url)

    found = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgqueue'"
    assert latin1_database.count(found) == 0


def test_sending_without_the_schema_tells_the_command_that_makes_it(
    empty_database: Database,
) -> None:
    with (
        App("shop", empty_database.url, set_as_current=False) as app,
        pytest.raises(SchemaTooOld, match="run `pgqueue migrate`"),
    ):
        app.send_task("shop.charge")


def dump(database: Database) -> str:
    """`pg_dump -s`, without the words that differ each time."""
    programs = find_binaries().folder
    done = subprocess.run(
        [programs / "pg_dump", "--schema-only", "--no-owner", "-d", database.url],
        check=True,
        capture_output=True,
        text=True,
    )
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def run_script(database: Database, script: Path) -> None:
    """Run a script through psql, which stops at the first error."""
    programs = find_binaries().folder
    subprocess.run(
        [programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, "-d", database.url],
        check=True,
        capture_output=True,
    )
