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

log = logging.getLogger(__name__)

PRIORITIES: Final = tuple(range(9, -1, -1))
# Empty claims in a row before the worker arms, and the pauses between them.
POLLS_BEFORE_ARMING: Final = 6
POLL_SECONDS: Final = 0.002
# Full claims in a row after which enqueues need not notify us: we come anyway.
BUSY_CLAIMS: Final = 3
LOOK_SECONDS: Final = 1.0
# While a transaction that began before the arming is open, its commit notifies nobody.
FIRST_LOOK_AGAIN: Final = 0.005
LONGEST_LOOK_AGAIN: Final = 0.05
PATIENT_LOOK_AGAIN: Final = 0.25
PATIENT_AFTER: Final = 5.0
# A claim whose reply was lost may still commit on the server for a while.
RECONCILE_AFTER: Final = (0.0, 3.0, 15.0)


class Pool(Protocol):
    """What runs the jobs."""

    def room(self) -> int:
        """How many jobs to claim now."""

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
        self._turn = 0
        self._is_armed = False
        self._looked_at = 0.0
        self._reconcile_due: list[float] = []
        self._is_stopping = False
        self._wake = WakeUp()
        self._session = Session(
            client, "claiming", stopping=lambda: self._is_stopping, opened=self._begin_session
        )
        self._thread = threading.Thread(target=self._run, name="pgqueue-claimer", daemon=True)

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def wake(self) -> None:
        """There is room for jobs, or something may have become ready."""
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; what was claimed has been handed to the pool."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join()
        self._session.close()
        self._wake.close()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._work()
            except (OperationalError, psycopg.OperationalError) as error:
                self._is_armed = False
                now = time.monotonic()
                self._reconcile_due = [now + after for after in RECONCILE_AFTER]
                self._session.recover(error)
            except Exception:
                log.exception("claiming failed; trying again")
                self._session.recover(RuntimeError("see above"))
        if self._is_armed:
            with contextlib.suppress(OperationalError, psycopg.Error):
                self._session.run(disarm_worker(self._worker_id()))

    def _work(self) -> None:
        """Claim and wait, until stopped or until the database makes trouble."""
        empty = full = 0
        while not self._is_stopping:
            self._settle_doubts()
            room = self._pool.room()
            if room <= 0:
                self._wait(self._jittered(self._poll_seconds))
                continue
            jobs = self._claim(room)
            if jobs:
                empty, full = 0, full + 1
                self._pool.accept(jobs)
                if self._is_armed and full >= BUSY_CLAIMS:
                    self._disarm()
                self._look_sometimes()
                continue
            full = 0
            empty += 1
            if self._is_armed:
                # Woken for nothing to claim: perhaps for a delayed job, which the look tells.
                if not self._look().found:
                    self._sleep_until_notified()
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

    def _claim(self, limit: int) -> list[ClaimedJob]:
        lanes = self._lanes()
        if not lanes:
            return []
        worker_id = self._worker_id()
        jobs = self._session.run(
            claim_jobs(
                lanes,
                limit=limit,
                claim=secrets.randbits(63),
                worker_id=worker_id,
                heard_at=time.monotonic(),
            )
        )
        if worker_id != self._worker_id():
            return []  # taken for dead meanwhile: these are being rescued
        return jobs

    def _lanes(self) -> list[tuple[str, int]]:
        """All lanes, the highest priority of each queue first; every queue is first in its turn."""
        queues = [queue for queue in self._queues if queue not in self._paused]
        if not queues:
            return []
        self._turn = (self._turn + 1) % len(queues)
        turned = queues[self._turn :] + queues[: self._turn]
        return [(queue, priority) for queue in turned for priority in PRIORITIES]

    def _arm(self) -> None:
        """Ask for notifications, then look: what committed before is found, what comes after notifies.

        An enqueue that looked for armed workers before and commits later does neither. Its
        transaction is older than this look's xmax: look on until all of those have ended.
        """
        self._session.run(arm_worker(self._worker_id(), self._queues))
        self._is_armed = True
        look = self._look()
        begun, pause, edge = time.monotonic(), FIRST_LOOK_AGAIN, look.xmax
        while not look.found and look.xmin < edge and not self._is_stopping:
            if self._wait(pause):
                return
            look = self._look()
            longest = (
                PATIENT_LOOK_AGAIN
                if time.monotonic() - begun > PATIENT_AFTER
                else LONGEST_LOOK_AGAIN
            )
            pause = min(pause * 2, longest)
        if not look.found:
            self._sleep_until_notified()

    def _disarm(self) -> None:
        self._session.run(disarm_worker(self._worker_id()))
        self._is_armed = False

    def _sleep_until_notified(self) -> None:
        """Sleep; once in a while look all the same: a notification is a hint, never a promise."""
        while not self._is_stopping and not self._wait(self._jittered(self._poll_seconds)):
            if self._look().found:
                return

    def _look_sometimes(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()

    def _look(self) -> Look:
        look = self._session.run(look_for_work(self._queues))
        self._looked_at = time.monotonic()
        self._paused = look.paused
        self._looked(look)
        return look

    def _wait(self, seconds: float) -> bool:
        """Wait for a notification or a wake-up; whether there was one."""
        connection = self._session.connection
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            events = selector.select(max(seconds, 0.0))
        self._wake.clear()
        notes = list(connection.notifies(timeout=0)) if events else []
        return bool(events or notes)

    def _begin_session(self, connection: psycopg.Connection) -> None:
        self._is_armed = False
        if self._listens:
            connection.execute(f'LISTEN "{self._client.schema}"'.encode())

    def _settle_doubts(self) -> None:
        """After trouble, compare what we hold with what the database says, more than once."""
        if not self._reconcile_due or time.monotonic() < self._reconcile_due[0]:
            return
        held = self._held()  # before the read: what is settled meanwhile is not ours to judge
        leases = self._session.run(read_leases(self._worker_id()))
        self._reconcile_due.pop(0)
        self._reconcile(held, leases)

    @staticmethod
    def _jittered(seconds: float) -> float:
        return seconds * random.uniform(0.75, 1.0)
