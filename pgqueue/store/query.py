"""A SQL statement as a value: which file, plain parameters, and how to read its rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

T = TypeVar("T")
Plain = str | None
PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """One SQL statement, ready to send on any driver.

    `statement` names a file in `store/sql`. Parameters are texts, cast in the SQL: no driver's
    own idea of Python types, and no adapter that a caller has registered, comes between.
    `read` turns the rows (tuples) into what the sender gets. `is_repeatable`: sending it once
    more after a lost connection does no harm.
    """

    statement: str
    params: Mapping[str, Plain]
    read: Callable[[Sequence[tuple[Any, ...]]], T]
    is_repeatable: bool = True


@cache
def pyformat_text(statement: str, schema: str) -> str:
    """The statement's text with `%(name)s` placeholders: psycopg's and psycopg2's style."""
    text = (resources.files("pgqueue.store") / "sql" / f"{statement}.sql").read_text("utf-8")
    return text.replace("{schema}", schema)


@cache
def numbered_text(statement: str, schema: str) -> tuple[str, tuple[str, ...]]:
    """The statement's text with `$1` placeholders (asyncpg's style), and the names in their order."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = PLACEHOLDER.sub(number, pyformat_text(statement, schema)).replace("%%", "%")
    return text, tuple(names)


def text_array(items: Iterable[str | None]) -> str:
    """An array literal of any texts."""
    return "{" + ",".join(map(_quoted, items)) + "}"


def bare_array(items: Iterable[object]) -> str:
    """An array literal of ids, numbers and None: nothing that needs quotes."""
    return "{" + ",".join(["NULL" if item is None else str(item) for item in items]) + "}"


def sparse_array(items: Sequence[str | None]) -> str:
    """As `text_array`, but `{}` if all are None: `unnest` fills a shorter array up with NULLs."""
    return text_array(items) if any(item is not None for item in items) else "{}"


def flag(value: bool) -> str:  # noqa: FBT001 - a value, not a switch
    """A boolean as text."""
    return "true" if value else "false"


def nothing(rows: Sequence[tuple[Any, ...]]) -> None:
    """Read no rows."""


def _quoted(item: str | None) -> str:
    if item is None:
        return "NULL"
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
