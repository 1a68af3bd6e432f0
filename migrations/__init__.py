"""The schema's history: what turns one version of pgqueue's tables into the next.

Alembic revisions in `versions/` call it, and so may the revisions of a host application.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.operations import Operations

__all__ = ["LATEST_VERSION", "downgrade", "statements", "upgrade"]

# One entry per version, in order: the SQL files that make it, and the one that takes it back.
VERSIONS: Final[Sequence[tuple[Sequence[str], str]]] = (
    (("0001_tables", "0001_views", "0001_functions"), "0001_downgrade"),
)
LATEST_VERSION: Final = len(VERSIONS)


def upgrade(
    op: Operations,
    *,
    from_version: int = 0,
    to_version: int = LATEST_VERSION,
    schema: str = "pgqueue",
) -> None:
    """Bring the schema from one version to a later one, through Alembic's `op`.

    Runs in the transaction of `op`, which its owner commits. Version 0 is: no pgqueue yet.

    Raises:
        ValueError: a version is unknown, or `to_version` is the earlier one.
    """
    _check_versions(from_version, to_version)
    if from_version == 0 < to_version:
        op.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    for files, _ in VERSIONS[from_version:to_version]:
        for name in files:
            _execute(op, name, schema)


def downgrade(
    op: Operations,
    *,
    from_version: int = LATEST_VERSION,
    to_version: int = 0,
    schema: str = "pgqueue",
) -> None:
    """Take the schema back to an earlier version; at 0 all jobs and results are gone.

    Runs in the transaction of `op`, which its owner commits. The empty schema itself stays.

    Raises:
        ValueError: a version is unknown, or `to_version` is the later one.
    """
    _check_versions(to_version, from_version)
    for _, file in reversed(VERSIONS[to_version:from_version]):
        _execute(op, file, schema)


def statements(name: str, schema: str) -> Iterator[str]:
    """The statements of a file in `sql/`, one by one: not every driver takes several at once."""
    text = (resources.files(__name__) / "sql" / f"{name}.sql").read_text("utf-8")
    lines: list[str] = []
    quoted = False
    for line in text.replace("{schema}", schema).splitlines():
        quoted ^= line.count("$body$") % 2 == 1
        lines.append(line)
        if line.rstrip().endswith(";") and not quoted:
            yield "\n".join(lines).strip().rstrip(";")
            lines.clear()


def _execute(op: Operations, name: str, schema: str) -> None:
    for statement in statements(name, schema):
        op.execute(sa.text(statement.replace(":", r"\:")))  # a colon is no bind parameter here


def _check_versions(older: int, newer: int) -> None:
    if not 0 <= older <= newer <= LATEST_VERSION:
        raise ValueError(
            f"pgqueue has no way from schema version {older} to {newer}: "
            f"this release knows the versions 0 to {LATEST_VERSION}, in that order"
        )
