"""An App whose children boot until a file appears: a deployment that went wrong half-way."""

import multiprocessing
import os
from pathlib import Path

from pgqueue import App


class BreakableApp(App):
    """Its tasks can be imported until TEST_BROKEN_IF_EXISTS exists, by the worker for ever."""

    def import_tasks(self) -> None:
        is_child = multiprocessing.parent_process() is not None
        if is_child and Path(os.environ["TEST_BROKEN_IF_EXISTS"]).exists():
            raise RuntimeError("broken meanwhile")
        super().import_tasks()


app = BreakableApp("breakable", set_as_current=False)


@app.task
def ping() -> str:
    return "pong"
