"""A call of a task, made into the job that it will be: its arguments and options, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pgqueue.core import codec
from pgqueue.core.ids import canonical_id, uuid7
from pgqueue.core.job import NewJob
from pgqueue.current import running
from pgqueue.exceptions import AlreadyQueued
from pgqueue.result import AsyncResult
from pgqueue.sender import retry_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.app import App
    from pgqueue.task import Task

CALL_OPTIONS: Final = (
    "connection",
    "countdown",
    "eta",
    "expires",
    "headers",
    "ignore_result",
    "priority",
    "producer",
    "queue",
    "retry",
    "retry_policy",
    "shadow",
    "task_id",
)


def build_job(
    app: App,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: dict[str, Any],
    *,
    task: Task[..., Any] | None = None,
) -> NewJob:
    """The job that calls the task `name`; `task` is None if this process does not know it.

    Raises:
        TypeError, ValueError, EncodeError, PayloadTooLarge: as `Task.apply_async`.
    """
    refuse_other_shapes(name, args, kwargs)
    conf = app.conf
    limit = conf.max_payload_bytes
    args_text = codec.encode(args if isinstance(args, list) else list(args), what="args")
    kwargs_text = "{}" if not kwargs else codec.encode(dict(kwargs), what="kwargs")
    if len(args_text) + len(kwargs_text) > limit:
        codec.check_size(args_text + kwargs_text, limit_bytes=limit, what=f"arguments of {name}")
    frame = running.get()
    job = NewJob(
        id="",
        task=_task_name(name),
        queue=_queue(
            _first_given(options.pop("queue", None), task and task.queue, conf.task_default_queue)
        ),
        priority=_first_priority(
            options.pop("priority", None), task and task.priority, conf.task_default_priority
        ),
        args=args_text,
        kwargs=kwargs_text,
        root_id=None if frame is None else frame.request.root_id,
        parent_id=None if frame is None else frame.request.id,
    )
    task_id = options.pop("task_id", None)
    job = job._replace(
        id=uuid7() if task_id is None else canonical_id(task_id), is_named=task_id is not None
    )
    expires = options.pop("expires", None)
    if expires is None and task is not None:
        expires = task.expires
    return job if expires is None and not options else _with_options(app, job, expires, options)


def refuse_other_shapes(name: str, args: object, kwargs: object) -> None:
    """Raise TypeError for arguments that are no list or tuple, or keyword arguments that are no mapping."""
    if not isinstance(args, list | tuple):
        raise TypeError(f"the arguments of {name} must be a list or tuple, not {_shown(args)}")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"the keyword arguments of {name} must be a mapping, not {_shown(kwargs)}")


def split_way(options: dict[str, Any]) -> dict[str, Any]:
    """Take out of `options` those that say how to send, not what."""
    connection = options.pop("connection", None)
    producer = options.pop("producer", None)
    way: dict[str, Any] = {"connection": producer if connection is None else connection}
    retry, policy = options.pop("retry", None), options.pop("retry_policy", None)
    if retry is False:
        way["retry"] = retry_policy({"max_retries": 0})
    elif policy is not None:
        way["retry"] = retry_policy(policy)
    return way


def raise_if_refused(app: App, refused: list[str]) -> None:
    """Raise AlreadyQueued for ids whose jobs have not finished."""
    if refused:
        raise AlreadyQueued(
            f"job {refused[0]} is not finished yet, and nothing was sent: wait for its end, "
            "or send without task_id",
            result=AsyncResult[Any](refused[0], app=app),
        )


def _with_options(app: App, job: NewJob, expires: Any, options: dict[str, Any]) -> NewJob:
    countdown, eta = options.pop("countdown", None), options.pop("eta", None)
    if eta is not None:
        job = job._replace(eta=aware(eta, app))
    elif countdown is not None and (delay := seconds(countdown)) > 0:
        job = job._replace(delay=delay)
    if isinstance(expires, datetime):
        job = job._replace(expires_at=aware(expires, app))
    elif expires is not None:
        job = job._replace(lifetime=seconds(expires))
    kept = {
        key: options.pop(key)
        for key in ("headers", "ignore_result", "shadow")
        if options.get(key) is not None
    }
    options = {key: value for key, value in options.items() if value is not None}
    for way in ("connection", "producer"):
        if way in options:
            raise TypeError(
                f"{way}= stands on the signature of {job.task}: all jobs of a send go one way, so "
                "give it to the call that sends"
            )
    refuse_unknown(options, CALL_OPTIONS, "apply_async")
    return job._replace(options=codec.encode(kept, what="options")) if kept else job


def refuse_unknown(options: Mapping[str, Any], known: Sequence[str], call: str) -> None:
    """Raise TypeError, with the nearest name, for an option that is not `known`."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(known))}"
            raise TypeError(f"{call} has no option {name!r}: {hint}")


def _first_given(*given: Any) -> Any:
    return next((one for one in given if one is not None), None)


def _first_priority(*given: Any) -> int:
    for priority in given:
        if priority is not None:
            return checked_priority(priority) or 0
    return 5


def checked_priority(priority: Any) -> int | None:
    """The priority, at most 9; ValueError if it is below 0 or no whole number."""
    if priority is None:
        return None
    if not isinstance(priority, int) or isinstance(priority, bool) or priority < 0:
        raise ValueError(f"priority {priority!r} is not a whole number from 0 (last) to 9 (first)")
    return min(priority, 9)


def _task_name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 512 or not name.isprintable():
        raise ValueError(f"{_shown(name)} is not the name of a task")
    return name


def _queue(queue: Any) -> str:
    name = queue if isinstance(queue, str) else getattr(queue, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
        raise ValueError(
            f"queue {_shown(queue)} is not a queue's name: use 1 to 128 printable characters"
        )
    return name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def seconds(value: Any) -> float:
    """A number of seconds, from one or from a timedelta; ValueError for anything else."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    # 300 years: what is far longer is beyond PostgreSQL's calendar.
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e10:
        raise ValueError(f"{value!r} is no number of seconds below 10,000,000,000, nor a timedelta")
    return float(number)


def aware(moment: Any, app: App) -> datetime:
    """The moment in UTC, read in the App's time zone if it has none of its own."""
    if not isinstance(moment, datetime):
        raise TypeError(f"{moment!r} is not a datetime")
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=app.timezone)
    try:
        # PostgreSQL knows fewer offsets than Python.
        in_utc: datetime = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment} is outside of the calendar in UTC") from None
    return in_utc
