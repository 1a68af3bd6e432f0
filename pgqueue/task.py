"""A task: a registered function, and the ways to call it now or to enqueue a call of it."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, ParamSpec, TypeVar

from pgqueue import result
from pgqueue.call import (
    SendOptions,
    aware,
    build_job,
    encoded_arguments,
    raise_if_refused,
    refuse_other_shapes,
    taken_send_options,
)
from pgqueue.canvas import Signature
from pgqueue.core.lifecycle import Again
from pgqueue.current import get_current_app, running
from pgqueue.exceptions import MaxRetriesExceededError, Retry
from pgqueue.options import (
    CALLS_LATER,
    checked_priority,
    checked_task_options,
    queue_name,
    refuse_unknown,
    retry_limit,
    seconds,
    without_later,
)
from pgqueue.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from pgqueue.app import App
    from pgqueue.core.job import NewJob

P = ParamSpec("P")
R = TypeVar("R")

_NOBODYS_REQUEST: Final = Request()


class Task(Generic[P, R]):
    """A registered function; `@app.task` makes one, of this class or of a `base=` of your own.

    Calling it runs the function here and now. `delay` and `apply_async` enqueue a job.
    """

    name: str = ""
    app: App
    abstract: ClassVar[bool] = True
    queue: str | None = None
    priority: int | None = None
    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    throws: tuple[type[BaseException], ...] = ()
    expires: float | timedelta | datetime | None = None
    ignore_result: bool | None = None
    store_errors_even_if_ignored: bool | None = None
    track_started: bool | None = None
    typing: bool = True
    # The function itself; a bound task's takes the task as its first argument.
    run: Callable[..., Any]

    _signature: inspect.Signature
    _positional: tuple[int, int] | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here; no job is made."""
        returned: R = self.run(*args, **kwargs)
        return returned

    @property
    def request(self) -> Request:
        """The job that this task is running for; called directly, one without an id."""
        frame = running.get()
        while frame is not None:
            if frame.task is self:
                return frame.request
            frame = frame.outer
        return _NOBODYS_REQUEST

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> result.AsyncResult[R]:
        """Enqueue a job that calls this task; short for `apply_async(args, kwargs)`."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> result.AsyncResult[R]:
        """Async twin of `delay`."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> result.AsyncResult[R]:
        """Enqueue a job that calls this task.

        It is committed when this returns, or joins the caller's transaction: `connection=`, or an
        open `app.using(…)` block.

        Args:
            args: the positional arguments.
            kwargs: the keyword arguments.
            **options: `countdown` (seconds from now), `eta` (a moment), `expires` (seconds or a
                moment), `queue`, `priority` (0 last … 9 first), `task_id`, `connection` (or
                `producer`), `ignore_result`, `headers`, `shadow`, `retry` (False: one try when the
                database is down), `retry_policy`.

        Raises:
            TypeError: the arguments do not fit the function, or an option is unknown.
            ValueError: an option's value is out of range, or task_id is no UUID.
            EncodeError: an argument cannot be written as JSON; it says which.
            PayloadTooLarge: the arguments exceed `max_payload_bytes`.
            AlreadyQueued: a job of this task_id has not finished; `.result` is its handle.
            OperationalError: the database is out of reach.
            SchemaTooOld: pgqueue's tables are missing or too old.
        """
        job, way = self._new_job(args, kwargs, options)
        refused = self.app.sender.send(
            [job], connection=way.connection, retry=way.retry, twin="adelay or aapply_async"
        )
        return self._handle(job, refused)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> result.AsyncResult[R]:
        """Async twin of `apply_async`."""
        job, way = self._new_job(args, kwargs, options)
        refused = await self.app.sender.asend(
            [job], connection=way.connection, retry=way.retry, twin="delay or apply_async"
        )
        return self._handle(job, refused)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature: a call to be made later, perhaps with more arguments in front."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """An immutable signature: it takes no more arguments."""
        return self.signature(args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more: Any,
    ) -> Signature:
        """A signature with options, as a dict or by name: `signature((2, 2), countdown=10)`."""
        merged = {**(options or {}), **more}
        return Signature(self.name, args, kwargs, merged, immutable=immutable, app=self.app)

    subtask = signature

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,  # noqa: FBT001, FBT002 - Celery's signature
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """End this run and ask for another: the same job, later, after `default_retry_delay`.

        Write `raise self.retry(exc=exc)`: it raises by itself, unless `throw` is False.

        Args:
            args: other positional arguments for the next run.
            kwargs: other keyword arguments for the next run.
            exc: why; it is raised instead when no retry is left.
            throw: False returns the Retry; the run's own end is then ignored.
            eta: the moment of the next run.
            countdown: seconds until the next run.
            max_retries: instead of the task's.
            **options: `queue` and `priority` of the next run.

        Raises:
            Retry: always, unless `throw` is False.
            MaxRetriesExceededError: no retry is left and no `exc` is given.
            TypeError, ValueError, EncodeError, PayloadTooLarge: as `apply_async`.
        """
        request, app = self.request, self.app
        lane = without_later(options, CALLS_LATER, "retry")
        queue, priority = lane.pop("queue", None), lane.pop("priority", None)
        refuse_unknown(lane, ("queue", "priority", *CALLS_LATER), "retry")
        limit = self.max_retries if max_retries is None else retry_limit(max_retries)
        if request.called_directly:
            raise exc or Retry("the task can be retried", None)
        if limit is not None and request.retries >= limit:
            raise exc or self._no_retry_is_left(request)
        if eta is not None:
            wait = (aware(eta, app) - datetime.now(UTC)).total_seconds()
        else:
            wait = seconds(self.default_retry_delay if countdown is None else countdown)
        new_args, new_kwargs = () if args is None else args, {} if kwargs is None else kwargs
        texts = encoded_arguments(app, self.name, new_args, new_kwargs)
        request._again = Again(  # noqa: SLF001 - the worker reads it when the task has ended
            max(wait, 0.0),
            args=None if args is None else texts[0],
            kwargs=None if kwargs is None else texts[1],
            queue=None if queue is None else queue_name(queue),
            priority=checked_priority(priority),
        )
        retry = Retry(exc=exc, when=eta if eta is not None else wait)
        if throw:
            raise retry
        return retry

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called in the worker before the task runs."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called in the worker when the task has returned."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker when the task has failed for good."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker when the task is to be retried."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker after the task, however it ended."""

    def new_job(
        self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: dict[str, Any]
    ) -> NewJob:
        """The job that a call of this task would send, checked and serialised; nothing is sent.

        `options` are those of `apply_async` that describe the job; what is not known is refused.

        Raises:
            TypeError, ValueError, EncodeError, PayloadTooLarge: as `apply_async`.
        """
        args = () if args is None else args
        kwargs = {} if kwargs is None else kwargs
        if self.typing:
            self._check_arguments(args, kwargs)
        return build_job(self.app, self.name, args, kwargs, options, task=self)

    def AsyncResult(self, task_id: str) -> result.AsyncResult[R]:  # noqa: N802 - Celery's name
        """The handle of a job of this task."""
        return result.AsyncResult(task_id, app=self.app)

    def __repr__(self) -> str:
        return f"<@task: {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_task_of_current_app, (self.name,))

    def _new_job(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: dict[str, Any],
    ) -> tuple[NewJob, SendOptions]:
        way = taken_send_options(self.app, options)
        return self.new_job(args, kwargs, options), way

    def _no_retry_is_left(self, request: Request) -> MaxRetriesExceededError:
        return MaxRetriesExceededError(
            f"no retry is left for {self.name}[{request.id}] after {request.retries}",
            task_args=request.args,
            task_kwargs=request.kwargs,
        )

    def _handle(self, job: NewJob, refused: list[str]) -> result.AsyncResult[R]:
        raise_if_refused(self.app, refused)
        return result.AsyncResult(job.id, app=self.app)

    def _check_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        refuse_other_shapes(self.name, args, kwargs)
        if not kwargs and self._positional is not None:
            fewest, most = self._positional
            if fewest <= len(args) <= most:
                return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self._signature}: {error}") from None


