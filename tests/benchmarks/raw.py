"""The same SQL in bare loops, without tasks and processes: the limit that the queue is held against."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

import psycopg

from pgqueue.core.lifecycle import Success
from pgqueue.store.execution import execute
from pgqueue.store.queries import insert_jobs, new_send_id
from pgqueue.store.worker_queries import (
    arm_worker,
    claim_jobs,
    register_worker,
    retire_worker,
    settle_plain,
)
from pgqueue.worker.session import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.core.job import ClaimedJob, NewJob

LANES = [("celery", priority) for priority in range(9, -1, -1)]
BATCH = 500


def drain(url: str) -> tuple[int, float]:
    """Claim and settle all that is ready, in batches, on one connection; jobs and seconds."""
    jobs = 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SETTINGS)
        me = _register(connection)
        begun = time.perf_counter()
        while claimed := _claim(connection, BATCH, me):
            now = time.time()
            settled = [Success(job.id, job.claim, now, now, 1, "null") for job in claimed]
            assert execute(connection, settle_plain(settled, worker="raw"), "pgqueue") == len(
                settled
            )
            jobs += len(claimed)
        seconds = time.perf_counter() - begun
        execute(connection, retire_worker(me), "pgqueue")
        return jobs, seconds


def insert_one_by_one(url: str, jobs: Sequence[NewJob]) -> float:
    """Send the enqueue statement once for each job; seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        queries = [insert_jobs([job], send_id=new_send_id(), notify=True) for job in jobs]
        begun = time.perf_counter()
        for query in queries:
            execute(connection, query, "pgqueue")
        return time.perf_counter() - begun


def commit_one_by_one(url: str, count: int) -> float:
    """A bare insert and its commit, so many times; seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (id bigint)")
        begun = time.perf_counter()
        for number in range(count):
            connection.execute("INSERT INTO bare VALUES (%s)", (number,), prepare=True)
        return time.perf_counter() - begun


def insert_at_once(url: str, jobs: Sequence[NewJob]) -> float:
    """Send the enqueue statement once for all jobs, its parameters made before; seconds."""
    with psycopg.connect(url, autocommit=True) as connection:
        query = insert_jobs(jobs, send_id=new_send_id(), notify=True)
        begun = time.perf_counter()
        execute(connection, query, "pgqueue")
        return time.perf_counter() - begun


def latencies(url: str, jobs: Sequence[NewJob], pauses: Sequence[float]) -> list[float]:
    """From the send of a job until a bare loop that was notified holds it; seconds, for each job."""
    held: list[float] = []
    ready, stop = threading.Event(), threading.Event()

    def listen() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SETTINGS)
            connection.execute("LISTEN pgqueue")
            me = _register(connection)
            execute(connection, arm_worker(me, ["celery"]), "pgqueue")
            ready.set()
            while not stop.is_set():
                # A list: while its generator lives, the connection is locked.
                for _ in list(connection.notifies(timeout=0.2, stop_after=1)):
                    claimed = _claim(connection, 10, me)
                    held.extend([time.perf_counter()] * len(claimed))
                    now = time.time()
                    done = [Success(job.id, job.claim, now, now, 1, "null") for job in claimed]
                    if done:
                        execute(connection, settle_plain(done, worker="raw"), "pgqueue")
            execute(connection, retire_worker(me), "pgqueue")

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait()
    sent = []
    with psycopg.connect(url, autocommit=True) as connection:
        for job, pause in zip(jobs, pauses, strict=True):
            time.sleep(pause)
            sent.append(time.perf_counter())
            execute(connection, insert_jobs([job], send_id=new_send_id(), notify=True), "pgqueue")
    deadline = time.monotonic() + 10
    while len(held) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    listener.join()
    return [after - before for before, after in zip(sent, held, strict=True)]


def _register(connection: psycopg.Connection) -> int:
    query = register_worker(
        name="raw", host="", pid=0, queues=[], concurrency=1, version="", lease_seconds=3600.0
    )
    return execute(connection, query, "pgqueue")[0]


def _claim(connection: psycopg.Connection, limit: int, worker_id: int) -> list[ClaimedJob]:
    claim = secrets.randbits(62)
    query = claim_jobs(LANES, limit=limit, claim=claim, worker_id=worker_id, heard_at=0.0)
    return execute(connection, query, "pgqueue")
