"""Jobs as programs look at them: rows of the view `pgqueue.jobs`, and what operators do to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from pgqueue.call import aware
from pgqueue.core.ids import canonical_id, canonical_ids
from pgqueue.states import JobState
from pgqueue.store import queries
from pgqueue.store.queries import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pgqueue.app import App
    from pgqueue.store.query import Query

__all__ = ["Job", "Jobs"]

Page = list[Job]  # inside the class, `list` is the method
Names = Sequence[str]
Ids = str | UUID | Iterable[str | UUID]
PAGE_OF_A_CHANGE: Final = 1000


class Jobs:
    """Looks at jobs, cancels and retries them; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def get(self, id: str | UUID) -> Job | None:
        """The job, or None if the database does not know the id."""
        found = self._app.client.run(queries.list_jobs(id=canonical_id(id), limit=1))
        return found[0] if found else None

    async def aget(self, id: str | UUID) -> Job | None:
        """Async twin of `get`."""
        found = await self._app.client.arun(queries.list_jobs(id=canonical_id(id), limit=1))
        return found[0] if found else None

    def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: str | UUID | None = None,
    ) -> Page:
        """Jobs, newest first; `after` is the last id of the page before.

        Raises:
            ValueError: there is no such state, `limit` is below 1, or `after` is no id.
        """
        only = self._only(state=state, queue=queue, task=task, since=since)
        return self._app.client.run(
            queries.list_jobs(limit=_checked_limit(limit), after=_optional_id(after), **only)
        )

    async def alist(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: str | UUID | None = None,
    ) -> Page:
        """Async twin of `list`."""
        only = self._only(state=state, queue=queue, task=task, since=since)
        return await self._app.client.arun(
            queries.list_jobs(limit=_checked_limit(limit), after=_optional_id(after), **only)
        )

    def count(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
    ) -> int:
        """How many jobs there are."""
        only = self._only(state=state, queue=queue, task=task, since=since)
        return self._app.client.run(queries.count_jobs(**only))

    async def acount(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
    ) -> int:
        """Async twin of `count`."""
        only = self._only(state=state, queue=queue, task=task, since=since)
        return await self._app.client.arun(queries.count_jobs(**only))

    def cancel(
        self,
        ids: Ids | None = None,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
    ) -> set[str]:
        """Cancel jobs; returns the ids of those that had not ended. What runs, runs to its end.

        Named by their ids, or by what they have in common: then those of a page are a transaction.

        Raises:
            TypeError: neither ids nor anything in common is given, or both.
            ValueError: there is no such state, or an id is none.
        """
        only = self._only(state=state, queue=queue, task=task)
        return self._change(queries.cancel_jobs, ids, only)

    async def acancel(
        self,
        ids: Ids | None = None,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
    ) -> set[str]:
        """Async twin of `cancel`."""
        only = self._only(state=state, queue=queue, task=task)
        return await self._achange(queries.cancel_jobs, ids, only)

    def retry(
        self,
        ids: Ids | None = None,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
    ) -> set[str]:
        """Run ended jobs again; returns the ids of those that had ended.

        Named by their ids, or by what they have in common: then those of a page are a transaction.

        Raises:
            TypeError: neither ids nor anything in common is given, or both.
            ValueError: there is no such state, or an id is none.
        """
        only = self._only(state=state, queue=queue, task=task)
        return self._change(queries.retry_jobs, ids, only)

    async def aretry(
        self,
        ids: Ids | None = None,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
    ) -> set[str]:
        """Async twin of `retry`."""
        only = self._only(state=state, queue=queue, task=task)
        return await self._achange(queries.retry_jobs, ids, only)

    def explain(self, id: str | UUID) -> str:
        """Why the job does not run, in a sentence."""
        return self._app.client.run(queries.explain_job(canonical_id(id)))

    async def aexplain(self, id: str | UUID) -> str:
        """Async twin of `explain`."""
        return await self._app.client.arun(queries.explain_job(canonical_id(id)))

    def _change(
        self, change: Callable[[Names], Query[set[str]]], ids: Ids | None, only: dict[str, Any]
    ) -> set[str]:
        client = self._app.client
        if _names_ids(ids, only):
            return client.run(change(canonical_ids(ids)))
        changed: set[str] = set()
        page = client.run(queries.list_jobs(limit=PAGE_OF_A_CHANGE, **only))
        while page:
            found = [job.id for job in page]
            done: set[str] = client.run(change(found))
            changed |= done
            page = client.run(queries.list_jobs(limit=PAGE_OF_A_CHANGE, after=found[-1], **only))
        return changed

    async def _achange(
        self, change: Callable[[Names], Query[set[str]]], ids: Ids | None, only: dict[str, Any]
    ) -> set[str]:
        client = self._app.client
        if _names_ids(ids, only):
            return await client.arun(change(canonical_ids(ids)))
        changed: set[str] = set()
        page = await client.arun(queries.list_jobs(limit=PAGE_OF_A_CHANGE, **only))
        while page:
            found = [job.id for job in page]
            done: set[str] = await client.arun(change(found))
            changed |= done
            page = await client.arun(
                queries.list_jobs(limit=PAGE_OF_A_CHANGE, after=found[-1], **only)
            )
        return changed

    def _only(
        self,
        *,
        state: str | None,
        queue: str | None,
        task: str | None,
        since: datetime | None = None,
    ) -> dict[str, Any]:
        if state is not None and state not in set(JobState):
            raise ValueError(f"{state!r} is no state of a job: they are {', '.join(JobState)}")
        return {
            "state": None if state is None else str(state),
            "queue": queue,
            "task": task,
            "since": None if since is None else aware(since, self._app),
        }


def _names_ids(ids: Ids | None, only: dict[str, Any]) -> bool:
    by_filter = any(value is not None for value in only.values())
    if by_filter == (ids is not None):
        raise TypeError("give ids, or else one or more of state=, queue= and task=")
    return ids is not None


def _checked_limit(limit: Any) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ValueError(f"limit {limit!r} is no whole number from 1 up")
    return min(limit, 2**31 - 1)  # PostgreSQL's integer


def _optional_id(id: str | UUID | None) -> str | None:
    return None if id is None else canonical_id(id)
