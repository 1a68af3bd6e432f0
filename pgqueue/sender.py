"""Send jobs: on a connection of our own, or in the caller's transaction."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

from pgqueue.core.setting_catalogue import KNOWN_SETTINGS, mapping_by_name
from pgqueue.options import refuse_unknown, retry_limit, seconds
from pgqueue.store import handles
from pgqueue.store.client import RetryPolicy
from pgqueue.store.queries import insert_jobs, insert_named_jobs, new_send_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pgqueue.core.job import NewJob
    from pgqueue.store.client import Client
    from pgqueue.store.query import Query

_POLICY: Final = cast(
    "Mapping[str, Any]", mapping_by_name(KNOWN_SETTINGS)["task_publish_retry_policy"].default
)
# Celery's other words: what is retried, and a callback. Here the first is not a matter of choice.
_WITHOUT_EFFECT: Final = frozenset({"errback", "retry_errors"})


class Joined:
    """A block in which everything sent joins one transaction; with connection None, nobody's."""

    def __init__(self, connection: object, *, outer: Joined | None) -> None:
        self.connection = connection
        self.outer = outer
        self.is_open = True
        self._sent: dict[str, handles.Handle | handles.AsyncHandle] = {}
        self._thread = threading.get_ident()
        self._is_async = connection is None or handles.is_async(connection)

    def check(self) -> None:
        """Refuse a send that would go elsewhere than its author thinks.

        Raises:
            RuntimeError: the block has ended, or this is another thread.
        """
        if not self.is_open:
            raise RuntimeError(
                "this code was started inside `with app.using(…)` and sends after the block has "
                "ended: send inside it, or begin with `with app.using(None)`"
            )
        if not self._is_async and threading.get_ident() != self._thread:
            raise RuntimeError(
                "the connection of `with app.using(…)` belongs to another thread: send there, "
                "or begin with `with app.using(None)`"
            )

    def note(self, jobs: Sequence[NewJob], handle: handles.Handle | handles.AsyncHandle) -> None:
        """Remember what was sent, if it may still be undone."""
        if handle.in_transaction():
            self._sent.update(dict.fromkeys((job.id for job in jobs), handle))

    def may_undo(self, job_id: str) -> bool:
        """Whether the job was sent here, or in a block around this one, and no COMMIT came since.

        As far as the connection knows: also if the transaction has ended and another has begun.
        """
        handle = self._sent.get(job_id) if self.is_open else None
        if handle is not None and handle.in_transaction():
            return True
        return self.outer is not None and self.outer.may_undo(job_id)


class Sender:
    """Sends jobs for one App."""

    def __init__(
        self, client: Client, *, retry: Callable[[], RetryPolicy], notify: Callable[[], bool]
    ) -> None:
        self._client = client
        self._retry = retry
        self._notify = notify
        self._joined: ContextVar[Joined | None] = ContextVar("pgqueue_joined", default=None)

    @contextmanager
    def using(self, connection: object | None) -> Iterator[None]:
        """Make what is sent in the block join `connection`'s transaction; None: nobody's."""
        joined = Joined(connection, outer=self._joined.get())
        token = self._joined.set(joined)
        try:
            yield
        finally:
            joined.is_open = False
            self._joined.reset(token)

    def send(
        self,
        jobs: Sequence[NewJob],
        *,
        connection: object | None,
        twin: str,
        retry: RetryPolicy | None = None,
    ) -> list[str]:
        """Insert the jobs, all or none; returns the ids that refused it (then none was sent).

        In the caller's transaction if a connection is given or a `using` block is open, else
        committed at once, with `retry` when the database is out of reach. `twin` is the name of
        the asynchronous call, for the error message.

        Raises:
            TypeError: the connection is asynchronous, or none.
            RuntimeError: the `using` block has ended.
            OperationalError: the database is out of reach.
            SchemaTooOld: the schema does not fit.
        """
        joined, connection = self._target(connection)
        if not jobs:
            return []
        query = self._query(jobs)
        if connection is None:
            refused = self._client.run(query, retry=retry or self._retry())
        else:
            handle = handles.sync_handle(connection, twin=twin)
            refused = self._client.run_on(handle, query)
            if joined is not None:
                joined.note(jobs, handle)
        return refused

    async def asend(
        self,
        jobs: Sequence[NewJob],
        *,
        connection: object | None,
        twin: str,
        retry: RetryPolicy | None = None,
    ) -> list[str]:
        """Async twin of `send`; `twin` is the name of the synchronous call."""
        joined, connection = self._target(connection)
        if not jobs:
            return []
        query = self._query(jobs)
        if connection is None:
            refused = await self._client.arun(query, retry=retry or self._retry())
        else:
            handle = handles.async_handle(connection, twin=twin)
            refused = await self._client.arun_on(handle, query)
            if joined is not None:
                joined.note(jobs, handle)
        return refused

    def may_undo(self, job_id: str) -> bool:
        """Whether the job was sent in a `using` block around here whose transaction is open.

        If others can see the job all the same, its transaction has ended and this is the next.
        """
        joined = self._joined.get()
        return joined is not None and joined.may_undo(job_id)

    def _target(self, connection: object | None) -> tuple[Joined | None, object | None]:
        if connection is not None:
            return None, connection
        joined = self._joined.get()
        if joined is None or joined.connection is None:
            return None, None
        joined.check()
        return joined, joined.connection

    def _query(self, jobs: Sequence[NewJob]) -> Query[list[str]]:
        send_id, notify = new_send_id(), self._notify()
        if any(job.is_named for job in jobs):
            _refuse_repeated_ids(jobs)
            return insert_named_jobs(jobs, send_id=send_id, notify=notify)
        return insert_jobs(jobs, send_id=send_id, notify=notify)


def retry_policy(given: Mapping[str, Any]) -> RetryPolicy:
    """Celery's `retry_policy` dict; what it leaves out is as in the setting's default.

    Raises:
        TypeError: it has other keys.
        ValueError: a value is out of range.
    """
    refuse_unknown(given.keys() - _WITHOUT_EFFECT, _POLICY, "retry_policy")
    policy = {**_POLICY, **given}
    return RetryPolicy(
        max_retries=retry_limit(policy["max_retries"]),
        interval_start=seconds(policy["interval_start"]),
        interval_step=seconds(policy["interval_step"]),
        interval_max=seconds(policy["interval_max"]),
    )


def _refuse_repeated_ids(jobs: Sequence[NewJob]) -> None:
    ids = [job.id for job in jobs]
    if len(set(ids)) < len(ids):
        twice = next(job_id for job_id in ids if ids.count(job_id) > 1)
        raise ValueError(f"task_id {twice} is given to two jobs of one send: each needs its own")
