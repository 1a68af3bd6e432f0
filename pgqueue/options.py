"""Options of tasks and calls: which there are, and what their values may be."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

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
# AMQP's properties of a message: they mean nothing to us, and travel to `request.properties`.
PROPERTIES: Final = frozenset(
    {
        "app_id",
        "content_encoding",
        "content_type",
        "correlation_id",
        "delivery_mode",
        "message_id",
        "reply_to",
        "timestamp",
        "type",
        "user_id",
    }
)

Later = Mapping[str, tuple[object, ...]]
# Options that a later release will have: with the values that say what is so already. None always
# does.
_LATER: Final[Later] = {
    "serializer": ("json",),
    "compression": (),
    "time_limit": (),
    "soft_time_limit": (),
    "unique": (False,),
    "unique_for": (),
    "concurrency_key": (),
    "order_key": (),
}
CALLS_LATER: Final[Later] = {"link": (), "link_error": (), "routing_key": (), **_LATER}
TASKS_LATER: Final[Later] = {
    "acks_late": (True,),
    "atomic": (False,),
    "concurrency_limit": (1,),
    "pydantic": (False,),
    "rate_limit": (),
    "settle": ("batch",),
    **_LATER,
}


def checked_task_options(
    base: type, options: Mapping[str, Any], *, own: Iterable[str] = ()
) -> dict[str, Any]:
    """The options of a task as its attributes: those given, and what `base` says in their place.

    `own` are the attributes that `base` defines itself.

    Numbers of seconds come out as floats, exceptions as tuples, a queue as its name.

    Raises:
        TypeError: an option is unknown, not in this release, or of the wrong kind.
        ValueError: a value is out of range.
    """
    own = set(own)
    inherited = {
        name: value
        for name in own & (_CHECKS.keys() | TASKS_LATER.keys())
        # What is found out when it is asked for cannot be checked now.
        if not hasattr(type(value := getattr(base, name)), "__get__")
    }
    given = {**inherited, **options}
    refuse_unknown(without_later(given, TASKS_LATER, "task"), (*_CHECKS, *own), "task")
    return {
        name: _CHECKS[name](name, value) if name in _CHECKS else value
        for name, value in given.items()
    }


def without_later(options: Mapping[str, Any], later: Later, call: str) -> dict[str, Any]:
    """The options but for those of `later`, whose values say what is so already.

    Raises:
        TypeError: a value asks for more.
    """
    kept = {}
    for name, value in options.items():
        if name not in later:
            kept[name] = value
        elif value is not None and value not in later[name]:
            now = ", ".join(map(repr, (*later[name], None)))
            raise TypeError(
                f"{call} has {name}={shown(value)}, which is not in this release yet: it takes {now}"
            )
    return kept


def refuse_unknown(options: Iterable[str], known: Iterable[str], call: str) -> None:
    """Raise TypeError, with the nearest name, for an option that is not `known`."""
    names = sorted(set(known))
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names)}"
            raise TypeError(f"{call} has no option {name!r}: {hint}")


def checked_priority(priority: Any) -> int | None:
    """The priority, at most 9; ValueError if it is below 0 or no whole number."""
    if priority is None:
        return None
    if not isinstance(priority, int) or isinstance(priority, bool) or priority < 0:
        raise ValueError(f"priority {priority!r} is not a whole number from 0 (last) to 9 (first)")
    return min(priority, 9)


def queue_name(queue: Any) -> str:
    """The name of a queue, given as such or as an object that has it; ValueError for anything else."""
    name = queue if isinstance(queue, str) else getattr(queue, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isprintable():
        raise ValueError(
            f"queue {shown(queue)} is not a queue's name: use 1 to 128 printable characters"
        )
    return name


def seconds(value: Any) -> float:
    """A number of seconds, from one or from a timedelta; ValueError for anything else."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    # 300 years: what is far longer is beyond PostgreSQL's calendar.
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e10:
        raise ValueError(f"{value!r} is no number of seconds below 10,000,000,000, nor a timedelta")
    return float(number)


def retry_limit(limit: Any) -> int | None:
    """How many errors may be retried, None for any number; ValueError for anything else."""
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ValueError(f"max_retries {limit!r} is no whole number from 0 up, nor None")
    return limit


def shown(value: Any) -> str:
    """A value as an error message shows it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def _exceptions(name: str, given: Any) -> tuple[type[BaseException], ...]:
    if given is None:
        return ()
    classes = (given,) if isinstance(given, type) or not isinstance(given, Iterable) else given
    found = tuple(classes)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError(f"{name} takes exception classes, not {shown(one)}")
    return found


def _retry_kwargs(name: str, given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping, not {shown(given)}")
    refuse_unknown(given, ("countdown", "max_retries"), name)
    checked = dict(given)
    if checked.get("countdown") is not None:
        checked["countdown"] = seconds(checked["countdown"])
    if "max_retries" in checked:
        retry_limit(checked["max_retries"])
    return checked


def _backoff(_: str, given: Any) -> bool | float:
    return bool(given) if given is None or isinstance(given, bool) else seconds(given)


def _expiry(_: str, given: Any) -> float | datetime | None:
    return given if given is None or isinstance(given, datetime) else seconds(given)


def _unchecked(_: str, given: Any) -> Any:
    return given


# What `@app.task(…)` takes besides `bind`, `name` and `base`, and how it is checked.
_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "queue": lambda _, given: None if given is None else queue_name(given),
    "priority": lambda _, given: checked_priority(given),
    "max_retries": lambda _, given: retry_limit(given),
    "default_retry_delay": lambda _, given: seconds(given),
    "autoretry_for": _exceptions,
    "dont_autoretry_for": _exceptions,
    "retry_kwargs": _retry_kwargs,
    "retry_backoff": _backoff,
    "retry_backoff_max": lambda _, given: seconds(given),
    "retry_jitter": _unchecked,
    "throws": _exceptions,
    "track_started": _unchecked,
    "expires": _expiry,
    "ignore_result": _unchecked,
    "store_errors_even_if_ignored": _unchecked,
    "typing": _unchecked,
}
