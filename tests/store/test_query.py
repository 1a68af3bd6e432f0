"""Statements as values: texts, parameters, and the arrays that they are made of."""

import inspect
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core.job import NewJob
from pgqueue.core.lifecycle import Settlement, Success
from pgqueue.store import queries, worker_queries
from pgqueue.store.query import (
    PLACEHOLDER,
    Query,
    bare_array,
    numbered_text,
    pyformat_text,
    sparse_array,
    text_array,
)
from tests.fixtures.database import Database, Databases

STATEMENTS = sorted(
    file.name.removesuffix(".sql")
    for file in (resources.files("pgqueue.store") / "sql").iterdir()
    if file.name.endswith(".sql")
)
JOB_ID = "018f0000-0000-7000-8000-000000000000"
SAMPLES: dict[str, Any] = {
    "jobs": [NewJob(JOB_ID, "t", "celery", 5)],
    "job_ids": [JOB_ID],
    "job_id": JOB_ID,
    "send_id": 1,
    "notify": True,
    "result_expires": 1.0,
    "channel": "pgqueue:1",
    "limit": 1,
    "queues": ["celery"],
    "queue": "celery",
    "paused": True,
    "lanes": [("celery", 5)],
    "claim": 1,
    "worker_id": 1,
    "heard_at": 0.0,
    "successes": [Success(JOB_ID, 1, None, None, None, None)],
    "settlements": [Settlement(JOB_ID, 1, "failed")],
    "worker": "celery@test",
    "name": "celery@test",
    "host": "test",
    "pid": 1,
    "concurrency": 1,
    "version": "0",
    "lease_seconds": 30.0,
    "max_crashes": 3,
}
# What PostgreSQL takes as text: no NUL, no lone surrogate.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def connection_of_module(
    databases: Databases, migrated_template: Database
) -> Iterator[psycopg.Connection]:
    """A connection to a migrated database: a property is tried on many examples."""
    made = databases.create(copy_of=migrated_template)
    with psycopg.connect(made.url, autocommit=True) as connection:
        yield connection
    databases.drop(made)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_is_ready_for_both_styles_of_placeholders(statement: str) -> None:
    pyformat = pyformat_text(statement, "some_schema")
    numbered, names = numbered_text(statement, "some_schema")

    assert "{schema}" not in pyformat
    assert set(PLACEHOLDER.findall(pyformat)) == set(names)
    assert PLACEHOLDER.search(numbered) is None
    assert {int(number) for number in re.findall(r"\$(\d+)", numbered)} == set(
        range(1, len(names) + 1)
    )
    assert "%%" not in numbered


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_casts_every_parameter_from_text(statement: str) -> None:
    """No driver's own idea of a type comes between, and none has to guess one."""
    text = pyformat_text(statement, "some_schema")
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())

    assert re.findall(r"%\(\w+\)s(?!::(?:text|varchar)\b)", code) == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_server_understands_a_statement(
    connection_of_module: psycopg.Connection, statement: str
) -> None:
    text, names = numbered_text(statement, "pgqueue")
    types = f" ({', '.join(['text'] * len(names))})" if names else ""

    connection_of_module.execute(f"PREPARE {statement}{types} AS {text}".encode())


def test_a_query_gives_a_statement_the_parameters_that_it_names() -> None:
    for made in _queries():
        _, names = numbered_text(made.statement, "pgqueue")

        assert set(made.params) == set(names), made.statement
        assert all(value is None or type(value) is str for value in made.params.values())


def test_every_statement_has_a_query() -> None:
    assert {made.statement for made in _queries()} == set(STATEMENTS)


@given(st.lists(st.none() | texts, max_size=5))
def test_any_texts_survive_an_array(
    connection_of_module: psycopg.Connection, items: list[str | None]
) -> None:
    asked = connection_of_module.execute("SELECT %s::text::text[]", [text_array(items)])

    assert asked.fetchall() == [(items,)]


def test_texts_that_look_like_an_array_survive_one(
    connection_of_module: psycopg.Connection,
) -> None:
    items = ["", "NULL", "null", '"', "\\", "{}", "a,b", " a ", "\n", "'", "%s", "🚆", None]

    asked = connection_of_module.execute("SELECT %s::text::text[]", [text_array(items)])

    assert asked.fetchall() == [(items,)]


@given(st.lists(st.none() | st.floats(allow_nan=False) | st.integers(-(2**31), 2**31), max_size=5))
def test_numbers_survive_an_array(
    connection_of_module: psycopg.Connection, items: list[float | None]
) -> None:
    asked = connection_of_module.execute("SELECT %s::text::float8[]", [bare_array(items)])

    assert asked.fetchall() == [(items,)]


def test_an_array_of_nothing_but_none_is_empty() -> None:
    assert sparse_array([None, None]) == sparse_array([]) == "{}"
    assert sparse_array([None, "a"]) == '{NULL,"a"}'


def test_a_plain_job_sends_empty_arrays_for_what_it_leaves_out() -> None:
    params = queries.insert_jobs(SAMPLES["jobs"], send_id=1, notify=False).params

    empty = {name for name, value in params.items() if value == "{}"}
    assert empty == {
        "options",
        "root_ids",
        "parent_ids",
        "group_ids",
        "etas",
        "delays",
        "expiries",
        "lifetimes",
    }


def _queries() -> Iterator[Query[Any]]:
    """A query of each kind, made of SAMPLES."""
    for module in (queries, worker_queries):
        for name, function in vars(module).items():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                signature = inspect.signature(function)
                if not name.startswith("_") and str(signature.return_annotation)[:6] == "Query[":
                    yield function(**{needed: SAMPLES[needed] for needed in _needed(signature)})


def _needed(signature: inspect.Signature) -> list[str]:
    parameters = signature.parameters.values()
    return [one.name for one in parameters if one.default is inspect.Parameter.empty]
