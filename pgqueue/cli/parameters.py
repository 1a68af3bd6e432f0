"""What users write after an option, read into values: pure functions, and how click is given them."""

from __future__ import annotations

import logging
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from pgqueue.core import codec
from pgqueue.core.ids import canonical_id
from pgqueue.exceptions import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parsed_by(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """What click calls to read an option or an argument; a ValueError becomes a usage error."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return [parse(one) for one in value]
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def log_level(text: str) -> int:
    """A level of `logging`, by its name in any case."""
    if text.startswith("-"):
        raise ValueError(f"{text!r} is an option, not a level: write -l info, with one -l")
    name = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(text.upper(), text.upper())
    if name not in LEVELS:
        raise ValueError(f"{text!r} is no level: use {', '.join(LEVELS).lower()}")
    return logging.getLevelNamesMapping()[name]


def concurrency(text: str) -> int | str:
    """A number of children, or "auto"."""
    if text.lower() == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10_000:
        raise ValueError(f"{text!r} is no number of children: use 1 or more, or auto")
    return int(text)


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ValueError("expected names with commas between them, such as a,b")
    return found


def job_id(text: str) -> str:
    """A job's id, canonical."""
    return canonical_id(text.strip())


def seconds(text: str) -> float:
    """A number of seconds, 0 or more."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e10:
        raise ValueError(f"{text!r} is no number of seconds, 0 or more")
    return number


def moment(text: str) -> datetime:
    """A date and time in ISO 8601; without an offset it has no time zone yet."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment: write it as 2026-01-31T12:00:00+00:00") from None


def past_moment(text: str) -> datetime:
    """A moment, or how long ago it was: 30s, 10m, 2h, 7d."""
    age = AGE.fullmatch(text.strip().lower())
    if age is None:
        try:
            return moment(text)
        except ValueError as error:
            raise ValueError(f"{error}, or as an age: 30s, 10m, 2h, 7d") from None
    return datetime.now(UTC) - timedelta(**{UNITS[age[2]]: float(age[1])})


def seconds_or_moment(text: str) -> float | datetime:
    """Seconds from now, or a moment."""
    try:
        return seconds(text)
    except ValueError:
        try:
            return moment(text)
        except ValueError as error:
            raise ValueError(f"{error}, or as seconds from now") from None


def json_array(text: str) -> list[Any]:
    """A JSON array; the tags of `pgqueue.core.codec` are read."""
    value = _json(text)
    if not isinstance(value, list):
        raise ValueError(f"{text!r} is no JSON array: write the arguments as '[1, \"two\"]'")  # noqa: TRY004
    return value


def json_object(text: str) -> dict[str, Any]:
    """A JSON object; the tags of `pgqueue.core.codec` are read."""
    value = _json(text)
    if not isinstance(value, dict):
        raise ValueError(f"{text!r} is no JSON object: write it as '{{\"name\": 1}}'")  # noqa: TRY004
    return value


def _json(text: str) -> Any:
    try:
        return codec.decode(text)
    except (ValueError, DecodeError) as error:
        raise ValueError(f"{text!r} is no JSON: {error}") from None
