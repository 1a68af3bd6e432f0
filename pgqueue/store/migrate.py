"""Bring a database to this release's schema, or print the SQL that does."""

from __future__ import annotations

import io
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from pgqueue.exceptions import ImproperlyConfigured, OperationalError
from pgqueue.store.connections import connection_info

if TYPE_CHECKING:
    from collections.abc import Iterator

# Any number will do, as long as nobody else uses it: "pgqueue" in ASCII.
MIGRATION_LOCK: Final = 0x70677175657565
# `alembic.context` is one per process, also for threads that migrate different databases.
_using_alembic: Final = threading.Lock()
SCHEMA_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def migrate(
    database_url: str,
    *,
    schema: str = "pgqueue",
    to: str = "head",
) -> tuple[str | None, str | None]:
    """Bring the database to revision `to` and commit; doing it twice changes nothing.

    Callers in any number wait for each other. `to` is a revision ("0001"), "head", or "base",
    which removes all of pgqueue. Returns the revisions before and after; None is: no pgqueue.

    Raises:
        ImproperlyConfigured: the schema's name is not a plain lower-case identifier,
            the database's encoding is not UTF8, or there is no such revision.
        OperationalError: the database is out of reach, or refuses; nothing was changed.
    """
    check_schema_name(schema)
    info = connection_info(database_url)
    # libpq reads the URL, also one with several hosts, and not SQLAlchemy.
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(info), poolclass=sa.NullPool
    )
    with _using_alembic, _plain_errors(), engine.begin() as connection:
        # Held to the end of the transaction: a second caller starts when the first has committed.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        _check_encoding(connection)
        before = _revision(connection, schema)
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
        config = _config(schema)
        config.attributes["connection"] = connection
        if to == "base" or (before is not None and to != "head" and to < before):
            command.downgrade(config, to)
        else:
            command.upgrade(config, to)
        after = _revision(connection, schema)
    engine.dispose()
    return before, after


def migration_sql(*, schema: str = "pgqueue", to: str = "head") -> str:
    """The SQL that makes the schema from nothing, for a DBA to read and run."""
    check_schema_name(schema)
    text = io.StringIO()
    with _using_alembic, _plain_errors():
        command.upgrade(_config(schema, output=text), to, sql=True)
    return text.getvalue()


def check_schema_name(schema: str) -> None:
    """Refuse a name that would have to be quoted: it stands in SQL as it is."""
    if not SCHEMA_NAME.fullmatch(schema) or schema in RESERVED_WORDS:
        raise ImproperlyConfigured(
            f"schema {schema!r} is not a plain identifier: use up to 40 lower-case letters, "
            "digits and underscores, no digit first, and no reserved word of SQL"
        )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the errors of SQLAlchemy and Alembic into ours: callers know neither."""
    try:
        yield
    except CommandError as error:
        raise ImproperlyConfigured(f"migration: {error}") from error
    except sa.exc.DBAPIError as error:
        raise OperationalError(f"migration failed: {str(error.orig).strip()}") from error
    except psycopg.Error as error:
        raise OperationalError(f"migration failed: {str(error).strip()}") from error


def _config(schema: str, *, output: TextIO | None = None) -> Config:
    config = Config() if output is None else Config(output_buffer=output)
    config.set_main_option("script_location", "pgqueue:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


def _revision(connection: sa.Connection, schema: str) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
    return context.get_current_revision()


def _check_encoding(connection: sa.Connection) -> None:
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise ImproperlyConfigured(
            f"the database's encoding is {encoding}; pgqueue stores JSON and needs UTF8: "
            "create the database with ENCODING 'UTF8' TEMPLATE template0"
        )
