"""Send a query on a psycopg connection of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pgqueue.store.query import pyformat_text

if TYPE_CHECKING:
    import psycopg

    from pgqueue.store.query import Query

T = TypeVar("T")


def execute(connection: psycopg.Connection, query: Query[T], schema: str) -> T:
    """Send a query on a connection of our own; in autocommit mode it commits.

    Statements are prepared at once: the same few are sent again and again.
    """
    text = pyformat_text(query.statement, schema)
    cursor = connection.execute(text.encode(), query.params, prepare=True)
    return query.read(cursor.fetchall() if cursor.description else [])


async def aexecute(connection: psycopg.AsyncConnection[Any], query: Query[T], schema: str) -> T:
    """Async twin of `execute`."""
    text = pyformat_text(query.statement, schema)
    cursor = await connection.execute(text.encode(), query.params, prepare=True)
    return query.read(await cursor.fetchall() if cursor.description else [])
