"""What values a setting takes: the check of a Python value and the reading of text, by type.

Says nothing about which settings there are (`setting_catalogue`) or where values come from.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pgqueue.core.database_url import normal_database_url

_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})
_NONE = frozenset({"none", "null"})


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of setting: `accept` returns the value to keep, or raises ValueError or TypeError.

    `parse` turns the text of an environment variable or of the command line into something for
    `accept`; `expected` finishes the sentence "expected …".
    """

    expected: str
    accept: Callable[[object], object]
    parse: Callable[[str], object] = str
    is_opaque: bool = False


def optional(kind: ValueType) -> ValueType:
    """Return a type that takes None as well, written `none` or `null` in text."""

    def accept(value: object) -> object:
        return None if value is None or is_none(value) else kind.accept(value)

    def parse(text: str) -> object:
        return None if is_none(text) else kind.parse(text)

    def is_none(value: object) -> bool:
        return isinstance(value, str) and value.strip().lower() in _NONE

    return ValueType(f"{kind.expected} or None", accept, parse, is_opaque=kind.is_opaque)


def integer(minimum: int, *, unit: str = "") -> ValueType:
    """Return the type of whole numbers from `minimum` on."""

    def accept(value: object) -> int:
        number = _number(value)
        if number != int(number) or number < minimum:
            raise ValueError(value)
        return int(number)

    return ValueType(f"a whole number{unit and f' of {unit}'} >= {minimum}", accept)


def seconds(*, above_zero: bool = False) -> ValueType:
    """Return the type of durations, kept as float seconds; a timedelta is accepted."""

    def accept(value: object) -> float:
        number = value.total_seconds() if isinstance(value, timedelta) else _number(value)
        if number < 0 or (above_zero and number == 0):
            raise ValueError(value)
        return number

    limit = "> 0" if above_zero else ">= 0"
    return ValueType(f"a number of seconds {limit} or a timedelta", accept)


def choice(*words: str) -> ValueType:
    """Return the type that takes one of `words`, in any case."""

    def accept(value: object) -> str:
        if isinstance(value, str) and (word := value.strip().lower()) in words:
            return word
        raise ValueError(value)

    return ValueType(" or ".join(repr(word) for word in words), accept)


def _number(value: object) -> float:
    """Return `value` as a float, also when it is spelled as text; bool is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    # Settings modules hand over what os.environ holds: "false" must not be true.
    word = str(value).strip().lower() if isinstance(value, int | str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError(value)


def _switch(value: object) -> str:
    return "on" if _boolean(value) else "off"


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(value)


def _schema_name(value: object) -> str:
    name = _text(value)
    # PostgreSQL cuts longer names off silently, so that two schemas would become one.
    if len(name.encode()) > 63 or "\0" in name:
        raise ValueError(value)
    return name


def _urls(value: object) -> object:
    """Take one URL or several: Celery's broker_url may be a list. Kept as it was given."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list | tuple) and texts and all(isinstance(text, str) for text in texts):
        return value
    raise ValueError(value)


def _postgresql_url(value: object) -> str:
    url = normal_database_url(_text(value))
    if url is None or not url.startswith("postgresql://"):
        raise ValueError(value)
    return url


def _names(value: object) -> object:
    if isinstance(value, str):
        return _split(value)
    if not isinstance(value, Iterable):
        raise TypeError(value)
    # A list stays a list, for code that appends to it; a generator can be read only once.
    names = value if isinstance(value, list | tuple | set | frozenset) else tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise ValueError(value)
    return names


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _mapping(value: object) -> object:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return value


def _json_or_text(text: str) -> object:
    """Read JSON objects, arrays and literals; anything else is plain text, such as a name."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _rate(value: object) -> object:
    if isinstance(value, str):
        count, _, unit = value.strip().partition("/")
        if _number(count) < 0 or unit not in {"", "s", "m", "h"}:
            raise ValueError(value)
        return value
    if _number(value) < 0:
        raise ValueError(value)
    return value


def _timezone(value: object) -> object:
    if isinstance(value, tzinfo):
        return value
    name = _text(value)
    if name.upper() != "UTC":  # needs no time zone database
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError(value) from error
    return name


def _concurrency(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    return integer(0).accept(value)


BOOLEAN = ValueType("True or False", _boolean)
SWITCH = ValueType("'on' or 'off'", _switch)
TEXT = ValueType("text", _text)
SCHEMA = ValueType("a schema's name, 63 bytes at most", _schema_name)
URL = ValueType("a URL as text", _text)
URLS = ValueType("a URL, or a list of them", _urls)
POSTGRESQL_URL = ValueType("a URL such as 'postgresql://host/database'", _postgresql_url)
NAMES = ValueType("an iterable of names, or names with commas between them", _names)
MAPPING = ValueType("a dict (as text: a JSON object)", _mapping)
TIMEZONE = ValueType("a time zone's name, such as 'Europe/Oslo' (or UTC), or a tzinfo", _timezone)
RATE = ValueType("a rate such as '10/s', '100/m', '1000/h' or a number per second", _rate)
CONCURRENCY = ValueType("a whole number >= 0 or 'auto'", _concurrency)
COUNT = integer(0)
SECONDS = seconds()
OPAQUE = ValueType("anything", lambda value: value, _json_or_text, is_opaque=True)
