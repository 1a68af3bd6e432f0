"""Every kind of connection and session that pgqueue can join, behind one small interface."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from typing import Any, Final

import asyncpg
import psycopg
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pgqueue import App, Task
from pgqueue.canvas import Signature
from pgqueue.result import AsyncResult


class Caller(ABC):
    """Code with a transaction of its own; `handle` is what it gives as `connection=`."""

    is_async = True
    handle: Any

    async def begin(self) -> None:  # noqa: B027 - most need not
        """Open a transaction, if the driver does not by itself."""

    @abstractmethod
    async def execute(self, sql: str) -> None:
        """Run one statement of the business."""

    @abstractmethod
    async def commit(self) -> None: ...

    @abstractmethod
    async def rollback(self) -> None: ...

    @abstractmethod
    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        """Undo what the block did if it raises."""

    @abstractmethod
    def is_idle(self) -> bool:
        """Whether no transaction is open."""

    async def send(self, task: Task[..., Any], *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a job in the call of this caller's colour: `delay` if there are no options."""
        if self.is_async:
            if not options:
                return await task.adelay(*args)
            return await task.aapply_async(args, **options)
        return task.apply_async(args, **options) if options else task.delay(*args)

    async def send_joined(
        self, task: Task[..., Any], *args: Any, **options: Any
    ) -> AsyncResult[Any]:
        """Send a job in the caller's transaction."""
        return await self.send(task, *args, connection=self.handle, **options)

    async def send_many(self, app: App, calls: Sequence[Signature]) -> list[AsyncResult[Any]]:
        """Send jobs in the caller's transaction."""
        if self.is_async:
            return await app.asend_many(calls, connection=self.handle)
        return app.send_many(calls, connection=self.handle)


class PsycopgCaller(Caller):
    is_async = False

    def __init__(self, connection: psycopg.Connection[Any], handle: object = None) -> None:
        self.connection = connection
        self.handle = handle or connection

    async def execute(self, sql: str) -> None:
        self.connection.execute(sql.encode())

    async def commit(self) -> None:
        self.connection.commit()

    async def rollback(self) -> None:
        self.connection.rollback()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with self.connection.transaction():
            yield

    def is_idle(self) -> bool:
        return self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


class AsyncPsycopgCaller(Caller):
    def __init__(self, connection: psycopg.AsyncConnection[Any], handle: object = None) -> None:
        self.connection = connection
        self.handle = handle or connection

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql.encode())

    async def commit(self) -> None:
        await self.connection.commit()

    async def rollback(self) -> None:
        await self.connection.rollback()

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        return self.connection.transaction()

    def is_idle(self) -> bool:
        return self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


class SqlalchemyCaller(Caller):
    is_async = False

    def __init__(self, bound: Any) -> None:
        self.handle = bound

    async def execute(self, sql: str) -> None:
        self.handle.execute(text(sql))

    async def commit(self) -> None:
        self.handle.commit()

    async def rollback(self) -> None:
        self.handle.rollback()

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with self.handle.begin_nested():
            yield

    def is_idle(self) -> bool:
        is_scoped = isinstance(self.handle, scoped_session)
        return not (self.handle() if is_scoped else self.handle).in_transaction()


class AsyncSqlalchemyCaller(Caller):
    def __init__(self, bound: Any) -> None:
        self.handle = bound

    async def execute(self, sql: str) -> None:
        await self.handle.execute(text(sql))

    async def commit(self) -> None:
        await self.handle.commit()

    async def rollback(self) -> None:
        await self.handle.rollback()

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        nested: AbstractAsyncContextManager[Any] = self.handle.begin_nested()
        return nested

    def is_idle(self) -> bool:
        is_scoped = isinstance(self.handle, async_scoped_session)
        return not (self.handle() if is_scoped else self.handle).in_transaction()


