"""The App and its one task.

`pgqueue -A pgqueue.examples.library_index.tasks worker` runs it.
"""

from dataclasses import asdict
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, update
from sqlalchemy.orm import Session

from pgqueue import App
from pgqueue.examples.library_index.counts import count
from pgqueue.examples.library_index.models import SourceFile

app = App("library_index")  # its database: pgqueue -b URL, or the variable PGQUEUE_DATABASE_URL


@cache
def engine() -> Engine:
    """The application's connections, to the database that its jobs are in."""
    return create_engine(make_url(app.conf.database_url).set(drivername="postgresql+psycopg"))


@app.task(name="library_index.index_file")
def index_file(file_id: int, path: str) -> dict[str, int]:
    """Write the counts of a file into its row.

    It may run twice, if a process dies at the wrong moment: the second run writes the same counts.
    A file that does not parse fails its job, and the traceback is in `pgqueue.jobs`.
    """
    counts = asdict(count(Path(path)))
    with Session(engine()) as session, session.begin():
        session.execute(update(SourceFile).where(SourceFile.id == file_id).values(counts))
    return counts
