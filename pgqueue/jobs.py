"""Jobs as programs look at them: rows of the view `pgqueue.jobs`, and what operators do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.core.ids import canonical_id
from pgqueue.store import queries
from pgqueue.store.queries import Job

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pgqueue.store.client import Client

__all__ = ["Job", "Jobs"]

Page = list[Job]  # inside the class, `list` is the method


class Jobs:
    """Looks at jobs, cancels and retries them; every call is a transaction of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, id: str) -> Job | None:
        """The job, or None if the database does not know the id."""
        found = self._client.run(queries.list_jobs(id=canonical_id(id), limit=1))
        return found[0] if found else None

    async def aget(self, id: str) -> Job | None:
        """Async twin of `get`."""
        found = await self._client.arun(queries.list_jobs(id=canonical_id(id), limit=1))
        return found[0] if found else None

    def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Jobs, newest first; `after` is the last id of the page before."""
        return self._client.run(
            queries.list_jobs(
                state=state, queue=queue, task=task, since=since, limit=limit, after=after
            )
        )

    async def alist(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        """Async twin of `list`."""
        return await self._client.arun(
            queries.list_jobs(
                state=state, queue=queue, task=task, since=since, limit=limit, after=after
            )
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
        return self._client.run(
            queries.count_jobs(state=state, queue=queue, task=task, since=since)
        )

    async def acount(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        since: datetime | None = None,
    ) -> int:
        """Async twin of `count`."""
        return await self._client.arun(
            queries.count_jobs(state=state, queue=queue, task=task, since=since)
        )

    def cancel(self, ids: str | Iterable[str]) -> set[str]:
        """Cancel jobs; returns the ids of those that had not ended. What runs, runs to its end."""
        return self._client.run(queries.cancel_jobs(_ids(ids)))

    async def acancel(self, ids: str | Iterable[str]) -> set[str]:
        """Async twin of `cancel`."""
        return await self._client.arun(queries.cancel_jobs(_ids(ids)))

    def retry(self, ids: str | Iterable[str]) -> set[str]:
        """Run ended jobs again; returns the ids of those that had ended."""
        return self._client.run(queries.retry_jobs(_ids(ids)))

    async def aretry(self, ids: str | Iterable[str]) -> set[str]:
        """Async twin of `retry`."""
        return await self._client.arun(queries.retry_jobs(_ids(ids)))

    def explain(self, id: str) -> str:
        """Why the job does not run, in a sentence."""
        return self._client.run(queries.explain_job(canonical_id(id)))

    async def aexplain(self, id: str) -> str:
        """Async twin of `explain`."""
        return await self._client.arun(queries.explain_job(canonical_id(id)))


def _ids(ids: str | Iterable[str]) -> list[str]:
    return [canonical_id(ids)] if isinstance(ids, str) else [canonical_id(one) for one in ids]
