"""What becomes of a job after an attempt: the rules, without a database, a clock or a process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, assert_never

from pgqueue.core.errors import Failure, describe
from pgqueue.exceptions import TaskRevokedError, WorkerLostError

if TYPE_CHECKING:
    from pgqueue.core.job import ClaimedJob


class Success(NamedTuple):
    """A settlement of the most frequent kind: the job ends with a result.

    `result` is JSON text, or None if the result is not to be kept.
    `started` and `finished` are seconds since the epoch on the database's clock.
    """

    job_id: str
    claim: int
    started: float | None
    finished: float | None
    pid: int | None
    result: str | None


class Settlement(NamedTuple):
    """What to write about an attempt that did not simply succeed.

    `again_in` None ends the job, 0 makes it ready again, more puts it off by so many seconds.
    The outcome "released" leaves no attempt.
    `retries` and `crashes` are what the run adds to the job's counters.
    """

    job_id: str
    claim: int
    outcome: str
    again_in: float | None = None
    retries: int = 0
    crashes: int = 0
    started: float | None = None
    finished: float | None = None
    pid: int | None = None
    result: str | None = None
    error: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    error_data: str | None = None
    new_args: str | None = None
    new_kwargs: str | None = None
    new_queue: str | None = None
    new_priority: int | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Another run is asked for after `delay_seconds`, perhaps with other arguments or another lane."""

    delay_seconds: float
    args: str | None = None
    kwargs: str | None = None
    queue: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task returned; `result` is JSON text, or None if it is not to be kept."""

    result: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The task raised, and no retry is due."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Retried:
    """The task raised or asked for a retry, and one is left."""

    failure: Failure
    again: Again


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The task asked to run again later; no retry is spent."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Expired:
    """The job's time was over before its run began."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The run ended without an outcome: its process died. `reason` says how."""

    reason: str
    max_crashes: int


@dataclass(frozen=True, slots=True)
class Released:
    """The claim is given back without a run; `delay_seconds` 0 is at once."""

    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The worker stopped before the run ended: it counts as begun, and as nobody's fault."""


Outcome = Succeeded | Failed | Retried | Snoozed | Expired | Lost | Released | Interrupted


class Run(NamedTuple):
    """When and where an attempt ran; times are seconds since the epoch on the database's clock."""

    started: float | None
    finished: float | None
    pid: int | None


def settle(job: ClaimedJob, outcome: Outcome, run: Run) -> Success | Settlement:
    """Say what becomes of `job` after a run of it ended with `outcome`."""
    match outcome:
        case Succeeded(result):
            return Success(job.id, job.claim, run.started, run.finished, run.pid, result)
        case Failed(failure):
            return _settlement(job, "failed", run, failure)
        case Retried(failure, again):
            return _settlement(job, "retried", run, failure)._replace(
                again_in=again.delay_seconds,
                retries=1,
                new_args=again.args,
                new_kwargs=again.kwargs,
                new_queue=again.queue,
                new_priority=again.priority,
            )
        case Snoozed(delay_seconds):
            return _settlement(job, "retried", run)._replace(again_in=delay_seconds)
        case Expired():
            failure = describe(TaskRevokedError("expired"))
            return _settlement(job, "expired", run, failure)
        case Lost(reason, max_crashes) if job.crashes + 1 < max_crashes:
            failure = describe(WorkerLostError(reason))
            return _settlement(job, "lost", run, failure)._replace(again_in=0.0, crashes=1)
        case Lost(reason, _):
            failure = describe(WorkerLostError(reason))
            return _settlement(job, "failed", run, failure)._replace(crashes=1)
        case Released(delay_seconds):
            return _settlement(job, "released", run)._replace(again_in=delay_seconds)
        case Interrupted():
            return _settlement(job, "lost", run)._replace(again_in=0.0)
        case _:
            assert_never(outcome)


def _settlement(
    job: ClaimedJob, outcome: str, run: Run, failure: Failure | None = None
) -> Settlement:
    settlement = Settlement(
        job.id, job.claim, outcome, started=run.started, finished=run.finished, pid=run.pid
    )
    if failure is None:
        return settlement
    return settlement._replace(
        error=failure.error,
        error_type=failure.error_type,
        traceback=failure.traceback,
        error_data=failure.data,
    )