class AsyncpgCaller(Caller):
    """asyncpg commits each statement by itself, unless a transaction was begun."""

    def __init__(self, connection: Any) -> None:
        self.handle = connection

    async def begin(self) -> None:
        self.transaction = self.handle.transaction()
        await self.transaction.start()

    async def execute(self, sql: str) -> None:
        await self.handle.execute(sql)

    async def commit(self) -> None:
        await self.transaction.commit()

    async def rollback(self) -> None:
        await self.transaction.rollback()

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        nested: AbstractAsyncContextManager[Any] = self.handle.transaction()
        return nested

    def is_idle(self) -> bool:
        return not self.handle.is_in_transaction()


Opened = AsyncIterator[Caller]
Open = Callable[..., AbstractAsyncContextManager[Caller]]


@asynccontextmanager
async def open_psycopg(url: str, *, autocommit: bool = False, cursor: bool = False) -> Opened:
    with closing(psycopg.connect(url, autocommit=autocommit)) as connection:
        yield PsycopgCaller(connection, connection.cursor() if cursor else None)


@asynccontextmanager
async def open_async_psycopg(url: str, *, autocommit: bool = False, cursor: bool = False) -> Opened:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=autocommit)
    try:
        yield AsyncPsycopgCaller(connection, connection.cursor() if cursor else None)
    finally:
        await connection.close()


@asynccontextmanager
async def open_sqlalchemy(driver: str, kind: str, url: str, *, autocommit: bool = False) -> Opened:
    engine = create_engine(
        make_url(url).set(drivername=f"postgresql+{driver}"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
    )
    makers: dict[str, Callable[[], Any]] = {
        "Session": lambda: Session(engine),
        "Connection": engine.connect,
        "scoped_session": lambda: scoped_session(sessionmaker(engine)),
    }
    bound = makers[kind]()
    try:
        yield SqlalchemyCaller(bound)
    finally:
        bound.close()
        engine.dispose()


@asynccontextmanager
async def open_async_sqlalchemy(
    driver: str, kind: str, url: str, *, autocommit: bool = False
) -> Opened:
    engine = create_async_engine(
        make_url(url).set(drivername=f"postgresql+{driver}"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
    )
    makers: dict[str, Callable[[], Any]] = {
        "AsyncSession": lambda: AsyncSession(engine),
        "AsyncConnection": engine.connect,
        "async_scoped_session": lambda: async_scoped_session(
            async_sessionmaker(engine), scopefunc=lambda: "one"
        ),
    }
    bound = makers[kind]()
    if kind == "AsyncConnection":
        bound = await bound
    try:
        yield AsyncSqlalchemyCaller(bound)
    finally:
        await bound.close()
        await engine.dispose()


@asynccontextmanager
async def open_asyncpg(url: str, *, autocommit: bool = False) -> Opened:
    del autocommit  # it knows no other mode
    connection = await asyncpg.connect(url)
    try:
        yield AsyncpgCaller(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def open_asyncpg_pool(url: str, *, autocommit: bool = False) -> Opened:
    del autocommit
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as acquired:
        yield AsyncpgCaller(acquired)


OPENERS: Final[dict[str, Open]] = {
    "psycopg-Connection": open_psycopg,
    "psycopg-Cursor": partial(open_psycopg, cursor=True),
    "psycopg-AsyncConnection": open_async_psycopg,
    "psycopg-AsyncCursor": partial(open_async_psycopg, cursor=True),
    **{
        f"sqlalchemy-{kind}-{driver}": partial(open_sqlalchemy, driver, kind)
        for kind in ("Session", "Connection", "scoped_session")
        for driver in ("psycopg", "psycopg2")
    },
    **{
        f"sqlalchemy-{kind}-{driver}": partial(open_async_sqlalchemy, driver, kind)
        for kind in ("AsyncSession", "AsyncConnection", "async_scoped_session")
        for driver in ("psycopg", "asyncpg")
    },
    "asyncpg-Connection": open_asyncpg,
    "asyncpg-pool": open_asyncpg_pool,
}
