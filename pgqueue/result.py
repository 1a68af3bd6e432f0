"""The handle of a job: how it stands, its result, and waiting for it."""

from __future__ import annotations

import asyncio
import builtins
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pgqueue import states
from pgqueue.core import codec
from pgqueue.core.ids import canonical_id
from pgqueue.current import get_current_app, running
from pgqueue.exceptions import (
    OperationalError,
    PgQueueError,
    TimeoutError,  # noqa: A004 - ours is also the builtin
)
from pgqueue.results import error_is_kept, has_ended, state_of, value_of
from pgqueue.states import JobState
from pgqueue.store.queries import JobResult, cancel_jobs, forget_results, read_results

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from pgqueue.app import App

R_co = TypeVar("R_co", covariant=True)

__all__ = ["AsyncResult", "allow_join_result"]

_may_join: ContextVar[bool] = ContextVar("pgqueue_may_join", default=False)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Let a task wait for another's result in this block, at the price of a child that idles."""
    token = _may_join.set(True)
    try:
        yield
    finally:
        _may_join.reset(token)


class AsyncResult(Generic[R_co]):
    """The handle of a job, by its id; it reads the database when asked.

    What it read of an ended job it remembers. An id that nobody has sent reads PENDING; see
    `exists`.
    """

    def __init__(self, id: str | UUID, app: App | None = None) -> None:
        self.id = canonical_id(id)
        self._app = app
        self._ended: JobResult | None = None
        self.duplicate = False

    @property
    def app(self) -> App:
        """The App whose database it reads."""
        return self._app or get_current_app()

    @property
    def task_id(self) -> str:
        """The id of the job."""
        return self.id

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED, as in Celery."""
        return state_of(self._read(), self.app)

    status = state

    @property
    def result(self) -> R_co | BaseException | None:
        """What the task returned, or the exception that it raised; None until then."""
        return cast("R_co | BaseException | None", value_of(self._read()))

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of the failure, as text."""
        found = self._read()
        return found.traceback if found is not None and error_is_kept(found) else None

    @property
    def date_done(self) -> datetime | None:
        """When the job ended, in UTC."""
        found = self._read()
        return found.finished_at if found is not None and has_ended(found) else None

    @property
    def retries(self) -> int:
        """How many errors were retried."""
        found = self._read()
        return 0 if found is None else found.retries

    @property
    def queue(self) -> str | None:
        """The job's queue."""
        found = self._read()
        return None if found is None else found.queue

    @property
    def worker(self) -> str | None:
        """The name of the worker that ran it, or runs it."""
        found = self._read()
        return None if found is None else found.worker

    @property
    def name(self) -> str | None:
        """The name of the task."""
        found = self._read()
        return None if found is None else found.task

    @property
    def args(self) -> Any:
        """The positional arguments."""
        found = self._read()
        return None if found is None or found.args is None else codec.decode(found.args)

    @property
    def kwargs(self) -> Any:
        """The keyword arguments."""
        found = self._read()
        return None if found is None or found.kwargs is None else codec.decode(found.kwargs)

    @property
    def parent(self) -> AsyncResult[Any] | None:
        """The job whose task sent this one."""
        found = self._read()
        if found is None or found.parent_id is None:
            return None
        return AsyncResult(found.parent_id, app=self._app)

    def exists(self) -> bool:
        """Whether the database knows the job."""
        return self._read() is not None

    async def aexists(self) -> bool:
        """Async twin of `exists`."""
        return await self._aread() is not None

    def ready(self) -> bool:
        """Whether the job has ended."""
        return has_ended(self._read())

    async def aready(self) -> bool:
        """Async twin of `ready`."""
        return has_ended(await self._aread())

    def successful(self) -> bool:
        """Whether the job ended with a result."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether the job failed."""
        return self.state == states.FAILURE

    def get(
        self,
        timeout: float | timedelta | None = None,
        propagate: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        interval: float | None = None,  # noqa: ARG002 - accepted; notifications need none
    ) -> R_co:
        """Wait for the job's end and return its result; None if results are not kept.

        Args:
            timeout: seconds to wait; None waits for ever.
            propagate: raise the task's exception; False returns it.
            interval: Celery's time between polls; without effect.

        Raises:
            TimeoutError: the job has not ended in time.
            RuntimeError: inside a task (see `allow_join_result`), or for a job whose transaction
                is still open here.
            SchemaTooOld, ImproperlyConfigured: nothing can be asked of this database.
            TaskRevokedError: the job was cancelled, or expired.
            OperationalError: the database is out of reach.
            BaseException: whatever the task raised, of its own class.
        """
        self._refuse_to_block_a_child()
        if self.app.sender.may_undo(self.id) and not self.exists():
            raise self._endless_wait()
        deadline = _deadline(timeout)
        while (ended := self._ended) is None:
            if not self._is_noticed(deadline) and not self.ready():
                raise self._too_late(timeout)
            self._read_end(self.app.client.run(self._query()))
        return cast("R_co", _outcome_of(self.id, ended, propagate=propagate))

    async def aget(
        self,
        timeout: float | timedelta | None = None,
        propagate: bool = True,  # noqa: FBT001, FBT002
        interval: float | None = None,  # noqa: ARG002
    ) -> R_co:
        """Async twin of `get`."""
        self._refuse_to_block_a_child()
        if self.app.sender.may_undo(self.id) and not await self.aexists():
            raise self._endless_wait()
        deadline = _deadline(timeout)
        while (ended := self._ended) is None:
            if not await self._ais_noticed(deadline) and not await self.aready():
                raise self._too_late(timeout)
            self._read_end(await self.app.client.arun(self._query()))
        return cast("R_co", _outcome_of(self.id, ended, propagate=propagate))

    def __await__(self) -> Generator[Any, None, R_co]:
        return self.aget().__await__()

    wait = get

    def revoke(self) -> bool:
        """Cancel the job; False if it has ended. A run that has begun goes on, but is its last."""
        return self.id in self.app.client.run(cancel_jobs([self.id]))

    async def arevoke(self) -> bool:
        """Async twin of `revoke`."""
        return self.id in await self.app.client.arun(cancel_jobs([self.id]))

    def forget(self) -> None:
        """Drop what the job returned or raised, if it has ended; it reads PENDING then."""
        self._ended = None
        self.app.client.run(forget_results([self.id]))

    async def aforget(self) -> None:
        """Async twin of `forget`."""
        self._ended = None
        await self.app.client.arun(forget_results([self.id]))

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return other.id == self.id if isinstance(other, AsyncResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return (AsyncResult, (self.id,))

    def _query(self) -> Any:
        return read_results([self.id], result_expires=self.app.conf.result_expires)

    def _read(self) -> JobResult | None:
        return self._ended or self._remember(self.app.client.run(self._query()))

    async def _aread(self) -> JobResult | None:
        return self._ended or self._remember(await self.app.client.arun(self._query()))

    def _remember(self, found: dict[str, JobResult]) -> JobResult | None:
        result = found.get(self.id)
        if has_ended(result):
            self._ended = result
        return result

    def _is_noticed(self, deadline: float | None) -> bool:
        """Wait for the notice of the job's end; False: none came in time."""
        event = threading.Event()
        notice = _Notice(event.set)
        with notice.subscribed(self):
            if not event.wait(_seconds_until(deadline)):
                return False
        notice.check()
        return True

    async def _ais_noticed(self, deadline: float | None) -> bool:
        """Async twin of `_is_noticed`."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        notice = _Notice(lambda: loop.call_soon_threadsafe(event.set))
        with notice.subscribed(self):
            try:
                await asyncio.wait_for(event.wait(), _seconds_until(deadline))
            except builtins.TimeoutError:
                return False
        notice.check()
        return True

    def _read_end(self, found: dict[str, JobResult]) -> None:
        # A job that has not ended now was sent again since the notice: its new end is waited for.
        if self._remember(found) is None:
            raise OperationalError(
                f"job {self.id} has ended, and its history was removed before it could be read"
            )

    def _too_late(self, timeout: object) -> TimeoutError:
        return TimeoutError(f"job {self.id} has not ended within {timeout} s")

    def _refuse_to_block_a_child(self) -> None:
        if running.get() is not None and not _may_join.get():
            raise RuntimeError(
                f"a task waits for job {self.id} and blocks a child meanwhile: let the next task "
                "be sent by the end of this one, or use `with allow_join_result()`"
            )

    def _endless_wait(self) -> RuntimeError:
        return RuntimeError(
            f"job {self.id} was sent in the transaction of `with app.using(…)`, which is still "
            "open: it cannot run before the commit, so wait for it after that"
        )


class _Notice:
    """One wait: hears of the end, or of the trouble that keeps anybody from knowing."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._trouble: PgQueueError | None = None

    def __call__(self, trouble: PgQueueError | None) -> None:
        self._trouble = trouble
        self._wake()

    @contextmanager
    def subscribed(self, result: AsyncResult[Any]) -> Iterator[None]:
        waiter = result.app.client.waiter
        waiter.subscribe(result.id, self)
        try:
            yield
        finally:
            waiter.unsubscribe(result.id, self)

    def check(self) -> None:
        if self._trouble is not None:
            raise self._trouble


def _outcome_of(job_id: str, ended: JobResult, *, propagate: bool) -> Any:
    value = value_of(ended)
    if ended.state == JobState.SUCCEEDED or not propagate or not isinstance(value, BaseException):
        return value
    if ended.traceback:
        value.add_note(f"in job {job_id} on {ended.worker}:\n{ended.traceback}")
    raise value


def _deadline(timeout: float | timedelta | None) -> float | None:
    if timeout is None:
        return None
    seconds = timeout if isinstance(timeout, int | float) else timeout.total_seconds()
    return time.monotonic() + seconds


def _seconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)
