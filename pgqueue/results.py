"""Results as programs look at them: how a job stands, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgqueue import states
from pgqueue.core import codec, errors
from pgqueue.core.ids import canonical_id
from pgqueue.exceptions import TaskRevokedError
from pgqueue.states import JobState
from pgqueue.store.queries import JobResult, forget_results, read_results

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from pgqueue.app import App

__all__ = ["Result", "Results", "error_is_kept", "has_ended", "state_of", "value_of"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a job stands, read once; `state` and `value` are those of `AsyncResult`.

    `children` is None: which jobs a job has sent is not known in this release.
    """

    state: str
    value: Any
    traceback: str | None
    children: list[str] | None
    date_done: datetime | None
    group_id: str | None
    ready: bool


class Results:
    """Reads and forgets the results of one App's jobs; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def get(self, id: str | UUID) -> Result | None:
        """How the job stands, or None if the database does not know the id; waits for nothing."""
        job_id = canonical_id(id)
        expires = self._app.conf.result_expires
        found = self._app.client.run(read_results([job_id], result_expires=expires))
        return _result(found.get(job_id), self._app)

    async def aget(self, id: str | UUID) -> Result | None:
        """Async twin of `get`."""
        job_id = canonical_id(id)
        expires = self._app.conf.result_expires
        found = await self._app.client.arun(read_results([job_id], result_expires=expires))
        return _result(found.get(job_id), self._app)

    def forget(self, id: str | UUID) -> bool:
        """Drop what an ended job returned, or its exception; its state and error text stay in SQL.

        False: it has not ended, or is unknown.
        """
        job_id = canonical_id(id)
        return job_id in self._app.client.run(forget_results([job_id]))

    async def aforget(self, id: str | UUID) -> bool:
        """Async twin of `forget`."""
        job_id = canonical_id(id)
        return job_id in await self._app.client.arun(forget_results([job_id]))


def has_ended(found: JobResult | None) -> bool:
    """Whether the job is there and has ended."""
    return found is not None and JobState(found.state).is_final


def error_is_kept(found: JobResult) -> bool:
    """Whether the exception of the last failure can still be read."""
    return found.error_data is not None and not found.has_expired


def state_of(found: JobResult | None, app: App) -> str:
    """The state as Celery names it."""
    if found is None:
        return states.PENDING
    return states.task_state(
        JobState(found.state),
        retries=found.retries,
        track_started=_tracks_start(found, app),
        custom=None,
        result_is_kept=found.result is not None and not found.has_expired,
        error_is_kept=error_is_kept(found),
    )


def value_of(found: JobResult | None) -> Any:
    """What the task returned, or the exception that it raised; None if there is neither."""
    if found is None or found.has_expired:
        return None
    if found.state == JobState.SUCCEEDED:
        return None if found.result is None else codec.decode(found.result)
    if found.state in {JobState.CANCELLED, JobState.EXPIRED}:
        return TaskRevokedError("expired" if found.state == JobState.EXPIRED else "revoked")
    if found.error_data is not None and found.error is not None:
        return errors.restore(found.error_type or "Exception", found.error_data, found.error)
    return None


def _tracks_start(found: JobResult, app: App) -> bool:
    tracks = getattr(app.tasks.get(found.task), "track_started", None)
    return bool(app.conf.task_track_started if tracks is None else tracks)


def _result(found: JobResult | None, app: App) -> Result | None:
    if found is None:
        return None
    ready = has_ended(found)
    return Result(
        state=state_of(found, app),
        value=value_of(found),
        traceback=found.traceback if error_is_kept(found) else None,
        children=None,
        date_done=found.finished_at if ready else None,
        group_id=found.group_id,
        ready=ready,
    )
