"""Write outcomes to the database, in batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import psycopg

from pgqueue.core.errors import describe
from pgqueue.core.lifecycle import Settlement, Success
from pgqueue.exceptions import EncodeError
from pgqueue.store.worker_queries import settle_full, settle_plain
from pgqueue.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgqueue.store.client import Client
    from pgqueue.store.query import Query

log = logging.getLogger(__name__)

MOST_PER_BATCH: Final = 500
# Under load a batch waits this long for company; a lone outcome is written at once.
GATHER_SECONDS: Final = 0.008
BUSY_BATCH: Final = 40
MOST_PENDING: Final = 4000


class Settler:
    """Settles what children report, on a thread and a connection of its own.

    Settling is fenced: a batch whose COMMIT's outcome is unknown is sent again, and what was written
    is not written twice.
    """

    def __init__(
        self, client: Client, *, worker: Callable[[], str], put_off: Callable[[float], None]
    ) -> None:
        self._worker = worker
        self._put_off = put_off
        self._session = Session(client, "settling", stopping=lambda: self._is_stopping)
        self._pending: deque[Success | Settlement] = deque()
        self._in_flight: list[Success | Settlement] = []
        self._lock = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="pgqueue-settler", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def add(self, settlement: Success | Settlement) -> None:
        """Write this soon."""
        with self._lock:
            self._pending.append(settlement)
            self._lock.notify()

    @property
    def is_overloaded(self) -> bool:
        """Whether outcomes come faster than the database takes them."""
        return len(self._pending) > MOST_PENDING

    def held(self) -> set[tuple[str, int]]:
        """The (job id, claim) pairs that are about to be settled."""
        with self._lock:
            return {(s.job_id, s.claim) for s in (*self._in_flight, *self._pending)}

    def stop(self) -> None:
        """Write all that was added, then end."""
        with self._lock:
            self._is_stopping = True
            self._lock.notify()
        self._thread.join()
        self._session.close()

    def _run(self) -> None:
        was_busy = False
        while True:
            batch = self._next_batch(gather=was_busy)
            if not batch:
                return
            try:
                self._write(batch)
            except Exception:
                # Their leases stay, and are rescued when this worker has gone; others go on.
                log.exception("%d outcomes could not be written", len(batch))
            self._in_flight = []
            was_busy = len(batch) >= BUSY_BATCH

    def _next_batch(self, *, gather: bool) -> list[Success | Settlement]:
        with self._lock:
            while not self._pending and not self._is_stopping:
                self._lock.wait()
            if gather and not self._is_stopping and len(self._pending) < MOST_PER_BATCH:
                until = time.monotonic() + GATHER_SECONDS
                while len(self._pending) < MOST_PER_BATCH and not self._is_stopping:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    # A sleep, not a wait: being notified of each outcome would cost more than it saves.
                    self._lock.release()
                    try:
                        time.sleep(min(left, 0.002))
                    finally:
                        self._lock.acquire()
            count = min(len(self._pending), MOST_PER_BATCH)
            self._in_flight = [self._pending.popleft() for _ in range(count)]
            return self._in_flight

    def _write(self, batch: Sequence[Success | Settlement]) -> None:
        successes = [s for s in batch if type(s) is Success]
        settlements = [s for s in batch if type(s) is Settlement]
        if successes:
            self._send(successes, settle_plain(successes, worker=self._worker()))
        if settlements:
            self._send(settlements, settle_full(settlements, worker=self._worker()))
            for settlement in settlements:
                if settlement.again_in:
                    self._put_off(settlement.again_in)

    def _send(self, batch: Sequence[Success] | Sequence[Settlement], query: Query[int]) -> None:
        try:
            written = self._session.run_until_done(query)
        except psycopg.Error as error:
            self._split(batch, error)
            return
        if written is not None and written < len(batch):
            # Cancelled by a rescue, or written by a try whose reply was lost.
            log.info("%d of %d outcomes had no lease any more", len(batch) - written, len(batch))

    def _split(self, batch: Sequence[Success] | Sequence[Settlement], error: psycopg.Error) -> None:
        """PostgreSQL refuses a value of the batch: find it, and let only its job fail."""
        if len(batch) > 1:
            half = len(batch) // 2
            self._write(batch[:half])
            self._write(batch[half:])
            return
        refused = batch[0]
        log.error("the outcome of job %s cannot be stored: %s", refused.job_id, error)
        if (
            isinstance(refused, Settlement)
            and refused.error_type == "pgqueue.exceptions.EncodeError"
        ):
            raise error  # not even the failure can be stored
        failure = describe(_not_storable(error))
        self._write(
            [
                Settlement(
                    refused.job_id,
                    refused.claim,
                    "failed",
                    started=refused.started,
                    finished=refused.finished,
                    pid=refused.pid,
                    error=failure.error,
                    error_type=failure.error_type,
                    traceback=failure.traceback,
                    error_data=failure.data,
                )
            ]
        )


def _not_storable(error: psycopg.Error) -> Exception:
    return EncodeError(f"PostgreSQL cannot store the outcome: {str(error).strip()}")
