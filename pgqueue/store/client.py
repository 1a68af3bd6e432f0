"""Send queries: on connections of our own, or on the caller's."""

from __future__ import annotations

import asyncio
import time
import weakref
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from pgqueue.exceptions import OperationalError, SchemaTooOld
from pgqueue.store.connections import (
    AsyncConnections,
    Connections,
    connect,
    connection_info,
)
from pgqueue.store.execution import aexecute, execute
from pgqueue.store.queries import read_schema_version
from pgqueue.store.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgqueue.store.handles import AsyncHandle, Handle
    from pgqueue.store.query import Query

T = TypeVar("T")
# The version of the schema that this release's statements need (migrations.LATEST_VERSION).
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to try again when the database is out of reach; Celery's four words.

    The n-th wait is `interval_start + n * interval_step` seconds, at most `interval_max`.
    `max_retries` None: for ever.
    """

    max_retries: int | None
    interval_start: float
    interval_step: float
    interval_max: float

    def waits(self) -> Iterator[float]:
        """The seconds to wait before each further try."""
        for n in count() if self.max_retries is None else range(self.max_retries):
            yield min(self.interval_start + n * self.interval_step, self.interval_max)


ONE_TRY: Final = RetryPolicy(0, 0.0, 0.0, 0.0)


class Client:
    """Runs queries against one database and schema; safe under threads, event loops and fork.

    `database_url` is asked for when the first connection is opened. Each query on a connection of
    our own is a transaction of its own, committed when `run` returns.
    """

    def __init__(
        self,
        database_url: Callable[[], str],
        *,
        schema: str,
        limit: int = 10,
        acquire_seconds: float = 30.0,
    ) -> None:
        self.schema = schema
        self._database_url = database_url
        self._acquire_seconds = acquire_seconds
        self._connection_info: str | None = None
        self._connections = Connections(self.connection_info, limit=limit)
        self._async_connections = AsyncConnections(self.connection_info, limit=limit)
        self._schema_is_known = False
        # Of callers' connections, those that lead to a schema that fits. It need not be our database.
        self._callers_databases: weakref.WeakSet[Any] = weakref.WeakSet()
        self.waiter = Waiter(self)

    def connection_info(self) -> str:
        """What to give to libpq. Starts or finds the embedded server if the URL asks for it."""
        if self._connection_info is None:
            self._connection_info = connection_info(self._database_url())
        return self._connection_info

    def run(self, query: Query[T], *, retry: RetryPolicy = ONE_TRY) -> T:
        """Send the query on a connection of our own, and commit.

        Raises:
            OperationalError: the database is out of reach, also after `retry`.
            SchemaTooOld: pgqueue's schema is missing, or older than this release.
        """
        waits = retry.waits()
        while True:
            try:
                return self._run_once(query)
            except OperationalError:
                pause = next(waits, None)
                if pause is None or not query.is_repeatable:
                    raise
                time.sleep(pause)

    async def arun(self, query: Query[T], *, retry: RetryPolicy = ONE_TRY) -> T:
        """Async twin of `run`."""
        waits = retry.waits()
        while True:
            try:
                return await self._arun_once(query)
            except OperationalError:
                pause = next(waits, None)
                if pause is None or not query.is_repeatable:
                    raise
                await asyncio.sleep(pause)

    def run_on(self, handle: Handle, query: Query[T]) -> T:
        """Send the query in the caller's transaction, which the caller commits.

        Raises:
            SchemaTooOld: before anything is written, and without harm to the transaction.
        """
        if handle.database not in self._callers_databases:
            self._check_version(handle.run(read_schema_version(), schema=self.schema))
            self._callers_databases.add(handle.database)
        return handle.run(query, schema=self.schema)

    async def arun_on(self, handle: AsyncHandle, query: Query[T]) -> T:
        """Async twin of `run_on`."""
        if handle.database not in self._callers_databases:
            self._check_version(await handle.arun(read_schema_version(), schema=self.schema))
            self._callers_databases.add(handle.database)
        return await handle.arun(query, schema=self.schema)

    def connect(self) -> psycopg.Connection:
        """A connection of the caller's own, in autocommit mode, for a duty that lasts.

        Raises:
            OperationalError: the database is out of reach.
        """
        return connect(self.connection_info())

    def check_schema(self) -> None:
        """Find out whether the schema fits this release.

        Raises:
            SchemaTooOld: it does not; the message has the command that mends it.
        """
        with closing(self.connect()) as connection:
            self._check_version(execute(connection, read_schema_version(), self.schema))

    def close(self) -> None:
        """Close idle connections and stop waiting for results; a later call opens new ones."""
        self.waiter.stop()
        self._connections.discard_idle()
        self._async_connections.discard_idle()

    def _run_once(self, query: Query[T]) -> T:
        try:
            return self._send(query)
        except psycopg.OperationalError as error:
            # The others were opened before the same trouble.
            self._connections.discard_idle()
            if not (query.is_repeatable and _is_lost(error)):
                raise _failed(query, error) from error
        try:
            return self._send(query)  # the server was restarted, perhaps, since we spoke to it last
        except psycopg.OperationalError as error:
            raise _failed(query, error) from error

    async def _arun_once(self, query: Query[T]) -> T:
        try:
            return await self._asend(query)
        except psycopg.OperationalError as error:
            self._async_connections.discard_idle()
            if not (query.is_repeatable and _is_lost(error)):
                raise _failed(query, error) from error
        try:
            return await self._asend(query)
        except psycopg.OperationalError as error:
            raise _failed(query, error) from error

    def _send(self, query: Query[T]) -> T:
        with self._connections.borrow(timeout_seconds=self._acquire_seconds) as connection:
            if not self._schema_is_known:
                self._check_version(execute(connection, read_schema_version(), self.schema))
                self._schema_is_known = True
            return execute(connection, query, self.schema)

    async def _asend(self, query: Query[T]) -> T:
        async with self._async_connections.borrow(
            timeout_seconds=self._acquire_seconds
        ) as connection:
            if not self._schema_is_known:
                self._check_version(await aexecute(connection, read_schema_version(), self.schema))
                self._schema_is_known = True
            return await aexecute(connection, query, self.schema)

    def _check_version(self, version: int | None) -> None:
        if version is None:
            raise SchemaTooOld(
                f"the database has no pgqueue schema {self.schema!r}: run `pgqueue migrate`"
            )
        if version < SCHEMA_VERSION:
            raise SchemaTooOld(
                f"schema {self.schema!r} is at version {version}, and this release of pgqueue "
                f"needs {SCHEMA_VERSION}: run `pgqueue migrate`"
            )


def _is_lost(error: psycopg.OperationalError) -> bool:
    """Whether the connection is gone, and not only the statement: without a code, or shut down."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def _failed(query: Query[Any], error: psycopg.OperationalError) -> OperationalError:
    return OperationalError(f"{query.statement} failed: {str(error).strip()}")
