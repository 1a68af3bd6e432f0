"""What commands print: tables and JSON, with nothing in it that a terminal would obey."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LONGEST_CELL: Final = 60
GAP: Final = "  "


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        command
    )


def show(text: str = "") -> None:
    """Print text of several lines."""
    click.echo(_encodable(printable(text, keep="\n\t")))


def show_json(value: object) -> None:
    """Print a value as strict JSON: dataclasses as objects, moments in ISO 8601."""
    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns that are as wide as their contents; long cells are cut."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for row in ([heading.upper() for heading in headings], *cells):
        line = GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(_encodable(line.rstrip()))


def warn(text: str) -> None:
    """Print a line on stderr."""
    click.echo(_encodable(printable(text)), err=True)


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with control characters, and those that reorder text, as `\x1b` or `\u202e`.

    Names, errors and results come from anywhere: what they contain must not move the cursor, set
    the title of a terminal or hide a line of a log.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in keep else one.encode("unicode_escape").decode()
        for one in text
    )


def as_text(value: object) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "-"
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case int() | float():
            return str(value)
        case _:
            return json.dumps(_plain(value), ensure_ascii=False)


def as_age(seconds: float | None) -> str:
    """A time span as people read it: 0.4 s, 12 s, 5 min, 3 h, 2 d."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _cell(value: object) -> str:
    text = printable(as_text(value))
    return text if len(text) <= LONGEST_CELL else f"{text[: LONGEST_CELL - 1]}…"


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _plain(value: object) -> object:
    """The value, made of what JSON has; what it has not becomes text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted(map(str, value))
        case list() | tuple():
            return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    return str(value)
