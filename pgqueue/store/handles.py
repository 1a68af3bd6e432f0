"""The caller's own connection or session: what pgqueue sends on it joins the caller's transaction.

A handle only adds statements: it never begins, commits, rolls back, flushes or closes. The
statements that it is given return rows, always, and of ASCII texts.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.rows import tuple_row
from psycopg.types.string import StrDumper

from pgqueue.store.query import numbered_text, pyformat_text

if TYPE_CHECKING:
    from pgqueue.store.query import Query

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

ACCEPTED: Final = (
    "a psycopg Connection, AsyncConnection or cursor, an SQLAlchemy Session, Connection, "
    "AsyncSession or AsyncConnection (on psycopg, psycopg2 or asyncpg), or an asyncpg Connection"
)


class Handle(Protocol):
    """A synchronous connection of the caller."""

    @property
    def database(self) -> object:
        """Something that leads to one database only, and that can be weakly referred to."""

    def run(self, query: Query[T], *, schema: str) -> T:
        """Send the statement in the caller's transaction."""

    def in_transaction(self) -> bool:
        """Whether what was sent may still be undone."""


class AsyncHandle(Protocol):
    """An asynchronous connection of the caller."""

    @property
    def database(self) -> object:
        """Something that leads to one database only, and that can be weakly referred to."""

    async def arun(self, query: Query[T], *, schema: str) -> T:
        """Send the statement in the caller's transaction."""

    def in_transaction(self) -> bool:
        """Whether what was sent may still be undone."""


def sync_handle(connection: object, *, twin: str) -> Handle:
    """A handle on what the caller gave as `connection=` to a synchronous call.

    Raises:
        TypeError: it is asynchronous (then `twin` is the call to use), or no connection at all.
    """
    found: Handle | AsyncHandle = _find(connection)
    if isinstance(found, _AsyncBound):
        raise TypeError(
            f"{_name(connection)} is asynchronous and this call is not: use {twin}, with await"
        )
    return cast("Handle", found)


def async_handle(connection: object, *, twin: str) -> AsyncHandle:
    """A handle on what the caller gave as `connection=` to an asynchronous call.

    Raises:
        TypeError: it is synchronous (then `twin` is the call to use), or no connection at all.
    """
    found: Handle | AsyncHandle = _find(connection)
    if not isinstance(found, _AsyncBound):
        raise TypeError(f"{_name(connection)} is synchronous and this call is not: use {twin}")
    return cast("AsyncHandle", found)


def is_async(connection: object) -> bool:
    """Whether the caller's connection is asynchronous.

    Raises:
        TypeError: it is no connection at all.
    """
    return isinstance(_find(connection), _AsyncBound)


class _SyncBound:
    """Marks handles for synchronous calls."""


class _AsyncBound:
    """Marks handles for asynchronous calls."""


class _PsycopgHandle(_SyncBound):
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.database = self._connection = connection

    def run(self, query: Query[T], *, schema: str) -> T:
        # A cursor of psycopg's own class, whatever factory the caller has set on the connection.
        with psycopg.Cursor(self._connection, row_factory=tuple_row) as cursor:
            _ignore_adapters(cursor)
            cursor.execute(pyformat_text(query.statement, schema).encode(), query.params)
            return query.read(cursor.fetchall())

    def in_transaction(self) -> bool:
        return _psycopg_in_transaction(self._connection)


class _AsyncPsycopgHandle(_AsyncBound):
    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.database = self._connection = connection

    async def arun(self, query: Query[T], *, schema: str) -> T:
        async with psycopg.AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
            _ignore_adapters(cursor)
            await cursor.execute(pyformat_text(query.statement, schema).encode(), query.params)
            return query.read(await cursor.fetchall())

    def in_transaction(self) -> bool:
        return _psycopg_in_transaction(self._connection)


class _SqlalchemyHandle(_SyncBound):
    def __init__(self, bound: Any, *, is_session: bool) -> None:
        self._bound = bound
        self._is_session = is_session
        self._autocommit = False
        # One per engine.
        self.database = (bound.get_bind() if is_session else bound).dialect

    def run(self, query: Query[T], *, schema: str) -> T:
        connection = self._bound.connection() if self._is_session else self._bound
        text, params = _driver_statement(connection, query, schema)
        result = connection.exec_driver_sql(text, params, execution_options=NOT_STREAMED)
        self._autocommit = bool(connection.connection.dbapi_connection.autocommit)
        return query.read([tuple(row) for row in result.fetchall()])

    def in_transaction(self) -> bool:
        return self._bound.in_transaction() and not self._autocommit


