"""An App whose children boot until a file appears: a deployment that went wrong half-way."""

import multiprocessing
import os
from pathlib import Path

from pgqueue import App

app = App("breakable", set_as_current=False, include=["tests.worker.breakable_tasks"])


@app.task
def ping() -> str:
    return "pong"


def break_if_asked() -> None:
    """Fail as an import would, in a child only."""
    if (
        multiprocessing.parent_process() is not None
        and Path(os.environ["TEST_BROKEN_IF_EXISTS"]).exists()
    ):
        raise RuntimeError("broken meanwhile")


app.import_tasks_before = app.import_tasks  # type: ignore[attr-defined]


def import_tasks() -> None:
    break_if_asked()
    app.import_tasks_before()  # type: ignore[attr-defined]


app.import_tasks = import_tasks  # type: ignore[method-assign]
