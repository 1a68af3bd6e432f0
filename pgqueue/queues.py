"""Queues as operators look at them: how deep they are, and what may be done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.options import queue_name
from pgqueue.store.queries import QueueRow, list_queues, pause_queue, purge_queues

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgqueue.app import App

__all__ = ["QueueRow", "Queues"]

Rows = list[QueueRow]  # inside the class, `list` is the method
Names = list[str]


class Queues:
    """The queues of one App's database; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self) -> Rows:
        """The queues that have ready jobs, a worker or a pause, by name."""
        return self._app.client.run(list_queues())

    async def alist(self) -> Rows:
        """Async twin of `list`."""
        return await self._app.client.arun(list_queues())

    def pause(self, name: str) -> bool:
        """Let no worker begin jobs of the queue; False if it is paused already."""
        return self._app.client.run(pause_queue(queue_name(name), paused=True))

    async def apause(self, name: str) -> bool:
        """Async twin of `pause`."""
        return await self._app.client.arun(pause_queue(queue_name(name), paused=True))

    def resume(self, name: str) -> bool:
        """Let workers begin jobs of the queue again; False if it is not paused."""
        return self._app.client.run(pause_queue(queue_name(name), paused=False))

    async def aresume(self, name: str) -> bool:
        """Async twin of `resume`."""
        return await self._app.client.arun(pause_queue(queue_name(name), paused=False))

    def purge(self, names: str | Iterable[str] | None = None) -> int:
        """Cancel all that waits in the queues (default: the App's); returns how many jobs."""
        return self._app.client.run(purge_queues(self._names(names)))

    async def apurge(self, names: str | Iterable[str] | None = None) -> int:
        """Async twin of `purge`."""
        return await self._app.client.arun(purge_queues(self._names(names)))

    def _names(self, names: str | Iterable[str] | None) -> Names:
        if names is None:
            return [self._app.conf.task_default_queue]
        return [queue_name(one) for one in ([names] if isinstance(names, str) else names)]
