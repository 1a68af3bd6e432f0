"""Insert files, and the jobs that index them, in the same transactions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from pgqueue.examples.library_index.models import SourceFile
from pgqueue.examples.library_index.tasks import index_file

ROLL_BACK_EVERY = 10  # a transaction in so many changes its mind


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that was inserted and the job that was sent for it, both for good or neither."""

    path: str
    job_id: str
    is_committed: bool


def enqueue_files(engine: Engine, paths: Sequence[Path]) -> Iterator[list[Sent]]:
    """Insert each file with its job, a few per transaction; yield after each transaction."""
    size = max(1, min(20, len(paths) // ROLL_BACK_EVERY))
    for number, first in enumerate(range(0, len(paths), size), start=1):
        commits = number % ROLL_BACK_EVERY != 0
        yield _enqueue_together(engine, paths[first : first + size], commits=commits)


def _enqueue_together(engine: Engine, paths: Sequence[Path], *, commits: bool) -> list[Sent]:
    with Session(engine, expire_on_commit=False) as session:
        rows = [SourceFile(path=str(path), size=path.stat().st_size) for path in paths]
        session.add_all(rows)
        session.flush()  # gives the rows their ids
        jobs = [index_file.apply_async((row.id, row.path), connection=session) for row in rows]
        if commits:
            session.commit()  # rows and jobs begin to exist, together
        else:
            session.rollback()  # neither ever did
    return [Sent(row.path, job.id, commits) for row, job in zip(rows, jobs, strict=True)]
