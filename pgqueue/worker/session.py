"""A worker's connection for one duty, with the settings that its statements need."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg
from psycopg.errors import LockNotAvailable, OutOfMemory, ProgramLimitExceeded

from pgqueue.exceptions import OperationalError
from pgqueue.store.execution import execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.store.client import Client
    from pgqueue.store.query import Query

T = TypeVar("T")
log = logging.getLogger(__name__)

# A DBA's defaults for applications must not end a claim or a LISTEN, nor change what a statement sees.
# No plan of ours is better with a scan of a whole table, whatever the statistics say.
SETTINGS: Final = "; ".join(
    f"SET {name} = {value}"
    for name, value in {
        "default_transaction_isolation": "'read committed'",
        "default_transaction_read_only": "off",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        "client_connection_check_interval": "'1s'",
        "synchronous_commit": "on",
        "timezone": "'UTC'",
        "jit": "off",
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_sort": "off",
    }.items()
)
# Serialisation failure, deadlock, lock timeout, cancelled statement: the connection is as good as before.
PASSING: Final = frozenset({"40001", "40P01", "55P03", "57014"})
NOT_TO_REPEAT: Final = (
    psycopg.DataError,
    ProgramLimitExceeded,
    OutOfMemory,
    LockNotAvailable,
)
LONGEST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_WHILE_STOPPING: Final = 0.2
GIVE_UP_SECONDS: Final = 10.0


class Session:
    """One connection, opened when needed and opened again after trouble.

    `opened` is called with each new connection before its first use. Not safe to share between
    threads: each duty has its own.
    """

    def __init__(
        self,
        client: Client,
        duty: str,
        *,
        stopping: Callable[[], bool],
        opened: Callable[[psycopg.Connection], None] | None = None,
        lock_timeout_seconds: float = 0.0,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._client = client
        self._duty = duty
        self._stopping = stopping
        self._opened = opened
        self._connection: psycopg.Connection | None = None
        self._lock_timeout = f"SET lock_timeout = {round(lock_timeout_seconds * 1000)}"
        self._failures = 0
        self._give_up_seconds = give_up_seconds
        self._give_up_at: float | None = None

    @property
    def connection(self) -> psycopg.Connection:
        """The connection; opened if there is none.

        Raises:
            OperationalError: the database is out of reach.
            psycopg.OperationalError: it went away at once.
        """
        if self._connection is None or self._connection.closed:
            connection = self._client.connect()
            try:
                connection.execute(SETTINGS)
                connection.execute(self._lock_timeout.encode())
                if self._opened is not None:
                    self._opened(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def run(self, query: Query[T]) -> T:
        """Send the query once, and commit.

        Raises:
            OperationalError, psycopg.OperationalError: the database is out of reach, or refused.
        """
        result = execute(self.connection, query, self._client.schema)
        if self._failures:
            log.info("%s: the database is back", self._duty)
            self._failures = 0
        return result

    def run_until_done(self, query: Query[T]) -> T | None:
        """Send the query until it is done, whatever happens to the database; None: given up.

        It is given up `give_up_seconds` after a stop was asked for. Only for queries that do no harm
        when they are sent again after an unknown outcome.

        Raises:
            psycopg.DataError, ProgramLimitExceeded, OutOfMemory: the
                values are to blame, and always would be.
            LockNotAvailable: somebody holds a lock for longer than this session waits.
        """
        while True:
            try:
                return self.run(query)
            except NOT_TO_REPEAT:
                raise
            except (OperationalError, psycopg.Error) as error:
                self.recover(error)
                if self._has_given_up():
                    log.error("%s: gave up on %s while stopping", self._duty, query.statement)  # noqa: TRY400
                    return None

    def recover(self, error: BaseException) -> None:
        """Say once that there is trouble, drop a broken connection, and pause before the next try."""
        if self._failures == 0:
            log.warning("%s: %s; trying again", self._duty, str(error).strip())
        self._failures += 1
        if getattr(error, "sqlstate", None) not in PASSING:
            self.close()  # broken, or on a server that is the wrong one by now
        longest = min(0.05 * 2.0 ** min(self._failures, 10), LONGEST_PAUSE_SECONDS)
        until = time.monotonic() + random.uniform(longest / 2, longest)
        while (now := time.monotonic()) < until:
            if self._stopping():
                until = min(until, now + LONGEST_PAUSE_WHILE_STOPPING)
            time.sleep(0.02)

    def _has_given_up(self) -> bool:
        if not self._stopping():
            return False
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + self._give_up_seconds
        return time.monotonic() > self._give_up_at

    def close(self) -> None:
        """Close the connection; the next query opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
