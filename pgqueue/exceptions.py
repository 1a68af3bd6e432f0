"""Everything that pgqueue raises, under one root: `PgQueueError`.

The names and their meaning are Celery's where Celery has them. Two stand outside the root on
purpose: `WorkerShutdown` and `WorkerTerminate` are `SystemExit`, so that no `except Exception` in a
task or a signal handler keeps a worker from stopping.
"""

from __future__ import annotations

import builtins
import math
import pickle
from datetime import timedelta
from numbers import Number

__all__ = [
    "AlreadyQueued",
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "ContentDisallowed",
    "DecodeError",
    "DuplicateNodenameWarning",
    "EncodeError",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "PayloadTooLarge",
    "PgQueueError",
    "PgQueueWarning",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SchemaTooOld",
    "SecurityError",
    "Snooze",
    "SoftTimeLimitExceeded",
    "StaleAttempt",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
]


class PgQueueError(Exception):
    """The root: `except PgQueueError` catches whatever pgqueue raises by itself."""


# What Celery calls its own roots, so that a ported `except CeleryError` keeps its meaning.
CeleryError = PgQueueError


# Warnings


class PgQueueWarning(UserWarning):
    """The root of pgqueue's warnings, for `warnings.filterwarnings`."""


CeleryWarning = PgQueueWarning


class AlwaysEagerIgnored(PgQueueWarning):
    """`send_task` sent a job although `task_always_eager` is set: a name alone cannot run here."""


class DuplicateNodenameWarning(PgQueueWarning):
    """Two living workers share a name; the second goes on as `name#2`. Use `-n` to name it."""


class FixupWarning(PgQueueWarning):
    """The host framework is set up in a way that hurts a worker, such as Django's DEBUG."""


# Configuration and the database


class ImproperlyConfigured(PgQueueError):
    """A setting is unknown, contradicts another or cannot be used; raised as soon as it is known.

    Correct the setting that the message names; `pgqueue config` shows where each value came from.
    """


class SecurityError(PgQueueError):
    """A job or a message failed a security check, such as a signature; it was not run."""


class OperationalError(PgQueueError):
    """The database cannot be reached, or gave up on a statement; nothing was sent.

    Raised by `delay()` and its kin after `retry_policy` is used up. Sending again is safe.
    """


class SchemaTooOld(PgQueueError):
    """The database has no pgqueue schema, or an older one than this version needs.

    Raised before the caller's transaction is touched. Run the command in the message.
    """


class BackendError(PgQueueError):
    """A result could not be read or stored. Its cause is the database's own error."""


class BackendGetMetaError(BackendError):
    """The result of job `task_id` could not be read."""

    def __init__(self, *args: object, task_id: str = "") -> None:
        super().__init__(*args)
        self.task_id = task_id


class BackendStoreError(BackendError):
    """The state or the result of job `task_id` could not be stored."""

    def __init__(self, *args: object, state: str = "", task_id: str = "") -> None:
        super().__init__(*args)
        self.state = state
        self.task_id = task_id


# Payloads


