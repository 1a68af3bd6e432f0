"""Write outcomes to the database, in batches."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from psycopg.errors import LockNotAvailable

from pgqueue.core.errors import describe
from pgqueue.core.lifecycle import Settlement, Success
from pgqueue.exceptions import EncodeError
from pgqueue.store.worker_queries import settle_full, settle_plain
from pgqueue.worker.session import GIVE_UP_SECONDS, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgqueue.store.client import Client
    from pgqueue.store.query import Query
    from pgqueue.worker.stopping import Join

log = logging.getLogger(__name__)

MOST_PER_BATCH: Final = 500
# Under load a batch waits this long for company; a lone outcome is written at once.
GATHER_SECONDS: Final = 0.008
BUSY_BATCH: Final = 40
MOST_PENDING: Final = 4000
# An open transaction may hold a lease's row for minutes: the others must not wait behind it.
LOCK_SECONDS: Final = 0.05
LOCKED_AGAIN_SECONDS: Final = 0.25
# Characters of results: PostgreSQL takes no JSON array above 256 MB, and copies what it takes.
MOST_PER_STATEMENT: Final = 16_000_000


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
        self._session = Session(
            client,
            "settling",
            stopping=lambda: self._is_stopping,
            lock_timeout_seconds=LOCK_SECONDS,
        )
        # Whose rows somebody else has locked: an open transaction that cancels them, mostly.
        self._locked: list[Success | Settlement] = []
        self._locked_until = 0.0
        self._stopped_at: float | None = None
        self._refused: set[tuple[str, int]] = set()
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

    def add(self, *settlements: Success | Settlement) -> None:
        """Write these soon."""
        with self._lock:
            self._pending.extend(settlements)
            self._lock.notify()

    @property
    def is_overloaded(self) -> bool:
        """Whether outcomes come faster than the database takes them."""
        return len(self._pending) > MOST_PENDING

    def held(self) -> set[tuple[str, int]]:
        """The (job id, claim) pairs that are about to be settled, or that nobody can settle."""
        with self._lock:
            waiting = (*self._in_flight, *self._locked, *self._pending)
            return {(s.job_id, s.claim) for s in waiting} | self._refused

    def stop(self, join: Join) -> None:
        """Write all that was added, then end; `join` waits for that."""
        with self._lock:
            self._is_stopping = True
            self._stopped_at = time.monotonic()
            self._lock.notify()
        if join(self._thread):
            self._session.close()

    def _run(self) -> None:
        was_busy = False
        while True:
            batch = self._next_batch(gather=was_busy)
            if not batch:
                return
            try:
                self._write(batch)
            except Exception:  # a defect of ours, and others' outcomes still come
                log.exception("%d outcomes cannot be written", len(batch))
                self._refused.update((s.job_id, s.claim) for s in batch)
            with self._lock:
                self._in_flight = []
            was_busy = len(batch) >= BUSY_BATCH

    def _next_batch(self, *, gather: bool) -> list[Success | Settlement]:
        with self._lock:
            while not self._pending and (self._locked or not self._is_stopping):
                if self._gives_up_locked():
                    return []
                if self._locked and time.monotonic() > self._locked_until:
                    break
                self._lock.wait(LOCKED_AGAIN_SECONDS if self._locked else None)
            if self._locked and time.monotonic() > self._locked_until:
                self._pending.extend(self._locked)
                self._locked = []
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

    def _gives_up_locked(self) -> bool:
        if self._stopped_at is None or time.monotonic() < self._stopped_at + GIVE_UP_SECONDS:
            return False
        log.error("%d outcomes were not written: others hold their rows", len(self._locked))
        return True

    def _write(self, batch: Sequence[Success | Settlement]) -> None:
        if len(batch) > 1 and sum(len(s.result or "") for s in batch) > MOST_PER_STATEMENT:
            half = len(batch) // 2
            self._write(batch[:half])
            self._write(batch[half:])
            return
        successes = [s for s in batch if type(s) is Success]
        settlements = [s for s in batch if type(s) is Settlement]
        if successes:
            self._send(successes, settle_plain)
        if settlements:
            self._send(settlements, settle_full)
            for settlement in settlements:
                if settlement.again_in:
                    self._put_off(settlement.again_in)

    def _send(self, batch: Sequence[Any], settle: Callable[..., Query[int]]) -> None:
        try:
            written = self._session.run_until_done(settle(batch, worker=self._worker()))
        except LockNotAvailable:
            self._split_locked(batch)
            return
        except Exception as error:  # noqa: BLE001 - a value that we or PostgreSQL cannot write
            self._split(batch, error)
            return
        if written is not None and written < len(batch):
            # Cancelled by a rescue, or written by a try whose reply was lost.
            log.info("%d of %d outcomes had no lease any more", len(batch) - written, len(batch))

    def _split_locked(self, batch: Sequence[Success] | Sequence[Settlement]) -> None:
        """Find whose row is locked, and put that aside for a while; the others are written."""
        if len(batch) > 1:
            half = len(batch) // 2
            self._write(batch[:half])
            self._write(batch[half:])
            return
        with self._lock:
            self._locked.extend(batch)
            self._locked_until = time.monotonic() + LOCKED_AGAIN_SECONDS

    def _split(self, batch: Sequence[Success] | Sequence[Settlement], error: Exception) -> None:
        """A value of the batch cannot be written: find it, and let only its job fail."""
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
            # Not even the failure can be: its lease stays, held here so that nobody runs it again.
            with self._lock:
                self._refused.add((refused.job_id, refused.claim))
            return
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


def _not_storable(error: Exception) -> Exception:
    return EncodeError(f"PostgreSQL cannot store the outcome: {str(error).strip()}")
