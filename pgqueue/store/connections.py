"""A process's own connections: few, opened when needed, closed when idle, never shared over a fork.

Not psycopg_pool's: an enqueue must learn at once *why* no connection can be had, event loops come
and go, and a forked child must drop what it inherited without closing it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import deque
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import conninfo

from pgqueue.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# What the driver raises when the server refuses: a right is missing, a statement was cancelled.
DriverError = psycopg.Error

IDLE_SECONDS: Final = 30.0
# Both kinds of half-open connection: one that waits for a notification, and one in mid-query.
CONNECTION_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "pgqueue",
}
# Connections of a parent process: libpq forbids their use here, and closing one would end the parent's session.
_inherited: Final[list[object]] = []


def connection_info(database_url: str) -> str:
    """What to give to libpq: the URL, the embedded server's if it says so, and our defaults.

    Raises:
        OperationalError: the URL cannot be read.
    """
    url = database_url
    if url.startswith("embedded:"):
        # Imported late: its locks and accounts exist on Unix only.
        from pgqueue.store import embedded  # noqa: PLC0415

        url = embedded.resolve(url)
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise OperationalError(f"the database URL cannot be read: {error}") from error
    return conninfo.make_conninfo("", **(CONNECTION_DEFAULTS | given))


def connect(info: str) -> psycopg.Connection:
    """Open a connection in autocommit mode.

    Raises:
        OperationalError: the server cannot be reached, or refuses; the message says why.
    """
    try:
        return psycopg.connect(info, autocommit=True)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error


async def aconnect(info: str) -> psycopg.AsyncConnection:
    """Async twin of `connect`."""
    try:
        return await psycopg.AsyncConnection.connect(info, autocommit=True)
    except psycopg.OperationalError as error:
        raise _unreachable(error) from error


class Connections:
    """Connections for threads: borrow one, give it back; at most `limit` at a time.

    Idle ones are closed after 30 seconds. In a forked child it begins empty.
    """

    def __init__(self, info: Callable[[], str], *, limit: int) -> None:
        self._info = info
        self._limit = limit
        self._of_process = _ProcessConnections(limit)

    @contextmanager
    def borrow(self, *, timeout_seconds: float) -> Iterator[psycopg.Connection]:
        """Lend a connection in autocommit mode; a broken one is not taken back.

        Raises:
            OperationalError: none can be had, or all are in use for `timeout_seconds`.
        """
        mine = self._of_this_process()
        if not mine.free.acquire(timeout=timeout_seconds):
            raise _exhausted(self._limit, timeout_seconds)
        try:
            connection = mine.take() or connect(self._info())
            try:
                yield connection
            finally:
                mine.give_back(connection)
        finally:
            mine.free.release()

    def discard_idle(self) -> None:
        """Close what is idle: the server was restarted, or the process is done."""
        self._of_this_process().discard_idle()

    def _of_this_process(self) -> _ProcessConnections:
        mine = self._of_process
        if mine.pid != os.getpid():
            _inherited.append(mine)
            # Two threads may come here at once: each gives back to where it has borrowed.
            mine = self._of_process = _ProcessConnections(self._limit)
        return mine


class _ProcessConnections:
    """The idle connections of one process."""

    def __init__(self, limit: int) -> None:
        self.pid = os.getpid()
        self.free = threading.BoundedSemaphore(limit)
        self._idle: deque[tuple[float, psycopg.Connection]] = deque()
        self._reaper: threading.Timer | None = None

    def take(self) -> psycopg.Connection | None:
        with suppress(IndexError):  # empty, or emptied by another thread at this moment
            while True:
                connection = self._idle.pop()[1]
                if not connection.closed:
                    return connection
        return None

    def give_back(self, connection: psycopg.Connection) -> None:
        if connection.closed or not _is_idle(connection):
            connection.close()
            return
        self._idle.append((time.monotonic(), connection))
        if self._reaper is None:
            self._reap_later()

    def discard_idle(self) -> None:
        while (connection := self.take()) is not None:
            connection.close()

    def _reap_later(self) -> None:
        self._reaper = threading.Timer(IDLE_SECONDS, self._reap)
        self._reaper.daemon = True
        self._reaper.name = "pgqueue-idle-connections"
        self._reaper.start()

    def _reap(self) -> None:
        oldest = time.monotonic() - IDLE_SECONDS
        with suppress(IndexError):
            while self._idle[0][0] <= oldest:
                self._idle.popleft()[1].close()
        self._reaper = None
        if self._idle:
            self._reap_later()


class AsyncConnections:
    """Async twin of `Connections`: of each event loop its own, closed when the loop has gone."""

    def __init__(self, info: Callable[[], str], *, limit: int) -> None:
        self._info = info
        self._limit = limit
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopConnections]
        self._begin()

    @asynccontextmanager
    async def borrow(self, *, timeout_seconds: float) -> AsyncIterator[psycopg.AsyncConnection]:
        """Async twin of `Connections.borrow`."""
        if self._pid != os.getpid():
            self._begin()
        mine = self._of_this_loop()
        try:
            await asyncio.wait_for(mine.free.acquire(), timeout_seconds)
        except TimeoutError:
            raise _exhausted(self._limit, timeout_seconds) from None
        try:
            connection = mine.take() or await aconnect(self._info())
            try:
                yield connection
            finally:
                mine.give_back(connection)
        finally:
            mine.free.release()

    def discard_idle(self) -> None:
        """Close what is idle, of every loop: no loop is needed for that."""
        for mine in list(self._loops.values()):
            mine.discard_idle()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._loops = weakref.WeakKeyDictionary()

    def _of_this_loop(self) -> _LoopConnections:
        for loop, theirs in list(self._loops.items()):
            if loop.is_closed():
                theirs.discard_idle()
                del self._loops[loop]
        loop = asyncio.get_running_loop()
        mine = self._loops.get(loop)
        if mine is None:
            mine = self._loops[loop] = _LoopConnections(self._limit)
            weakref.finalize(loop, mine.discard_idle)
        return mine


class _LoopConnections:
    """The idle connections of one event loop."""

    def __init__(self, limit: int) -> None:
        self._pid = os.getpid()
        self.free = asyncio.Semaphore(limit)
        self.idle: deque[tuple[float, psycopg.AsyncConnection]] = deque()

    def take(self) -> psycopg.AsyncConnection | None:
        oldest = time.monotonic() - IDLE_SECONDS
        while self.idle and self.idle[0][0] <= oldest:
            finish(self.idle.popleft()[1])
        while self.idle:
            connection = self.idle.pop()[1]
            if not connection.closed:
                return connection
        return None

    def give_back(self, connection: psycopg.AsyncConnection) -> None:
        if connection.closed or not _is_idle(connection):
            finish(connection)
        else:
            self.idle.append((time.monotonic(), connection))

    def discard_idle(self) -> None:
        # In a forked child, too, the end of the parent's loop (or of the process) comes here.
        if self._pid != os.getpid():
            _inherited.append(self)
            return
        while self.idle:
            finish(self.idle.pop()[1])


def finish(connection: psycopg.AsyncConnection) -> None:
    """Close an async connection without its event loop, which may be gone."""
    connection.pgconn.finish()


def _is_idle(connection: psycopg.Connection | psycopg.AsyncConnection) -> bool:
    return connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def _unreachable(error: BaseException) -> OperationalError:
    return OperationalError(f"no connection to the database: {str(error).strip()}")


def _exhausted(limit: int, timeout_seconds: float) -> OperationalError:
    return OperationalError(
        f"all {limit} connections of this process are in use since {timeout_seconds:g} s: "
        "raise pool_limit, or send less at a time"
    )
