"""Ask the database what happened: plain SQL on the application's table and on pgqueue's views."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

STATEMENTS = Path(__file__).with_name("report.sql")


@dataclass(frozen=True, slots=True)
class Answer:
    """A statement of report.sql and what came back."""

    title: str
    sql: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def answers(engine: Engine) -> Iterator[Answer]:
    """Run the statements of report.sql, one after the other."""
    for part in STATEMENTS.read_text().strip().split("\n\n"):
        title, _, sql = part.removeprefix("-- ").partition("\n")
        with engine.connect() as connection:
            result = connection.exec_driver_sql(sql)
            yield Answer(title, sql, list(result.keys()), result.all())


def count_ended(engine: Engine) -> int:
    """How many jobs have ended, however."""
    ended = "SELECT count(*) FROM pgqueue.attempts WHERE final"
    with engine.connect() as connection:
        number: int = connection.execute(text(ended)).scalar_one()
    return number


def busy_child(engine: Engine) -> int | None:
    """The process id of the child that ended a job last; it runs the next one already."""
    last = "SELECT worker_pid FROM pgqueue.attempts ORDER BY finished_at DESC LIMIT 1"
    with engine.connect() as connection:
        return connection.execute(text(last)).scalar()
