"""The chores that any worker does for all: heartbeat, rescue, promotion, partitions."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.errors import LockNotAvailable

from pgqueue.exceptions import OperationalError
from pgqueue.store.worker_queries import (
    beat_worker,
    make_partitions,
    promote_jobs,
    rescue_jobs,
    rescue_workers,
)
from pgqueue.worker.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.store.client import Client
    from pgqueue.worker.stopping import Join

log = logging.getLogger(__name__)

PROMOTE_AT_MOST: Final = 5000
RESCUE_AT_MOST: Final = 500
LOCKED_AGAIN_SECONDS: Final = 0.25
# Leases without a worker are left by a rescuer that died in between: that is rare.
SWEEP_SECONDS: Final = 20.0
PARTITIONS_SECONDS: Final = 3600.0
# Another worker may have put a job off without telling us.
LONGEST_PROMOTION_PAUSE: Final = 60.0


class Upkeep:
    """Does the chores when they are due, on a thread and a connection of its own.

    `fenced` is called when the heartbeat finds that the worker was taken for dead.
    """

    def __init__(
        self,
        client: Client,
        *,
        worker_id: Callable[[], int],
        lease_seconds: float,
        max_crashes: int,
        fenced: Callable[[], None],
        promoted: Callable[[], None],
    ) -> None:
        self._worker_id = worker_id
        self._max_crashes = max_crashes
        self._fenced = fenced
        self._promoted = promoted
        self._is_stopping = False
        self._lease_seconds = lease_seconds
        # A chore that waits for somebody's lock must not keep the heartbeat from its turn.
        self._session = Session(
            client,
            "upkeep",
            stopping=lambda: self._is_stopping,
            lock_timeout_seconds=min(lease_seconds / 8, 1.0),
        )
        self._lock = threading.Condition()
        self._every = {
            self._beat: min(lease_seconds / 4, 5.0),
            self._rescue: min(lease_seconds / 3, 2.0),
            self._make_partitions: PARTITIONS_SECONDS,
        }
        now = time.monotonic()
        self._due = {
            chore: now + random.uniform(0, seconds) for chore, seconds in self._every.items()
        }
        self._due[self._make_partitions] = now
        self._promotion_due = now
        self._sweep_due = now
        self.beaten_at = self._in_touch_since = now
        self._thread = threading.Thread(target=self._run, name="pgqueue-upkeep", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; the worker has just been registered."""
        self.beaten_at = time.monotonic()
        self._thread.start()

    def expect_due(self, seconds: float) -> None:
        """A delayed job is due in so many seconds: promote then."""
        at = time.monotonic() + max(seconds, 0.0)
        with self._lock:
            if at < self._promotion_due:
                self._promotion_due = at
                self._lock.notify()

    def stop(self, join: Join) -> None:
        """End after the chore that is being done; `join` waits for that."""
        with self._lock:
            self._is_stopping = True
            self._lock.notify()
        if join(self._thread):
            self._session.close()

    def _run(self) -> None:
        while (chore := self._next_chore()) is not None:
            try:
                chore()
            except LockNotAvailable:
                self.expect_due(LOCKED_AGAIN_SECONDS)  # the promotion, if that was it
            except (OperationalError, psycopg.Error) as error:
                self._in_touch_since = time.monotonic()
                self._session.recover(error)
            except Exception:
                log.exception("a chore failed; it is done again later")

    def _next_chore(self) -> Callable[[], None] | None:
        with self._lock:
            while not self._is_stopping:
                now = time.monotonic()
                if self._promotion_due <= now:
                    self._promotion_due = now + LONGEST_PROMOTION_PAUSE
                    return self._promote
                chore = min(self._due, key=self._due.__getitem__)
                if self._due[chore] <= now:
                    self._due[chore] = now + self._every[chore] * random.uniform(0.9, 1.0)
                    return chore
                self._lock.wait(min(self._promotion_due, self._due[chore]) - now)
            return None

    def _beat(self) -> None:
        sent_at = time.monotonic()
        if not self._session.run(beat_worker(self._worker_id())):
            self._fenced()  # and registered anew
        self.beaten_at = sent_at

    def _rescue(self) -> None:
        # After a freeze or an outage the others look dead to us, as we do to them: let all beat first.
        now = time.monotonic()
        if now - self.beaten_at > 1.5 * self._every[self._beat]:
            self._in_touch_since = self._due[self._beat] = now
            return
        if now - self._in_touch_since < min(self._lease_seconds, 2 * self._every[self._beat]):
            return
        names = self._session.run(rescue_workers())
        for name in names:
            log.warning("worker %s has stopped beating; its jobs are given to others", name)
        if not names and now < self._sweep_due:
            return
        self._sweep_due = now + SWEEP_SECONDS
        count = self._session.run(rescue_jobs(limit=RESCUE_AT_MOST, max_crashes=self._max_crashes))
        if count:
            log.warning("%d jobs of workers that are gone were taken over", count)
            self._promoted()
        if count == RESCUE_AT_MOST:  # more of them at the next turn, after what else is due
            self._sweep_due = self._due[self._rescue] = now

    def _promote(self) -> None:
        promotion = self._session.run(promote_jobs(limit=PROMOTE_AT_MOST))
        if promotion.count:
            self._promoted()
        if promotion.count == PROMOTE_AT_MOST:
            self.expect_due(0.0)
        elif promotion.next_due_seconds is not None:
            self.expect_due(promotion.next_due_seconds)

    def _make_partitions(self) -> None:
        if made := self._session.run(make_partitions()):
            log.info("%d partitions were made for the days to come", made)
