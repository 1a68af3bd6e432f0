"""What applications ask of the database: enqueue, results, and a look at jobs, queues and workers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgqueue.store.query import (
    Query,
    bare_array,
    flag,
    nothing,
    sparse_array,
    text_array,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgqueue.core.job import NewJob

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job stands, as `AsyncResult` reads it; JSON is still text."""

    id: str
    state: str
    task: str
    queue: str
    args: str | None
    kwargs: str | None
    attempt: int
    retries: int
    worker: str | None
    finished_at: datetime | None
    result: str | None
    error: str | None
    error_type: str | None
    traceback: str | None
    error_data: str | None
    parent_id: str | None
    root_id: str | None
    group_id: str | None
    options: str | None
    has_expired: bool | None


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the view `pgqueue.jobs`: the columns, under their names."""

    id: str
    task: str
    queue: str
    priority: int
    state: str
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    attempt: int
    retries: int
    crashes: int
    run_at: datetime | None
    expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    worker_pid: int | None
    result: Any
    error: str | None
    error_type: str | None
    traceback: str | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    schedule: str | None
    due_at: datetime | None
    headers: dict[str, Any] | None
    shadow: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A row of the view `pgqueue.attempts`: an attempt that ended, or the end of a job without one."""

    attempt: int
    retries: int
    crashes: int
    outcome: str
    final: bool
    started_at: datetime | None
    finished_at: datetime
    worker: str | None
    worker_pid: int | None
    error: str | None
    error_type: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A row of the view `pgqueue.workers`; the age of the last heartbeat by the database's clock."""

    id: int
    name: str
    host: str
    pid: int
    queues: list[str]
    concurrency: int
    version: str
    started_at: datetime
    beat_at: datetime
    alive: bool
    running: int
    beat_age_seconds: float


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A row of the view `pgqueue.queues`; the age of the oldest ready job in seconds."""

    name: str
    paused: bool
    depth: int
    oldest_age_seconds: float | None


def new_send_id() -> int:
    """A number that marks one send: repeating it after an unknown COMMIT makes no second job."""
    return secrets.randbits(63)


def insert_jobs(jobs: Sequence[NewJob], *, send_id: int, notify: bool) -> Query[list[str]]:
    """Insert jobs with ids of our own making; none is ever refused (the list is empty).

    The sender's transaction commits them, and then wakes idle workers. Repeating the same send
    inserts nothing.
    """
    return Query("insert_jobs", _job_params(jobs, send_id, notify), lambda _: [])


def insert_named_jobs(jobs: Sequence[NewJob], *, send_id: int, notify: bool) -> Query[list[str]]:
    """Insert jobs with ids that the caller chose; returns the ids that are not finished yet.

    If there are any, nothing is written, and the transaction stays usable. Jobs are written, and
    so begun, in the order of their ids: two senders of the same ids do not deadlock.
    """
    ordered = sorted(jobs, key=lambda job: job.id)
    return Query("insert_named_jobs", _job_params(ordered, send_id, notify), _split_ids)


def read_results(
    job_ids: Sequence[str], *, result_expires: float | None
) -> Query[dict[str, JobResult]]:
    """How the jobs stand, by id; an unknown id is missing.

    `result_expires` is in seconds; None or 0: results are kept as long as the job.
    """
    params = {
        "job_ids": bare_array(job_ids),
        "result_expires": str(result_expires) if result_expires else None,
    }
    return Query("read_results", params, lambda rows: {row[0]: JobResult(*row) for row in rows})


def forget_results(job_ids: Sequence[str]) -> Query[set[str]]:
    """Drop what ended jobs have returned or raised; returns the ids of those that had ended."""
    return Query("forget_results", {"job_ids": bare_array(job_ids)}, _first_column)


def read_ends(job_ids: Sequence[str]) -> Query[set[str]]:
    """Which of the jobs have ended."""
    return Query("read_ends", {"job_ids": bare_array(job_ids)}, _first_column)


def await_jobs(job_ids: Sequence[str], *, channel: str) -> Query[None]:
    """Ask for a notification on `channel` when one of the jobs ends."""
    return Query("await_jobs", {"job_ids": bare_array(job_ids), "channel": channel}, nothing)


def stop_awaiting(job_ids: Sequence[str], *, channel: str) -> Query[None]:
    """Ask no longer."""
    return Query("stop_awaiting", {"job_ids": bare_array(job_ids), "channel": channel}, nothing)


def read_schema_version() -> Query[int | None]:
    """The version of the schema; None: there is none."""
    return Query(
        "read_schema_version", {}, lambda rows: int(rows[0][0].split()[-1]) if rows else None
    )


def list_jobs(
    *,
    limit: int,
    id: str | None = None,
    state: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    since: datetime | None = None,
    after: str | None = None,
) -> Query[list[Job]]:
    """Jobs, newest first; `after` is the id that the page before ended with."""
    params = {
        "limit": str(limit),
        "id": id,
        "state": state,
        "queue": queue,
        "task": task,
        "since": since.isoformat() if since else None,
        "after": after,
    }
    return Query("list_jobs", params, lambda rows: [Job(*row) for row in rows])


def count_jobs(
    *,
    state: str | None = None,
    queue: str | None = None,
    task: str | None = None,
    since: datetime | None = None,
) -> Query[int]:
    """How many jobs the view shows."""
    params = {
        "state": state,
        "queue": queue,
        "task": task,
        "since": since.isoformat() if since else None,
    }
    return Query("count_jobs", params, lambda rows: int(rows[0][0]))


def list_attempts(job_id: str) -> Query[list[Attempt]]:
    """What has become of the job so far, oldest first."""
    return Query("list_attempts", {"id": job_id}, lambda rows: [Attempt(*row) for row in rows])


def cancel_jobs(job_ids: Sequence[str]) -> Query[set[str]]:
    """Cancel jobs; returns the ids of those that had not ended."""
    return Query("cancel_jobs", {"job_ids": bare_array(job_ids)}, _first_column)


def retry_jobs(job_ids: Sequence[str]) -> Query[set[str]]:
    """Run ended jobs again; returns the ids of those that had ended."""
    return Query("retry_jobs", {"job_ids": bare_array(job_ids)}, _first_column, is_repeatable=False)


def purge_queues(queues: Sequence[str]) -> Query[int]:
    """Cancel all that waits in the queues; returns how many jobs that were."""
    params = {"queues": text_array(queues)}
    return Query("purge_queues", params, lambda rows: int(rows[0][0]), is_repeatable=False)


def read_stats() -> Query[dict[str, int]]:
    """The number of jobs in each state."""
    return Query("read_stats", {}, lambda rows: {row[0]: int(row[1]) for row in rows})


def list_workers() -> Query[list[WorkerRow]]:
    """The workers that have registered, by name."""
    return Query("list_workers", {}, lambda rows: [WorkerRow(*row) for row in rows])


def list_queues() -> Query[list[QueueRow]]:
    """The queues that have jobs, workers or a pause, by name."""
    return Query("list_queues", {}, lambda rows: [QueueRow(*row) for row in rows])


def pause_queue(queue: str, *, paused: bool) -> Query[bool]:
    """Pause or resume a queue."""
    params = {"queue": queue, "paused": flag(paused)}
    return Query("pause_queue", params, lambda rows: bool(rows[0][0]))


def explain_job(job_id: str) -> Query[str]:
    """Why a job does not run, in a sentence."""
    return Query("explain_job", {"id": job_id}, lambda rows: str(rows[0][0]))


def _job_params(jobs: Sequence[NewJob], send_id: int, notify: bool) -> dict[str, str | None]:  # noqa: FBT001
    return {
        "ids": bare_array([job.id for job in jobs]),
        "send_id": str(send_id),
        "tasks": text_array([job.task for job in jobs]),
        "queues": text_array([job.queue for job in jobs]),
        "priorities": bare_array([job.priority for job in jobs]),
        "args": text_array([job.args for job in jobs]),
        "kwargs": text_array([job.kwargs for job in jobs]),
        "options": sparse_array([job.options for job in jobs]),
        "root_ids": sparse_array([job.root_id for job in jobs]),
        "parent_ids": sparse_array([job.parent_id for job in jobs]),
        "group_ids": sparse_array([job.group_id for job in jobs]),
        "etas": sparse_array([_moment(job.eta) for job in jobs]),
        "delays": sparse_array([_number(job.delay) for job in jobs]),
        "expiries": sparse_array([_moment(job.expires_at) for job in jobs]),
        "lifetimes": sparse_array([_number(job.lifetime) for job in jobs]),
        "notify": flag(notify),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _number(number: float | None) -> str | None:
    return None if number is None else repr(float(number))


def _first_column(rows: Sequence[Row]) -> set[str]:
    return {row[0] for row in rows}


def _split_ids(rows: Sequence[Row]) -> list[str]:
    return [job_id for job_id in (rows[0][0] or "").split(",") if job_id]
