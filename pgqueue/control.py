"""Celery's `app.control`: what one may do to queues and jobs from anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.core.ids import canonical_id
from pgqueue.store.queries import cancel_jobs, purge_queues

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgqueue.app import App

__all__ = ["Control"]


class Control:
    """Commands of one App; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def purge(self, queues: Sequence[str] | None = None) -> int:
        """Cancel all that waits in the queues (default: the App's); returns how many jobs."""
        return self._app.client.run(purge_queues(self._queues(queues)))

    async def apurge(self, queues: Sequence[str] | None = None) -> int:
        """Async twin of `purge`."""
        return await self._app.client.arun(purge_queues(self._queues(queues)))

    def revoke(self, task_id: str | Iterable[str]) -> None:
        """Cancel jobs; a run that has begun goes on, but is its last."""
        self._app.client.run(cancel_jobs(_ids(task_id)))

    async def arevoke(self, task_id: str | Iterable[str]) -> None:
        """Async twin of `revoke`."""
        await self._app.client.arun(cancel_jobs(_ids(task_id)))

    def _queues(self, queues: Sequence[str] | None) -> list[str]:
        return list(queues) if queues else [self._app.conf.task_default_queue]


def _ids(task_id: str | Iterable[str]) -> list[str]:
    return (
        [canonical_id(task_id)] if isinstance(task_id, str) else [canonical_id(i) for i in task_id]
    )
