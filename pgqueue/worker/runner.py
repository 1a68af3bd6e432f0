"""Run one job in this process: arguments in, task called, outcome out."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pgqueue.core import codec
from pgqueue.core.errors import Failure, describe
from pgqueue.core.lifecycle import (
    Again,
    Expired,
    Failed,
    Outcome,
    Released,
    Retried,
    Run,
    Settlement,
    Snoozed,
    Succeeded,
    Success,
    settle,
)
from pgqueue.core.retry import backoff_seconds
from pgqueue.current import Frame, running
from pgqueue.exceptions import Ignore, NotRegistered, PgQueueError, Reject, Retry, Snooze
from pgqueue.request import Request
from pgqueue.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pgqueue.app import App
    from pgqueue.core.job import ClaimedJob

log = logging.getLogger("pgqueue.task")

HOOKS: Final = ("before_start", "on_success", "on_failure", "on_retry", "after_return")
# Celery calls no hook for these but before_start: the run says nothing about the task's success.
WITHOUT_HOOKS: Final = (Ignore, Reject, Snooze)
# A job of an unknown task rests for half its age, within these bounds, until another worker may look.
SHORTEST_REST_SECONDS: Final = 0.5
LONGEST_REST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class FailedAsExpected(Failed):
    """The task raised one of its `throws`: a failure, and no news for the log."""


class Runner:
    """Runs jobs of one App, one at a time, in the thread that made it.

    `async def` tasks run on an event loop that lives as long as the runner.
    """

    def __init__(self, app: App, *, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._pid = os.getpid()
        self._plans: dict[str, Plan] = {}
        self._loop: asyncio.Runner | None = None
        self._logs_success = log.isEnabledFor(logging.INFO)

    def run(self, job: ClaimedJob) -> Success | Settlement:
        """Run the job, and say what becomes of it. Raises nothing that a task can raise."""
        started = time.monotonic()
        try:
            if job.is_expired:
                outcome: Outcome = Expired()
            else:
                outcome = self._run(job)
        except (SystemExit, KeyboardInterrupt) as error:
            # A task that calls sys.exit() has failed; the child goes on.
            outcome = Failed(describe(error))
        except Exception as error:  # noqa: BLE001 - arguments that cannot be read, a broken hook
            outcome = Failed(describe(error))
        finished = time.monotonic()
        offset = job.clock_offset
        run = Run(started + offset, finished + offset, self._pid)
        if type(outcome) is not Succeeded or self._logs_success:
            _log_outcome(job, outcome, finished - started)
        return settle(job, outcome, run)

    def close(self) -> None:
        """End the event loop, and what still runs on it."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _run(self, job: ClaimedJob) -> Outcome:
        plan = self._plans.get(job.task or "") or self._plan(job.task)
        if plan is None:
            return self._unknown(job)
        args = codec.decode(job.args)
        kwargs = codec.decode(job.kwargs) if job.kwargs != "{}" else {}
        if plan.annotations:
            args, kwargs = plan.rebuilt(args, kwargs)
        request = self._request(job, args, kwargs)
        task = plan.task
        token = running.set(Frame(task, request, None))
        try:
            return self._call(plan, request)
        finally:
            running.reset(token)

    def _call(self, plan: Plan, request: Request) -> Outcome:
        task, args, kwargs = plan.task, request.args, request.kwargs
        try:
            if plan.hooks:
                task.before_start(request.id or "", args, kwargs)
            value = plan.function(*args, **kwargs)
            if plan.is_async:
                value = self._wait_for(value)
            outcome: Outcome
            if request._again is None:  # noqa: SLF001
                outcome = self._succeeded(plan, request, value)
            else:  # retry(throw=False)
                value = Retry("the task asked for a retry")
                outcome = Retried(describe(value), request._again)  # noqa: SLF001
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
            value = error
            outcome = self._raised(plan, request, error)
        if plan.hooks and not isinstance(value, WITHOUT_HOOKS):
            _call_hooks(task, request, outcome, value)
        return outcome

    def _succeeded(self, plan: Plan, request: Request, value: Any) -> Succeeded:
        if plan.ignores_result or request.ignore_result:
            return Succeeded(None)
        text = codec.encode(value, what="result") if value is not None else "null"
        codec.check_size(
            text, limit_bytes=plan.max_result_bytes, what=f"result of {plan.task.name}"
        )
        return Succeeded(text)

    def _raised(self, plan: Plan, request: Request, error: BaseException) -> Outcome:
        task = plan.task
        if isinstance(error, Retry) and request._again is not None:  # noqa: SLF001
            return Retried(describe(error.exc or error), request._again)  # noqa: SLF001
        if isinstance(error, Ignore):
            return Succeeded(None)
        if isinstance(error, Snooze):
            return Snoozed(error.seconds)
        if isinstance(error, Reject):
            return Snoozed(0.0) if error.requeue else Failed(describe(error))
        if isinstance(error, task.autoretry_for) and not isinstance(
            error, (*task.dont_autoretry_for, Retry)
        ):
            limit = task.retry_kwargs.get("max_retries", task.max_retries)
            if limit is None or request.retries < limit:
                return Retried(describe(error), Again(_autoretry_delay(task, request.retries)))
        failure = describe(error)
        keeps_error = (
            not (plan.ignores_result or request.ignore_result) or plan.keeps_ignored_errors
        )
        ended = FailedAsExpected if isinstance(error, task.throws) else Failed
        return ended(failure if keeps_error else _without_data(failure))

    def _wait_for(self, awaitable: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.Runner()
        # The loop's own run: a context of its own would hide which task is running.
        return self._loop.get_loop().run_until_complete(awaitable)

    def _request(self, job: ClaimedJob, args: Any, kwargs: Any) -> Request:
        request = Request()
        request.id = request.root_id = job.id
        request.task = job.task
        request.args = args
        request.kwargs = kwargs
        request.attempt = job.attempt
        request.retries = job.retries
        request.crashes = job.crashes
        request.queue = job.queue
        request.priority = job.priority
        request.hostname = self._hostname
        request.called_directly = False
        request.delivery_info = {
            "exchange": "",
            "routing_key": job.queue,
            "priority": job.priority,
            "redelivered": job.attempt > 1,
        }
        if job.family is not None:
            root, parent, group = job.family.split(",")
            request.root_id = root or job.id
            request.parent_id = parent or None
            request.group = group or None
        if job.options is not None:
            options: Any = codec.decode(job.options)
            request.properties = options.get("properties") or {}
            request.headers = options.get("headers")
            request.shadow = options.get("shadow")
            request.ignore_result = bool(options.get("ignore_result"))
        return request

    def _plan(self, name: str | None) -> Plan | None:
        task = self._app.tasks.get(name or "")
        if task is None:
            return None
        plan = self._plans[task.name] = Plan(task, self._app)
        return plan

    def _unknown(self, job: ClaimedJob) -> Outcome:
        if job.task is None:
            return Failed(
                describe(PgQueueError(f"the row of job {job.id} is gone: nobody knows what to run"))
            )
        asked = self._app.jobs.get(job.id)
        sent_at = asked and max(asked.created_at, asked.run_at or asked.created_at).timestamp()
        age = time.monotonic() + job.clock_offset - (sent_at or 0.0)
        grace = self._app.conf.unknown_task_grace
        if age < grace:
            log.error(
                "job %s asks for task %r, which this worker has not loaded; others may try. Start the "
                "worker with the app that defines it, or cancel the job: pgqueue jobs cancel %s",
                job.id,
                job.task,
                job.id,
            )
            return Released(min(max(age / 2, SHORTEST_REST_SECONDS), LONGEST_REST_SECONDS))
        return Failed(
            describe(NotRegistered(f"no worker has loaded task {job.task!r} within {grace:g} s"))
        )


class Plan:
    """What is known about a task before any of its jobs runs."""

    __slots__ = (
        "annotations",
        "function",
        "hooks",
        "ignores_result",
        "is_async",
        "keeps_ignored_errors",
        "max_result_bytes",
        "task",
    )

    def __init__(self, task: Task[..., Any], app: App) -> None:
        conf = app.conf
        self.task = task
        self.function: Callable[..., Any] = task.run
        self.is_async = inspect.iscoroutinefunction(task.run)
        self.hooks = any(getattr(type(task), hook) is not getattr(Task, hook) for hook in HOOKS)
        ignores = task.ignore_result
        self.ignores_result = bool(conf.task_ignore_result if ignores is None else ignores)
        keeps = task.store_errors_even_if_ignored
        self.keeps_ignored_errors = bool(
            conf.task_store_errors_even_if_ignored if keeps is None else keeps
        )
        self.max_result_bytes: int = conf.max_payload_bytes
        self.annotations: Mapping[str, Any] | None = codec.argument_annotations(task.run)

    def rebuilt(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Arguments whose parameters name a dataclass or a pydantic model, made from objects again."""
        annotations = self.annotations or {}
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in annotations:
                bound.arguments[name] = codec.rebuild(value, annotations[name])
        return bound.args, bound.kwargs


def _autoretry_delay(task: Task[..., Any], retries: int) -> float:
    given = task.retry_kwargs.get("countdown")
    if given is not None:
        return float(given)
    if task.retry_backoff:
        factor = 1.0 if task.retry_backoff is True else float(task.retry_backoff)
        return backoff_seconds(
            retries, factor=factor, cap=task.retry_backoff_max, full_jitter=task.retry_jitter
        )
    return float(task.default_retry_delay)


def _without_data(failure: Failure) -> Failure:
    # The row shows the error to people; without its data, AsyncResult reads PENDING.
    return Failure(failure.error, failure.error_type, failure.traceback, None)


def _call_hooks(task: Task[..., Any], request: Request, outcome: Outcome, value: Any) -> None:
    call = (request.id or "", request.args, request.kwargs)
    status = "FAILURE"
    # The outcome stands: a broken hook must not undo what the task has done.
    try:
        match outcome:
            case Succeeded():
                status = "SUCCESS"
                task.on_success(value, *call)
            case Retried():
                status = "RETRY"
                cause = value.exc if isinstance(value, Retry) else None
                task.on_retry(cause or value, *call, None)
            case _:
                task.on_failure(value, *call, None)
    except Exception:
        log.exception("a hook of %s raised for job %s", task.name, request.id)
    try:
        task.after_return(status, value, *call, None)
    except Exception:
        log.exception("after_return of %s raised for job %s", task.name, request.id)


def _log_outcome(job: ClaimedJob, outcome: Outcome, seconds: float) -> None:
    match outcome:
        case Succeeded(result):
            shown = "" if result is None else f": {result[:200]}"
            log.info("Task %s[%s] succeeded in %.6fs%s", job.task, job.id, seconds, shown)
        case FailedAsExpected(failure):
            log.info("Task %s[%s] raised expected: %s", job.task, job.id, failure.error)
        case Failed(failure):
            log.error(
                "Task %s[%s] raised: %s\n%s", job.task, job.id, failure.error, failure.traceback
            )
        case Retried(failure, again):
            log.info(
                "Task %s[%s] retry in %.3gs: %s",
                job.task,
                job.id,
                again.delay_seconds,
                failure.error,
            )
        case Expired():
            log.info("Task %s[%s] expired before it ran", job.task, job.id)
        case _:
            log.debug("Task %s[%s] %s", job.task, job.id, outcome)
