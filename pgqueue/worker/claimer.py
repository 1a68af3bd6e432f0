"""Claim jobs: poll while there is work, sleep until a notification when there is none."""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import selectors
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

import psycopg

from pgqueue.exceptions import OperationalError
from pgqueue.store.worker_queries import (
    Look,
    arm_worker,
    claim_jobs,
    claim_suspect,
    disarm_worker,
    look_for_work,
    read_leases,
)
from pgqueue.worker.session import Session
from pgqueue.worker.wakeup import WakeUp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgqueue.core.job import ClaimedJob
    from pgqueue.store.client import Client
    from pgqueue.worker.stopping import Join

log = logging.getLogger(__name__)

PRIORITIES: Final = tuple(range(9, -1, -1))
# Empty claims in a row before the worker arms, and the pauses between them.
POLLS_BEFORE_ARMING: Final = 6
POLL_SECONDS: Final = 0.002
# Full claims in a row after which enqueues need not notify us: we come anyway.
BUSY_CLAIMS: Final = 3
LOOK_SECONDS: Final = 1.0
# While a transaction that began before the arming is open, its commit notifies nobody.
FIRST_LOOK_AGAIN: Final = 0.0025
LONGEST_LOOK_AGAIN: Final = 0.05
PATIENT_LOOK_AGAIN: Final = 0.25
PATIENT_AFTER: Final = 5.0
# A claim whose reply was lost may still commit on the server for a while.
RECONCILE_AFTER: Final = (0.0, 3.0, 15.0)
# And once in a while without trouble: what nobody here holds must not stay leased for ever.
RECONCILE_SECONDS: Final = 60.0
LONGEST_MISS_SECONDS: Final = 0.25


