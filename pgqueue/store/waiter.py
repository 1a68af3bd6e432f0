"""Wait for the ends of jobs: one thread and one connection per process, however many wait."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import selectors
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from pgqueue.exceptions import OperationalError, PgQueueError, SchemaTooOld
from pgqueue.store.execution import execute
from pgqueue.store.queries import await_jobs, read_ends, stop_awaiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pgqueue.store.client import Client

log = logging.getLogger(__name__)

# A settle whose snapshot is older than our row does not notify us: look again soon, then rarely.
LOOK_AGAIN_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
IDLE_SECONDS: Final = 30.0
GIVE_UP_SECONDS: Final = 30.0


class Waiter:
    """Calls back when jobs end.

    Callbacks come from the waiter's thread and must be quick. The thread starts with the first
    wait and ends after 30 seconds without any.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread: threading.Thread | None = None
        self._begin()

    def subscribe(self, job_id: str, ended: Callable[[PgQueueError | None], None]) -> None:
        """Call `ended(None)` once when the job has ended, or with an error when nobody can know.

        Raises:
            ImproperlyConfigured: there is no usable database URL.
        """
        self._client.connection_info()
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            self._waiting.setdefault(job_id, []).append(ended)
            self._new.add(job_id)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="pgqueue-results", daemon=True
                )
                self._thread.start()
        self._poke()

    def unsubscribe(self, job_id: str, ended: Callable[[PgQueueError | None], None]) -> None:
        """Wait no longer, without a call; harmless after the end."""
        with self._lock:
            callbacks = self._waiting.get(job_id, [])
            if ended in callbacks:
                callbacks.remove(ended)
            if not callbacks and self._waiting.pop(job_id, None) is not None:
                self._abandoned.add(job_id)

    def stop(self) -> None:
        """End the thread and close its connection; whoever still waits gets an error."""
        if self._pid != os.getpid():  # the thread is the parent's, and may hold the lock
            self._begin()
        with self._lock:
            thread, self._stopping = self._thread, True
        if thread is not None:
            self._poke()
            thread.join()
        self._stopping = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Callable[[PgQueueError | None], None]]] = {}
        self._new: set[str] = set()
        self._abandoned: set[str] = set()
        self._thread = None
        self._stopping = False
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
            # Not at the exit of the process: the thread may run until then.
            weakref.finalize(self, end.close).atexit = False

    def _poke(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is awake already
            self._wake_writer.send(b"x")

    def _run(self) -> None:
        failing_since: float | None = None
        while True:
            try:
                with self._listening() as listening:
                    failing_since = None
                    if self._serve(*listening):
                        return
            except psycopg.ProgrammingError as error:  # no table, no right: time does not mend it
                self._fail_all(self._cause_of(error))
                return
            except (psycopg.Error, OperationalError) as error:
                now = time.monotonic()
                failing_since = failing_since or now
                log.warning("waiting for results: %s; connecting again", error)
                if now - failing_since > GIVE_UP_SECONDS or self._stopping:
                    self._fail_all(_nobody_knows(error))
                    return
                time.sleep(min(0.1 + (now - failing_since) / 4, 2.0))
            except Exception as error:
                log.exception("waiting for results failed")
                self._fail_all(_nobody_knows(error))
                return

    def _cause_of(self, error: psycopg.Error) -> PgQueueError:
        try:
            self._client.check_schema()
        except SchemaTooOld as cause:
            return cause
        except OperationalError:
            pass
        return _nobody_knows(error)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[tuple[psycopg.Connection, str]]:
        channel = f"{self._client.schema}:{secrets.token_hex(8)}"
        connection = self._client.connect()
        try:
            # What we write here is only for ourselves, and worthless after a crash.
            connection.execute("SET synchronous_commit = off")
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield connection, channel
        finally:
            connection.close()

    def _serve(self, connection: psycopg.Connection, channel: str) -> bool:
        """Wait and call back; True: nobody waits any more, and the thread is to end."""
        with self._lock:
            self._new.update(self._waiting)  # of a connection before this one
        looks = iter(LOOK_AGAIN_SECONDS)
        idle_since = time.monotonic()
        look_at = math.inf
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while True:
                if self._subscribe_new(connection, channel):
                    looks = iter(LOOK_AGAIN_SECONDS)
                    look_at = min(look_at, time.monotonic() + next(looks))
                if self._stopping:
                    self._forget_all(connection, channel)
                if self._may_end(idle_since):
                    return True
                if self._waiting:
                    idle_since = time.monotonic()
                self._call_back({note.payload for note in connection.notifies(timeout=0)})
                # By the clock: who is poked all the time must look all the same.
                began = time.monotonic()
                if self._waiting and began >= look_at:
                    self._look(connection)
                    pause = next(looks, LOOK_AGAIN_SECONDS[-1])
                    now = time.monotonic()
                    look_at = now + max(pause, 10 * (now - began))
                selector.select(self._pause(look_at))
                self._drain_pokes()

    def _pause(self, look_at: float) -> float:
        if not self._waiting:
            return 1.0  # until there is nobody for long, and the thread ends
        # It is infinite before the first wait.
        return min(max(look_at - time.monotonic(), 0.0), 60.0)

    def _subscribe_new(self, connection: psycopg.Connection, channel: str) -> bool:
        with self._lock:
            new, self._new = [job_id for job_id in self._new if job_id in self._waiting], set()
            abandoned, self._abandoned = list(self._abandoned), set()
        if abandoned:
            execute(connection, stop_awaiting(abandoned, channel=channel), self._client.schema)
        if not new:
            return False
        execute(connection, await_jobs(new, channel=channel), self._client.schema)
        self._read_ends_of(new, connection)
        return True

    def _look(self, connection: psycopg.Connection) -> None:
        with self._lock:
            waiting = list(self._waiting)
        self._read_ends_of(waiting, connection)

    def _read_ends_of(self, job_ids: list[str], connection: psycopg.Connection) -> None:
        ended = execute(connection, read_ends(job_ids), self._client.schema)
        with self._lock:
            self._abandoned |= ended  # they ended before our rows: no settle removes these
        self._call_back(ended)

    def _forget_all(self, connection: psycopg.Connection, channel: str) -> None:
        with self._lock:
            left = [*self._abandoned, *self._waiting]
        if left:
            execute(connection, stop_awaiting(left, channel=channel), self._client.schema)

    def _call_back(self, ended: set[str]) -> None:
        for job_id in ended:
            with self._lock:
                callbacks = self._waiting.pop(job_id, [])
            for callback in callbacks:
                _tell(callback, None)

    def _fail_all(self, trouble: PgQueueError) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._new.clear()
            self._thread = None
        for callbacks in waiting.values():
            for callback in callbacks:
                _tell(callback, trouble)

    def _may_end(self, idle_since: float) -> bool:
        if self._stopping:
            self._fail_all(OperationalError("the App was closed while the job's end was awaited"))
            return True
        with self._lock:
            if self._waiting or time.monotonic() - idle_since < IDLE_SECONDS:
                return False
            self._thread = None
            return True

    def _drain_pokes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass


def _tell(callback: Callable[[PgQueueError | None], None], trouble: PgQueueError | None) -> None:
    try:
        callback(trouble)
    except Exception:  # such as an event loop that was closed meanwhile; others wait on
        log.warning("who waited for a job's end cannot be told", exc_info=True)


def _nobody_knows(error: BaseException) -> OperationalError:
    return OperationalError(f"nobody can tell whether the job has ended: {str(error).strip()}")
