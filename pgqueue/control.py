"""Celery's `app.control`: what one may do to queues and jobs from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.core.ids import canonical_ids
from pgqueue.store.queries import cancel_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from pgqueue.app import App

__all__ = ["Control"]


class Control:
    """Commands of one App; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def purge(self, queues: str | Iterable[str] | None = None) -> int:
        """Cancel all that waits in the queues (default: the App's); returns how many jobs."""
        return self._app.queues.purge(queues)

    async def apurge(self, queues: str | Iterable[str] | None = None) -> int:
        """Async twin of `purge`."""
        return await self._app.queues.apurge(queues)

    def revoke(self, task_id: str | UUID | Iterable[str | UUID]) -> None:
        """Cancel jobs; a run that has begun goes on, but is its last."""
        self._app.client.run(cancel_jobs(canonical_ids(task_id)))

    async def arevoke(self, task_id: str | UUID | Iterable[str | UUID]) -> None:
        """Async twin of `revoke`."""
        await self._app.client.arun(cancel_jobs(canonical_ids(task_id)))
