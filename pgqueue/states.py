"""The names of states: Celery's, as `AsyncResult.state` shows, and those of `pgqueue.jobs.state`.

`task_state` translates the second into the first; what makes a job change its state is not here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

__all__ = [
    "ALL_STATES",
    "EXCEPTION_STATES",
    "FAILURE",
    "IGNORED",
    "PENDING",
    "PROPAGATE_STATES",
    "READY_STATES",
    "RECEIVED",
    "REJECTED",
    "RETRY",
    "REVOKED",
    "STARTED",
    "SUCCESS",
    "UNREADY_STATES",
    "JobState",
    "precedence",
    "state",
    "task_state",
]

PENDING = "PENDING"
RECEIVED = "RECEIVED"
STARTED = "STARTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
REJECTED = "REJECTED"
RETRY = "RETRY"
IGNORED = "IGNORED"

READY_STATES = frozenset({SUCCESS, FAILURE, REVOKED})
UNREADY_STATES = frozenset({PENDING, RECEIVED, STARTED, REJECTED, RETRY})
EXCEPTION_STATES = frozenset({RETRY, FAILURE, REVOKED})
PROPAGATE_STATES = frozenset({FAILURE, REVOKED})
ALL_STATES = frozenset({PENDING, RECEIVED, STARTED, SUCCESS, FAILURE, RETRY, REVOKED})

# Highest first; None stands for every state that a task made up itself.
_PRECEDENCE: dict[str | None, int] = {
    name: rank
    for rank, name in enumerate(
        (SUCCESS, FAILURE, None, REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING)
    )
}


def precedence(state: str | None) -> int:
    """Return the rank of a state: the lower the number, the higher the state."""
    return _PRECEDENCE.get(state, _PRECEDENCE[None])


class state(str):  # noqa: N801 - Celery's name
    """A state that compares by precedence: `state("PENDING") < state("SUCCESS")`."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)


class JobState(StrEnum):
    """Where a job stands, as `pgqueue.jobs.state` spells it."""

    SCHEDULED = "scheduled"
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended; only an operator's retry or a new send makes it run again."""
        return self in _FINAL


_FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


def task_state(
    job_state: JobState,
    *,
    retries: int,
    track_started: bool,
    custom: str | None,
    result_is_kept: bool,
    error_is_kept: bool,
) -> str:
    """Return what `AsyncResult.state` shows for a job.

    `custom` is the state last set by `update_state`, if it still counts. It shows while the job
    runs, and after its end in the place of an outcome that was not kept. `result_is_kept` is False
    when the result was ignored, forgotten or is too old.
    """
    match job_state:
        case JobState.SCHEDULED | JobState.WAITING | JobState.READY:
            return RETRY if retries else PENDING
        case JobState.RUNNING:
            if custom:
                return custom
            if track_started:
                return STARTED
            return RETRY if retries else PENDING
        case JobState.RETRYING:
            return RETRY
        case JobState.SUCCEEDED:
            return SUCCESS if result_is_kept else custom or PENDING
        case JobState.FAILED:
            return FAILURE if error_is_kept else custom or PENDING
        case JobState.CANCELLED | JobState.EXPIRED:
            return REVOKED
        case _:
            assert_never(job_state)