class Pool(Protocol):
    """What runs the jobs."""

    def room(self) -> int:
        """How many jobs to claim now."""

    def takes_suspect(self) -> bool:
        """Whether to claim a job that has crashed before."""

    def accept(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take claimed jobs."""


class Claimer:
    """Claims for one worker, on a thread and a connection of its own.

    `reconcile` is called after trouble with what the database holds us to be running.
    """

    def __init__(
        self,
        client: Client,
        pool: Pool,
        *,
        queues: Sequence[str],
        worker_id: Callable[[], int],
        listens: bool,
        poll_seconds: float,
        held: Callable[[], set[tuple[str, int]]],
        reconcile: Callable[[set[tuple[str, int]], set[tuple[str, int]]], None],
        looked: Callable[[Look], None],
    ) -> None:
        self._client = client
        self._pool = pool
        self._queues = list(queues)
        self._worker_id = worker_id
        self._listens = listens
        self._poll_seconds = poll_seconds
        self._held = held
        self._reconcile = reconcile
        self._looked = looked
        self._paused: frozenset[str] = frozenset()
        self._has_suspects = False
        self._turn = 0
        self._armed_as = 0  # the worker id whose rows ask for notifications; 0: none
        self._armed_at = 0.0
        self._last_before_arming = 0
        self._waits_for_room = False
        self._looked_at = 0.0
        self._reconcile_due = [time.monotonic() + RECONCILE_SECONDS]
        self._is_stopping = False
        self._wake = WakeUp()
        self._session = Session(
            client, "claiming", stopping=lambda: self._is_stopping, opened=self._begin_session
        )
        self._thread = threading.Thread(target=self._run, name="pgqueue-claimer", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def wake(self) -> None:
        """Something may have become ready."""
        self._wake.set()

    def doubt(self) -> None:
        """Compare soon what is held here with what the database says."""
        now = time.monotonic()
        self._reconcile_due = [now + after for after in RECONCILE_AFTER]
        self._wake.set()

    def tell_room(self) -> None:
        """There is room for jobs."""
        if self._waits_for_room:
            self._wake.set()

    def stop(self, join: Join) -> None:
        """Claim no more; what was claimed has been handed to the pool when `join` has waited."""
        self._is_stopping = True
        self._wake.set()
        if join(self._thread):
            self._session.close()
            self._wake.close()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._work()
            except Exception as error:
                if not isinstance(error, OperationalError | psycopg.OperationalError):
                    log.exception("claiming failed")
                self._armed_as = 0
                now = time.monotonic()
                self._reconcile_due = [now + after for after in RECONCILE_AFTER]
                self._session.recover(error)
        if self._is_armed:
            with contextlib.suppress(OperationalError, psycopg.Error):
                self._disarm()

    def _work(self) -> None:
        """Claim and wait, until stopped or until the database makes trouble."""
        empty = full = misses = 0
        self._look()  # which queues are paused
        while not self._is_stopping:
            self._settle_doubts()
            room = self._room()
            if room <= 0:
                self._look_sometimes()
                self._wait(self._jittered(self._poll_seconds))
                continue
            self._waits_for_room = False
            jobs = self._claim(room) or self._claim_suspect()
            if jobs:
                empty, full, misses = 0, full + 1, 0
                self._pool.accept(jobs)
                if self._is_armed and full >= BUSY_CLAIMS:
                    self._disarm()
                self._look_sometimes()
                continue
            full = 0
            empty += 1
            if self._is_armed:
                # Woken for nothing to claim: perhaps for a delayed job, which the look tells.
                if self._sleep_until_notified():
                    # Ready, and not to be had: somebody holds a lock on it, for as long as he likes.
                    misses += 1
                    self._wait(min(POLL_SECONDS * 2.0 ** min(misses, 10), LONGEST_MISS_SECONDS))
                empty = 0
            elif empty < POLLS_BEFORE_ARMING:
                self._wait(POLL_SECONDS * empty)
            elif self._listens:
                self._arm()
                empty = 0
            else:
                self._look()
                self._wait(
                    self._jittered(min(self._poll_seconds, POLL_SECONDS * 2.0 ** min(empty, 30)))
                )

    def _room(self) -> int:
        if not self._worker_id():
            return 0  # taken for dead, and not registered anew yet
        self._waits_for_room = True  # first: room that comes after the question wakes us
        return self._pool.room()

    def _claim(self, limit: int) -> list[ClaimedJob]:
        lanes, worker_id = self._lanes(), self._worker_id()
        if not lanes or not worker_id:
            return []
        claim, now = secrets.randbits(63), time.monotonic()
        query = claim_jobs(lanes, limit=limit, claim=claim, worker_id=worker_id, heard_at=now)
        return self._kept(worker_id, self._session.run(query))

    def _claim_suspect(self) -> list[ClaimedJob]:
        worker_id = self._worker_id()
        queues = [queue for queue in self._queues if queue not in self._paused]
        if not self._has_suspects or not worker_id or not self._pool.takes_suspect():
            return []
        claim, now = secrets.randbits(63), time.monotonic()
        query = claim_suspect(queues, claim=claim, worker_id=worker_id, heard_at=now)
        jobs = self._session.run(query)
        self._has_suspects = bool(jobs)
        return self._kept(worker_id, jobs)

    def _kept(self, worker_id: int, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        if worker_id != self._worker_id():
            # Taken for dead meanwhile: they go back, unless they have been rescued.
            self._reconcile(set(), {(job.id, job.claim) for job in jobs})
            return []
        return jobs

    def _lanes(self) -> list[tuple[str, int]]:
        """All lanes, the highest priority of each queue first; every queue is first in its turn."""
        queues = [queue for queue in self._queues if queue not in self._paused]
        if not queues:
            return []
        self._turn = (self._turn + 1) % len(queues)
        turned = queues[self._turn :] + queues[: self._turn]
        return [(queue, priority) for queue in turned for priority in PRIORITIES]

    @property
    def _is_armed(self) -> bool:
        # A worker that was taken for dead has another id now, and its rows are gone.
        return self._armed_as == self._worker_id() != 0

    def _arm(self) -> None:
        """Ask for notifications, then look: what committed before is found, what comes after notifies.

        An enqueue that looked for armed workers before and commits later does neither. Its
        transaction is older than the one that this look begins: look on until all of those have ended.
        """
        worker_id = self._worker_id()
        self._session.run(arm_worker(worker_id, self._queues))
        self._armed_as, self._armed_at = worker_id, time.monotonic()
        look = self._look(begins_transaction=True)
        self._last_before_arming = look.xmax
        if not look.found:
            self._sleep_until_notified()

    def _disarm(self) -> None:
        self._session.run(disarm_worker(self._armed_as))
        self._armed_as = 0

    def _sleep_until_notified(self) -> bool:
        """Sleep; once in a while look all the same: a notification is a hint, never a promise.

        Whether a look found something, and no notification came.
        """
        pause = FIRST_LOOK_AGAIN
        while not self._is_stopping:
            look = self._look()
            if look.found:
                return True
            if look.xmin > self._last_before_arming:
                seconds = self._jittered(self._poll_seconds)
            else:
                is_new = time.monotonic() - self._armed_at < PATIENT_AFTER
                pause = min(pause * 2, LONGEST_LOOK_AGAIN if is_new else PATIENT_LOOK_AGAIN)
                seconds = min(pause, self._poll_seconds)
            if self._wait(seconds):
                return False
        return False

    def _look_sometimes(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()

    def _look(self, *, begins_transaction: bool = False) -> Look:
        look = self._session.run(look_for_work(self._queues, begins_transaction=begins_transaction))
        self._looked_at = time.monotonic()
        self._paused = look.paused
        self._has_suspects = look.has_suspects
        self._looked(look)
        return look

    def _wait(self, seconds: float) -> bool:
        """Wait for a notification or a wake-up; whether there was one."""
        connection = self._session.connection
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            events = selector.select(max(seconds, 0.0))
        if not events:
            return False
        connection.pgconn.consume_input()
        while connection.pgconn.notifies():
            pass  # what they say is of no matter
        self._wake.clear()
        return True

    def _begin_session(self, connection: psycopg.Connection) -> None:
        self._armed_as = 0
        # One that comes with the reply to a query is not there any more when we wait for it.
        connection.add_notify_handler(lambda _: self._wake.set())
        if self._listens:
            connection.execute(f'LISTEN "{self._client.schema}"'.encode())

    def _settle_doubts(self) -> None:
        """After trouble, compare what we hold with what the database says, more than once."""
        if not self._reconcile_due or time.monotonic() < self._reconcile_due[0]:
            return
        held = self._held()  # before the read: what is settled meanwhile is not ours to judge
        leases = self._session.run(read_leases(self._worker_id()))
        self._reconcile_due.pop(0)
        if not self._reconcile_due:
            self._reconcile_due = [time.monotonic() + RECONCILE_SECONDS]
        self._reconcile(held, leases)

    @staticmethod
    def _jittered(seconds: float) -> float:
        return seconds * random.uniform(0.85, 1.0)