class EncodeError(PgQueueError):
    """A value cannot be written as JSON; `path` says where in it, such as `args[0]['a'][3]`.

    Raised by the call that sends, before any SQL; for a result, the job fails with it.
    """

    def __init__(self, message: str = "", path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DecodeError(PgQueueError):
    """A stored value cannot be read back: it is not JSON, or not the form that its tag promises.

    Something other than pgqueue wrote the row. A job with such arguments fails with this error.
    """


class ContentDisallowed(PgQueueError):
    """A job came in a serializer that `accept_content` does not list; it fails and is not read."""


class PayloadTooLarge(PgQueueError):
    """Arguments or a result exceed `max_payload_bytes`; raised before any SQL.

    Store the data elsewhere and send its key, or raise the setting.
    """


# What a task raises to say how its attempt ends


class TaskPredicate(PgQueueError):
    """The root of what a task raises to steer its job: these are outcomes, not failures."""


class Retry(TaskPredicate):
    """The job runs again at `when`: seconds from now, or a moment. Raised by `task.retry()`.

    `exc` is the error behind it; `excs` its text, which also survives when the error itself cannot
    be pickled.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: object = None,
        is_eager: bool = False,  # noqa: FBT001, FBT002 - Celery's signature
        sig: object = None,
    ) -> None:
        super().__init__(message, exc, when)
        self.message = message
        self.exc = None if isinstance(exc, str) else exc
        self.excs = exc if isinstance(exc, str) else _safe_repr(exc) if exc is not None else None
        self.when = when
        self.is_eager = is_eager
        self.sig = sig

    def humanize(self) -> str:
        """Return when the job runs again, to be read by people: `in 3s` or `at <moment>`."""
        if isinstance(self.when, Number):
            return f"in {self.when}s"
        return f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        if self.excs:
            return f"Retry {self.humanize()}: {self.excs}"
        return f"Retry {self.humanize()}"

    def __reduce__(self) -> tuple[object, ...]:
        # Without `sig`, as in Celery: it may hold an App. An error that cannot travel goes as text.
        exc = self.exc if self.exc is not None and _can_be_pickled(self.exc) else self.excs
        return (type(self), (self.message, exc, self.when, self.is_eager), {"excs": self.excs})


class Ignore(TaskPredicate):
    """The job ends as succeeded and stores no result; a custom state set before stays."""


class Reject(TaskPredicate):
    """The job ends as failed with `reason`; with `requeue` it is ready again instead."""

    def __init__(self, reason: object = None, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class Snooze(TaskPredicate):
    """The job runs again after `seconds` as if this attempt had not been: no retry is spent."""

    def __init__(self, seconds: float | timedelta) -> None:
        super().__init__(seconds)
        self.seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"Snooze takes a number of seconds, 0 or more, not {seconds!r}")

    def __str__(self) -> str:
        return f"again in {self.seconds:g}s"


# Tasks and jobs


class TaskError(PgQueueError):
    """The root of errors about tasks and their jobs."""


class NotRegistered(KeyError, TaskError):
    """No task of that name is known here. Import the module that defines it (`include=`)."""

    def __str__(self) -> str:
        return _sentence(self)  # KeyError's own would show the message in quotes


class QueueNotFound(KeyError, TaskError):
    """A job is routed to a queue that is not in `task_queues`.

    Declare the queue, or set `task_create_missing_queues`.
    """

    def __str__(self) -> str:
        return _sentence(self)


class AlreadyRegistered(TaskError):
    """Two different tasks claim one name. Give one of them `name=`."""


class AlreadyQueued(TaskError):
    """A job with this id exists and is not finished; nothing was sent.

    `result` is the handle of the existing job. Raised by any send with an explicit `task_id`; by a
    bulk or a canvas for the whole of it.
    """

    def __init__(self, message: str = "", result: object = None) -> None:
        super().__init__(message)
        self.result = result


class MaxRetriesExceededError(TaskError):
    """`task.retry()` without `exc` was called more often than `max_retries`; the job fails."""

    def __init__(self, *args: object, task_args: object = (), task_kwargs: object = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = {} if task_kwargs is None else task_kwargs


class InvalidTaskError(TaskError):
    """A job's stored form makes no sense: arguments that are no list, an unknown canvas step."""


class IncompleteStream(TaskError):
    """The end of a stream of results was reached before all had arrived."""


class ChordError(TaskError):
    """A header job of a chord failed, so its body does not run; raised by the body's `get()`."""


class TaskRevokedError(TaskError):
    """The job was cancelled or has expired: there will be no result. Raised by `get()`."""


class TimeoutError(TaskError, builtins.TimeoutError):  # noqa: A001 - Celery's name
    """`get(timeout=)` ran out. The job goes on; asking again later is fine."""


class StaleAttempt(TaskError):
    """This attempt lost its lease: the job was rescued or cancelled, and may run elsewhere.

    Raised where an atomic task would commit; all its SQL rolls back. There is nothing to do.
    """


# The process that runs a job


class SoftTimeLimitExceeded(PgQueueError):
    """Raised inside a task at its soft time limit, to let it clean up before the hard one."""


class TimeLimitExceeded(PgQueueError):
    """The hard time limit passed and the child was killed.

    The job fails, or retries if `autoretry_for` covers this class.
    """


class WorkerLostError(PgQueueError):
    """The child, the worker or its host died during the job, `max_crashes` times; the job fails.

    Without `acks_late` once is enough.
    """


class Terminated(PgQueueError):
    """The job was running and was killed by `revoke(terminate=True)`."""


class WorkerShutdown(SystemExit):
    """Raise it in a worker (a signal handler, a bootstep) for a warm stop: running jobs finish."""


class WorkerTerminate(SystemExit):
    """Raise it in a worker for a cold stop: running jobs are given back."""


def _sentence(exc: BaseException) -> str:
    return str(exc.args[0]) if len(exc.args) == 1 else ", ".join(map(str, exc.args))


def _safe_repr(exc: BaseException) -> str:
    try:
        return repr(exc)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(exc).__qualname__} that cannot be shown>"


def _can_be_pickled(exc: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(exc))  # noqa: S301 - our own bytes; some classes fail only on the way back
    except Exception:  # noqa: BLE001 - a foreign __reduce__ may raise anything
        return False
    return True