class _AsyncSqlalchemyHandle(_AsyncBound):
    def __init__(self, bound: Any, *, is_session: bool) -> None:
        self._bound = bound
        self._is_session = is_session
        self._autocommit = False
        # One per engine.
        self.database = (bound.get_bind() if is_session else bound).dialect

    async def arun(self, query: Query[T], *, schema: str) -> T:
        connection = await self._bound.connection() if self._is_session else self._bound
        text, params = _driver_statement(connection, query, schema)
        result = await connection.exec_driver_sql(text, params, execution_options=NOT_STREAMED)
        self._autocommit = bool(connection.sync_connection.connection.dbapi_connection.autocommit)
        return query.read([tuple(row) for row in result.fetchall()])

    def in_transaction(self) -> bool:
        return self._bound.in_transaction() and not self._autocommit


class _AsyncpgHandle(_AsyncBound):
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        # What a pool lends is a proxy, made anew each time.
        self.database = getattr(connection, "_con", connection)

    async def arun(self, query: Query[T], *, schema: str) -> T:
        text, names = numbered_text(query.statement, schema)
        rows = await self._connection.fetch(text, *[query.params[name] for name in names])
        return query.read([tuple(row) for row in rows])

    def in_transaction(self) -> bool:
        return bool(self._connection.is_in_transaction())


# A server-side cursor would run our statement only when somebody fetches.
NOT_STREAMED: Final = {"stream_results": False, "yield_per": None}


def _find(connection: object) -> Any:
    if isinstance(connection, psycopg.Cursor | psycopg.AsyncCursor):
        connection = connection.connection
    if isinstance(connection, psycopg.Connection):
        return _PsycopgHandle(connection)
    if isinstance(connection, psycopg.AsyncConnection):
        return _AsyncPsycopgHandle(connection)
    found = _find_sqlalchemy(connection) or _find_asyncpg(connection)
    if found is None:
        raise TypeError(
            f"connection= is of type {_name(connection)}: an open connection is needed, {ACCEPTED}"
        )
    return found


def _find_sqlalchemy(connection: object) -> _SqlalchemyHandle | _AsyncSqlalchemyHandle | None:
    # Whoever has a session has imported its module; we need not.
    engine = sys.modules.get("sqlalchemy.engine")
    orm = sys.modules.get("sqlalchemy.orm")
    aio = sys.modules.get("sqlalchemy.ext.asyncio")
    if orm is not None:
        if isinstance(connection, orm.scoped_session):
            connection = connection()
        if isinstance(connection, orm.Session):
            _refuse_several_binds(connection)
            return _SqlalchemyHandle(connection, is_session=True)
    if engine is not None and isinstance(connection, engine.Connection):
        return _SqlalchemyHandle(connection, is_session=False)
    if aio is not None:
        if isinstance(connection, aio.async_scoped_session):
            connection = connection()
        if isinstance(connection, aio.AsyncSession):
            _refuse_several_binds(connection.sync_session)
            return _AsyncSqlalchemyHandle(connection, is_session=True)
        if isinstance(connection, aio.AsyncConnection):
            return _AsyncSqlalchemyHandle(connection, is_session=False)
    return None


def _find_asyncpg(connection: object) -> _AsyncpgHandle | None:
    asyncpg = sys.modules.get("asyncpg")
    if asyncpg is None:
        return None
    kinds = (asyncpg.Connection, asyncpg.pool.PoolConnectionProxy)
    return _AsyncpgHandle(connection) if isinstance(connection, kinds) else None


def _refuse_several_binds(session: Any) -> None:
    # The first is SQLAlchemy 2.1's name, the second 2.0's.
    binds = getattr(session, "binds", None) or getattr(session, "_Session__binds", None)
    if binds or session.bind is None:
        raise TypeError(
            "the Session has not one bind but several (or none), and pgqueue cannot know which "
            "database is meant: pass the Connection, connection=session.connection(bind_arguments=…)"
        )


def _driver_statement(connection: Any, query: Query[Any], schema: str) -> tuple[str, Any]:
    driver = connection.dialect.driver
    if driver == "asyncpg":
        text, names = numbered_text(query.statement, schema)
        return text, tuple(query.params[name] for name in names)
    if driver in {"psycopg", "psycopg_async", "psycopg2"}:
        params = {name: value and _OurText(value) for name, value in query.params.items()}
        return pyformat_text(query.statement, schema), params
    raise TypeError(
        f"connection= is on SQLAlchemy's dialect {connection.dialect.name}+{driver}: "
        "pgqueue knows postgresql+psycopg, +psycopg2 and +asyncpg"
    )


class _OurText(str):
    """A parameter on SQLAlchemy's cursor, to which the caller's own dumper of texts is not applied."""

    __slots__ = ()


# Connections copy this when they are made.
psycopg.adapters.register_dumper(_OurText, StrDumper)


class _AsciiLoader(Loader):
    """Psycopg's own returns bytes if the client's encoding is SQL_ASCII."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("ascii")


def _ignore_adapters(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> None:
    # Our parameters are all texts: the caller's own idea of a text must not change them.
    cursor.adapters.register_dumper(str, StrDumper)
    cursor.adapters.register_loader("varchar", _AsciiLoader)


def _psycopg_in_transaction(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any],
) -> bool:
    return connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE


def _name(connection: object) -> str:
    kind = type(connection)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
