"""What the measured workers run."""

from __future__ import annotations

import os
import time

from pgqueue import App

app = App("tests.benchmarks.tasks", os.environ.get("PGQUEUE_BENCH_DATABASE_URL"))


@app.task
def noop(*numbers: int) -> None:
    """Do nothing: what remains is the queue."""


@app.task
def started_at() -> float:
    """The moment of the run, by the clock that the producer reads, too."""
    return time.time()
