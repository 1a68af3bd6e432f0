"""The job that a task is running for, as the task sees it: `self.request`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


class Request:
    """What is known about the current run.

    `attempt` counts the runs begun, this one included; `retries` the errors retried before it;
    `crashes` the runs that died. A task that is simply called has a request with
    `called_directly`, and no id.
    """

    __slots__ = (
        "_again",
        "args",
        "attempt",
        "called_directly",
        "chord",
        "crashes",
        "delivery_info",
        "due_at",
        "eta",
        "expires",
        "group",
        "headers",
        "hostname",
        "id",
        "ignore_result",
        "is_eager",
        "kwargs",
        "parent_id",
        "priority",
        "properties",
        "queue",
        "retries",
        "root_id",
        "schedule",
        "shadow",
        "task",
    )

    def __init__(self) -> None:
        self.id: str | None = None
        self.task: str | None = None
        self.args: Any = ()
        self.kwargs: dict[str, Any] = {}
        self.attempt = 0
        self.retries = 0
        self.crashes = 0
        self.queue: str | None = None
        self.priority: int | None = None
        self.hostname: str | None = None
        self.root_id: str | None = None
        self.parent_id: str | None = None
        self.group: str | None = None
        self.headers: dict[str, Any] | None = None
        self.shadow: str | None = None
        self.ignore_result = False
        self.called_directly = True
        self.is_eager = False
        self.delivery_info: dict[str, Any] = {}
        self.properties: dict[str, Any] = {}
        # What no worker tells its tasks in this release.
        self.eta: str | None = None
        self.expires: str | None = None
        self.chord: Any = None
        self.schedule: str | None = None
        self.due_at: datetime | None = None
        # What `retry(throw=False)` asked for; the worker reads it when the task has returned.
        self._again: Any = None

    @property
    def correlation_id(self) -> str | None:
        """Celery's other name for the id."""
        return self.id

    def get(self, name: str, default: Any = None) -> Any:
        """The field `name`, or `default` if there is none."""
        return getattr(self, name, default)

    def __repr__(self) -> str:
        return f"<Request: {self.task}[{self.id}] attempt {self.attempt}>"
