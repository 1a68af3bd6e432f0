"""Compare what the database says with the files themselves, and trust nobody's word."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row, select, text
from sqlalchemy.orm import Session

from pgqueue.examples.library_index.counts import Counts, count
from pgqueue.examples.library_index.enqueue import Sent
from pgqueue.examples.library_index.models import SourceFile

JOBS = """
SELECT id::text, args ->> 1 AS path, state, crashes, result, error_type, traceback
FROM pgqueue.jobs
"""
ATTEMPTS = """
SELECT job_id::text, count(*) AS runs, count(*) FILTER (WHERE final) AS ends,
       count(*) FILTER (WHERE outcome = 'lost') AS losses
FROM pgqueue.attempts GROUP BY job_id
"""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be true, and the proofs that it is not."""

    claim: str
    mistakes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.mistakes


@dataclass(frozen=True, slots=True)
class Books:
    """All that is in the database, read in one transaction."""

    files: Mapping[str, SourceFile]
    jobs: Sequence[Row[Any]]
    attempts: Sequence[Row[Any]]


def read_books(engine: Engine) -> Books:
    """Read the table of files, the jobs and their attempts."""
    with Session(engine, expire_on_commit=False) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        files = {row.path: row for row in session.scalars(select(SourceFile))}
        jobs = session.execute(text(JOBS)).all()
        attempts = session.execute(text(ATTEMPTS)).all()
        session.expunge_all()
    return Books(files, jobs, attempts)


def count_again(paths: Iterable[str]) -> Iterator[tuple[str, Counts | str]]:
    """Count files in this process; a file that cannot be parsed yields the name of its error."""
    for path in paths:
        try:
            yield path, count(Path(path))
        except (SyntaxError, ValueError, RecursionError) as error:
            yield path, type(error).__name__


def audit(
    engine: Engine, sent: Sequence[Sent], counted: Mapping[str, Counts | str], *, kills: int
) -> Iterator[Check]:
    """Check the books against what was sent, counted and killed; they balance if all checks hold."""
    books = read_books(engine)
    committed = [one for one in sent if one.is_committed]
    rolled_back = [one for one in sent if not one.is_committed]
    yield _check_committed(books, committed)
    yield _check_rolled_back(books, rolled_back)
    yield _check_attempts(books, committed, kills)
    yield _check_counts(books, committed, counted)


def _check_committed(books: Books, committed: Sequence[Sent]) -> Check:
    check = Check(f"{len(committed)} files were committed: each has one row and one job that ended")
    paths = {one.path for one in committed}
    check.mistakes.extend(f"{path} has a row" for path in books.files.keys() - paths)
    check.mistakes.extend(f"{path} has no row" for path in paths - books.files.keys())
    found = Counter((job.id, job.path) for job in books.jobs)
    wanted = Counter((one.job_id, one.path) for one in committed)
    check.mistakes.extend(f"job {job_id} is missing: {path}" for job_id, path in wanted - found)
    check.mistakes.extend(f"job {job_id} is too many: {path}" for job_id, path in found - wanted)
    check.mistakes.extend(
        f"job {job.id} is {job.state}: {job.path}"
        for job in books.jobs
        if job.state not in {"succeeded", "failed"}
    )
    return check


def _check_rolled_back(books: Books, rolled_back: Sequence[Sent]) -> Check:
    check = Check(f"{len(rolled_back)} files were rolled back: they have neither row nor job")
    jobs = {job.id for job in books.jobs} | {one.job_id for one in books.attempts}
    for one in rolled_back:
        if one.path in books.files:
            check.mistakes.append(f"{one.path} has a row")
        if one.job_id in jobs:
            check.mistakes.append(f"{one.path} has job {one.job_id}")
    return check


def _check_attempts(books: Books, committed: Sequence[Sent], kills: int) -> Check:
    """A job ran once, and once more if its process died; one killed between two jobs costs nothing."""
    crashes = {job.id: job.crashes for job in books.jobs}
    again = sum(crashes.values())
    check = Check(f"{kills} process was killed: {again} job ran again, all others ran once")
    if again > kills:
        check.mistakes.append(f"{again} runs were lost")
    attempts = {one.job_id: (one.runs, one.ends, one.losses) for one in books.attempts}
    for one in committed:
        runs, ends, losses = attempts.get(one.job_id, (0, 0, 0))
        crashed = crashes.get(one.job_id, 0)
        if ends != 1:
            check.mistakes.append(f"job {one.job_id} ended {ends} times: {one.path}")
        if (runs, losses) != (1 + crashed, crashed):
            check.mistakes.append(
                f"job {one.job_id} ran {runs} times, lost {losses} processes, and knows of {crashed}"
            )
    return check


def _check_counts(
    books: Books, committed: Sequence[Sent], counted: Mapping[str, Counts | str]
) -> Check:
    check = Check("every file was counted again: rows and results say the same")
    jobs = {job.id: job for job in books.jobs}
    for one in committed:
        row, job = books.files.get(one.path), jobs.get(one.job_id)
        if row is None or job is None:
            continue  # another check has said so
        check.mistakes.extend(
            f"{one.path}: {mistake}" for mistake in _mistakes(row, job, counted[one.path])
        )
    return check


def _mistakes(row: SourceFile, job: Row[Any], counted: Counts | str) -> Iterator[str]:
    size = Path(row.path).stat().st_size
    written = (row.size, row.functions, row.classes, row.lines, row.imports)
    ended = (job.state, job.result, job.error_type)
    expected_end: tuple[str, dict[str, int] | None, str | None]
    if isinstance(counted, Counts):
        counts = asdict(counted)
        expected = (size, *counts.values())
        expected_end = ("succeeded", counts, None)
    else:
        expected = (size, None, None, None, None)
        expected_end = ("failed", None, counted)
        if counted not in (job.traceback or ""):
            yield f"the job has no traceback of {counted}"
    if written != expected:
        yield f"the row says {written}, the file {expected}"
    if ended != expected_end:
        yield f"the job says {ended}, the file {expected_end}"
