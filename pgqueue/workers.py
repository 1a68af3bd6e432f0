"""Workers as operators look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgqueue.store.queries import WorkerRow, list_workers

if TYPE_CHECKING:
    from pgqueue.app import App

__all__ = ["WorkerRow", "Workers"]

Rows = list[WorkerRow]  # inside the class, `list` is the method


class Workers:
    """The workers of one App's database; every call is a transaction of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    def list(self) -> Rows:
        """The workers that have registered and not stopped, by name; `alive`: they still beat."""
        return self._app.client.run(list_workers())

    async def alist(self) -> Rows:
        """Async twin of `list`."""
        return await self._app.client.arun(list_workers())
