"""`pgqueue migrate`."""

from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.fixtures.database import Database

pytestmark = pytest.mark.slow


def test_migrating_says_what_it_did_and_a_second_time_that_nothing_was_to_do(
    program: Program, empty_database: Database
) -> None:
    program.database = empty_database

    first, second = program.run("migrate"), program.run("migrate")

    assert (first.code, first.out) == (0, "schema pgqueue: nothing -> 0001\n")
    assert (second.code, second.out) == (0, "schema pgqueue: nothing to do, it is at 0001\n")
    empty_database.assert_states()


def test_migrating_to_a_revision_goes_down_too(program: Program, database: Database) -> None:
    program.database = database

    answer = program.run("migrate", "--to", "base", "--json")

    assert answer.code == 0
    assert answer.json == {"schema": "pgqueue", "before": "0001", "after": None}


def test_the_sql_that_is_printed_makes_the_schema(
    program: Program, empty_database: Database
) -> None:
    program.environ["PGQUEUE_DATABASE_URL"] = "postgresql://localhost:1/nowhere"

    answer = program.run("migrate", "--sql")

    assert answer.code == 0
    empty_database.execute(answer.out)
    empty_database.assert_states()


def test_a_revision_that_does_not_exist_is_one_line(program: Program, database: Database) -> None:
    program.database = database

    answer = program.run("migrate", "--to", "0999")

    assert answer.code == 1
    [line] = answer.err.splitlines()
    assert "0999" in line


def test_the_sql_of_removing_everything_is_refused(program: Program, database: Database) -> None:
    program.database = database

    answer = program.run("migrate", "--sql", "--to", "base")

    assert answer.code == 2


def test_an_embedded_server_is_started_and_migrated(program: Program, folder: Path) -> None:
    answer = program.run("-b", f"embedded://{folder}", "migrate", "--json")

    assert answer.code == 0, answer.err
    assert answer.json["after"] == "0001"
