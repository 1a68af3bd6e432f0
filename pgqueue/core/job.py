"""A job as it is sent, and as a worker claims it: plain values, no behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


class NewJob(NamedTuple):
    """One requested call of a task, checked and serialised: nothing about it can be refused later.

    A tuple, because a bulk insert makes 100 000 of them.

    `args`, `kwargs` and `options` are JSON texts. `eta` and `expires_at` are moments, `delay` and
    `lifetime` seconds from the enqueue on the database's clock. `is_named`: the caller chose the id.
    """

    id: str
    task: str
    queue: str
    priority: int
    args: str = "[]"
    kwargs: str = "{}"
    options: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    eta: datetime | None = None
    delay: float | None = None
    expires_at: datetime | None = None
    lifetime: float | None = None
    is_named: bool = False


class ClaimedJob(NamedTuple):
    """A row that a worker has claimed, as it travels to the child that runs it.

    A tuple, because it crosses a pipe at job rate. (`id`, `claim`) is the fence of all that is
    written about this run. `task` is None when the job's row is missing. `family` is
    "root,parent,group" without the missing ones; `clock_offset` added to `time.monotonic()`
    gives the database's clock in seconds since the epoch.
    """

    id: str
    attempt: int
    retries: int
    crashes: int
    task: str | None
    args: str
    kwargs: str
    options: str | None
    is_expired: bool | None
    family: str | None
    queue: str
    priority: int
    claim: int
    clock_offset: float