def make_task(
    app: App,
    function: Callable[..., Any],
    *,
    name: str,
    base: type[Task[..., Any]],
    bind: bool,
    options: Mapping[str, Any],
) -> Task[..., Any]:
    """A task of class `base` that runs `function`.

    Raises:
        TypeError: an option, or an attribute of `base`, is unknown or of the wrong kind.
        ValueError: its value is out of range.
    """
    signature = inspect.signature(function)
    if bind:
        parameters = list(signature.parameters.values())
        signature = signature.replace(parameters=parameters[1:])
    attributes: dict[str, Any] = {
        "app": app,
        "name": name,
        "abstract": False,
        "run": function if bind else staticmethod(function),
        "_signature": signature,
        "_positional": _positional_range(signature),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__wrapped__": staticmethod(function),
        **checked_task_options(base, options, own=_own_attributes(base)),
    }
    task: Task[..., Any] = type(function.__name__, (base,), attributes)()
    return task


def prepare_task(app: App, task: Task[..., Any], *, name: str) -> None:
    """Make a task that is written as a class ready to run for `app` under `name`.

    Raises:
        TypeError, ValueError: an attribute of its class is of the wrong kind, or out of range.
    """
    kind = type(task)
    signature = inspect.signature(task.run)
    attributes = {
        "app": app,
        "name": name,
        "_signature": signature,
        "_positional": _positional_range(signature),
        "__wrapped__": getattr(kind.run, "__func__", kind.run),
        **checked_task_options(kind, {}, own=_own_attributes(kind)),
    }
    for attribute, value in attributes.items():
        setattr(task, attribute, value)


def _own_attributes(base: type[Task[..., Any]]) -> set[str]:
    return {name for kind in base.__mro__ if kind not in Task.__mro__ for name in vars(kind)}


def _positional_range(signature: inspect.Signature) -> tuple[int, int] | None:
    """The fewest and the most positional arguments, if they alone can fit; a quick first check."""
    fewest = most = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = 1_000_000
        elif parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            most += 1
            fewest += parameter.default is parameter.empty
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return None
    return fewest, most


def _task_of_current_app(name: str) -> Task[..., Any]:
    return get_current_app().tasks[name]
