"""A call of a task, made into the job that it will be: its arguments and options, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pgqueue.core import codec
from pgqueue.core.ids import canonical_id, uuid7
from pgqueue.core.job import NewJob
from pgqueue.current import running
from pgqueue.exceptions import AlreadyQueued
from pgqueue.options import (
    CALL_OPTIONS,
    CALLS_LATER,
    PROPERTIES,
    checked_priority,
    queue_name,
    refuse_unknown,
    seconds,
    shown,
    without_later,
)
from pgqueue.result import AsyncResult
from pgqueue.sender import retry_policy
from pgqueue.store.client import ONE_TRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.app import App
    from pgqueue.store.client import RetryPolicy
    from pgqueue.task import Task

_OF_THE_SEND: Final = ("connection", "producer", "retry", "retry_policy")


@dataclass(frozen=True, slots=True)
class SendOptions:
    """The options of a call that say how to send, not what; None: as the App does."""

    connection: object | None
    retry: RetryPolicy | None


class _Times(NamedTuple):
    """When the job may run; the fields are those of NewJob."""

    eta: datetime | None = None
    delay: float | None = None
    expires_at: datetime | None = None
    lifetime: float | None = None


_AT_ONCE: Final = _Times()
_AS_EVER: Final = SendOptions(None, None)


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

    Takes `options` apart.

    Raises:
        TypeError, ValueError, EncodeError, PayloadTooLarge: as `Task.apply_async`.
    """
    conf = app.conf
    args_text, kwargs_text = encoded_arguments(app, name, args, kwargs)
    task_id = options.pop("task_id", None)
    queue, priority = options.pop("queue", None), options.pop("priority", None)
    expires = options.pop("expires", None)
    if expires is None and task is not None:
        expires = task.expires
    times = _AT_ONCE if expires is None and not options else _times(app, expires, options)
    frame = running.get()
    return NewJob(
        id=uuid7() if task_id is None else canonical_id(task_id),
        is_named=task_id is not None,
        task=_task_name(name),
        queue=queue_name(_first_given(queue, task and task.queue, conf.task_default_queue)),
        priority=_first_priority(priority, task and task.priority, conf.task_default_priority),
        args=args_text,
        kwargs=kwargs_text,
        options=_kept(name, options) if options else None,
        root_id=None if frame is None else frame.request.root_id,
        parent_id=None if frame is None else frame.request.id,
        eta=times.eta,
        delay=times.delay,
        expires_at=times.expires_at,
        lifetime=times.lifetime,
    )


def encoded_arguments(
    app: App, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """The arguments as JSON texts.

    Raises:
        TypeError: they are no list or tuple, or no mapping.
        EncodeError: one cannot be written as JSON.
        PayloadTooLarge: together they exceed `max_payload_bytes`.
    """
    refuse_other_shapes(name, args, kwargs)
    limit = app.conf.max_payload_bytes
    args_text = codec.encode(args if isinstance(args, list) else list(args), what="args")
    kwargs_text = "{}" if not kwargs else codec.encode(dict(kwargs), what="kwargs")
    if len(args_text) + len(kwargs_text) > limit:
        codec.check_size(args_text + kwargs_text, limit_bytes=limit, what=f"arguments of {name}")
    return args_text, kwargs_text


def refuse_other_shapes(name: str, args: object, kwargs: object) -> None:
    """Raise TypeError for arguments that are no list or tuple, or keyword arguments that are no mapping."""
    if not isinstance(args, list | tuple):
        raise TypeError(f"the arguments of {name} must be a list or tuple, not {shown(args)}")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"the keyword arguments of {name} must be a mapping, not {shown(kwargs)}")


def taken_send_options(app: App, options: dict[str, Any]) -> SendOptions:
    """Take out of `options` those that say how to send, not what.

    Raises:
        TypeError, ValueError: the retry policy is none.
    """
    if not options:
        return _AS_EVER
    connection, producer = options.pop("connection", None), options.pop("producer", None)
    retry, given = options.pop("retry", None), options.pop("retry_policy", None)
    policy = None
    if retry is False:
        policy = ONE_TRY
    elif given is not None:
        policy = retry_policy({**app.conf.task_publish_retry_policy, **given})
    return SendOptions(producer if connection is None else connection, policy)


def raise_if_refused(app: App, refused: list[str]) -> None:
    """Raise AlreadyQueued for ids whose jobs have not finished."""
    if refused:
        raise AlreadyQueued(
            f"job {refused[0]} is not finished yet, and nothing was sent: wait for its end, "
            "or send without task_id",
            result=AsyncResult[Any](refused[0], app=app),
        )


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


def _times(app: App, expires: Any, options: dict[str, Any]) -> _Times:
    countdown, eta = options.pop("countdown", None), options.pop("eta", None)
    delay = None
    if eta is None and countdown is not None and (wait := seconds(countdown)) > 0:
        delay = wait
    is_moment = isinstance(expires, datetime)
    return _Times(
        eta=None if eta is None else aware(eta, app),
        delay=delay,
        expires_at=aware(expires, app) if is_moment else None,
        lifetime=None if is_moment or expires is None else seconds(expires),
    )


def _kept(name: str, options: dict[str, Any]) -> str | None:
    """What travels with the job for its run, as JSON; all other options are refused here."""
    options = without_later(options, CALLS_LATER, "apply_async")
    kept = {
        key: value
        for key in ("headers", "ignore_result", "shadow")
        if (value := options.pop(key, None)) is not None
    }
    properties = {
        key: value for key in PROPERTIES & options.keys() if (value := options.pop(key)) is not None
    }
    if properties:
        kept["properties"] = properties
    refuse_unknown(options, (*CALL_OPTIONS, *PROPERTIES, *CALLS_LATER), "apply_async")
    for way in _OF_THE_SEND:
        if options.get(way) is not None:
            raise TypeError(
                f"{way}= stands on the signature of {name}: all jobs of a send go one way, so "
                "give it to the call that sends"
            )
    return codec.encode(kept, what="options") if kept else None


def _first_given(*given: Any) -> Any:
    return next((one for one in given if one is not None), None)


def _first_priority(*given: Any) -> int:
    for priority in given:
        if priority is not None:
            return checked_priority(priority) or 0
    return 5


def _task_name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= 512 or not name.isprintable():
        raise ValueError(f"{shown(name)} is not the name of a task")
    return name
