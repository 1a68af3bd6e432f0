"""What workers ask of the database: claims, settles, heartbeats, rescues, wake-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgqueue.core.job import ClaimedJob
from pgqueue.store.query import Query, bare_array, flag, nothing, sparse_array, text_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.core.lifecycle import Settlement, Success

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What an idle worker saw: the snapshot's bounds, and whether there is anything to do.

    `next_due_seconds`: until the next delayed job, negative if it is late, None if there is none.
    """

    xmin: int
    xmax: int
    found: bool
    has_suspects: bool
    next_due_seconds: float | None
    paused: frozenset[str]


@dataclass(frozen=True, slots=True)
class Promotion:
    """How many jobs were moved to `ready`, and the seconds until the next one is due."""

    count: int
    next_due_seconds: float | None


def claim_jobs(
    lanes: Sequence[tuple[str, int]], *, limit: int, claim: int, worker_id: int, heard_at: float
) -> Query[list[ClaimedJob]]:
    """Claim up to `limit` jobs of the (queue, priority) lanes, first lane first.

    `claim` is a random number for this statement, the fence of all it returns; `heard_at` is
    `time.monotonic()` just before the send. The statement commits by itself, asynchronously.
    """
    params = {
        "queues": text_array([queue for queue, _ in lanes]),
        "priorities": bare_array([priority for _, priority in lanes]),
        "floors": bare_array([0] * len(lanes)),
        "limit": str(limit),
        "claim": str(claim),
        "worker_id": str(worker_id),
    }

    return Query(
        "claim_jobs", params, lambda rows: _claimed(rows, claim, heard_at), is_repeatable=False
    )


def claim_suspect(
    queues: Sequence[str], *, claim: int, worker_id: int, heard_at: float
) -> Query[list[ClaimedJob]]:
    """Claim one job that has crashed before; `claim_jobs` leaves those out."""
    params = {"queues": text_array(queues), "claim": str(claim), "worker_id": str(worker_id)}
    return Query(
        "claim_suspect", params, lambda rows: _claimed(rows, claim, heard_at), is_repeatable=False
    )


def settle_plain(successes: Sequence[Success], *, worker: str) -> Query[int]:
    """End jobs that succeeded; returns how many of the leases were still ours."""
    params = {
        "job_ids": bare_array([s.job_id for s in successes]),
        "claims": bare_array([s.claim for s in successes]),
        "started": bare_array([s.started for s in successes]),
        "finished": bare_array([s.finished for s in successes]),
        "pids": bare_array([s.pid for s in successes]),
        "results": "[" + ",".join([s.result or "null" for s in successes]) + "]",
        "ignored": "{" + ",".join([flag(s.result is None) for s in successes]) + "}",
        "worker": worker,
    }
    return Query("settle_plain", params, _count)


def settle_full(settlements: Sequence[Settlement], *, worker: str) -> Query[int]:
    """Write attempts that did not simply succeed; returns how many leases were still ours."""
    params = {
        "job_ids": bare_array([s.job_id for s in settlements]),
        "claims": bare_array([s.claim for s in settlements]),
        "outcomes": bare_array([s.outcome for s in settlements]),
        "again_in": bare_array([s.again_in for s in settlements]),
        "retries": bare_array([s.retries for s in settlements]),
        "crashes": bare_array([s.crashes for s in settlements]),
        "started": bare_array([s.started for s in settlements]),
        "finished": bare_array([s.finished for s in settlements]),
        "pids": bare_array([s.pid for s in settlements]),
        "results": sparse_array([s.result for s in settlements]),
        "errors": sparse_array([s.error for s in settlements]),
        "error_types": sparse_array([s.error_type for s in settlements]),
        "tracebacks": sparse_array([s.traceback for s in settlements]),
        "error_data": sparse_array([s.error_data for s in settlements]),
        "new_args": sparse_array([s.new_args for s in settlements]),
        "new_kwargs": sparse_array([s.new_kwargs for s in settlements]),
        "new_queues": sparse_array([s.new_queue for s in settlements]),
        "new_priorities": bare_array([s.new_priority for s in settlements]),
        "worker": worker,
    }
    return Query("settle_full", params, _count)


def read_leases(worker_id: int) -> Query[set[tuple[str, int]]]:
    """The (job id, claim) pairs that the database holds this worker to be running."""
    params = {"worker_id": str(worker_id)}
    return Query("read_leases", params, lambda rows: {(row[0], row[1]) for row in rows})


def promote_jobs(*, limit: int) -> Query[Promotion]:
    """Move due jobs to `ready`."""
    return Query("promote_jobs", {"limit": str(limit)}, lambda rows: Promotion(*rows[0][:2]))


def register_worker(
    *,
    name: str,
    host: str,
    pid: int,
    queues: Sequence[str],
    concurrency: int,
    version: str,
    lease_seconds: float,
) -> Query[tuple[int, str]]:
    """Begin to live; returns the id, and the name with a number if it was taken."""
    params = {
        "name": name,
        "host": host,
        "pid": str(pid),
        "queues": text_array(queues),
        "concurrency": str(concurrency),
        "version": version,
        "lease_seconds": str(lease_seconds),
    }
    return Query("register_worker", params, lambda rows: (rows[0][0], rows[0][1]))


def beat_worker(worker_id: int) -> Query[bool]:
    """Say that the worker lives; False: it was taken for dead."""
    return Query("beat_worker", {"worker_id": str(worker_id)}, bool)


def retire_worker(worker_id: int) -> Query[None]:
    """Leave."""
    return Query("retire_worker", {"worker_id": str(worker_id)}, nothing)


def rescue_workers() -> Query[list[str]]:
    """Remove workers that stopped beating; returns their names."""
    return Query("rescue_workers", {}, lambda rows: [row[0] for row in rows])


def rescue_jobs(*, limit: int, max_crashes: int) -> Query[int]:
    """Take over leases without a worker; returns how many."""
    return Query("rescue_jobs", {"limit": str(limit), "max_crashes": str(max_crashes)}, _count)


def arm_worker(worker_id: int, queues: Sequence[str]) -> Query[None]:
    """Ask for a notification when a job of the queues commits."""
    params = {"worker_id": str(worker_id), "queues": text_array(queues)}
    return Query("arm_worker", params, nothing)


def disarm_worker(worker_id: int) -> Query[None]:
    """Ask no longer."""
    return Query("disarm_worker", {"worker_id": str(worker_id)}, nothing)


def look_for_work(queues: Sequence[str], *, begins_transaction: bool = False) -> Query[Look]:
    """Look without claiming.

    `begins_transaction`: then `xmax` is an id that was given out after those of all transactions
    that have begun to write; a snapshot's own is that of the last one to end.
    """

    def read(rows: Sequence[Row]) -> Look:
        xmin, xmax, found, has_suspects, next_due, paused = rows[0]
        return Look(xmin, xmax, found, has_suspects, next_due, frozenset(paused))

    params = {"queues": text_array(queues), "begins": str(begins_transaction)}
    return Query("look_for_work", params, read)


def make_partitions() -> Query[int]:
    """Make day partitions for the days to come; returns how many."""
    return Query("make_partitions", {}, _count)


def _claimed(rows: Sequence[Row], claim: int, heard_at: float) -> list[ClaimedJob]:
    # rows: id, attempt, retries, crashes, task, args, kwargs, options, expired, family,
    # queue, priority, clock, …
    if not rows:
        return []
    offset = rows[0][12] - heard_at
    return [ClaimedJob._make((*row[:12], claim, offset)) for row in rows]


def _count(rows: Sequence[Row]) -> int:
    return int(rows[0][0])
