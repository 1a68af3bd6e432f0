"""Load the App in the fork server, so that its children start warm and share its memory."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pgqueue.worker.app_address import AppAddress

VARIABLE: Final = "_PGQUEUE_PRELOAD"


def start_server(app: AppAddress) -> None:
    """Start this process's fork server with the App loaded; one that runs already is used as it is."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    multiprocessing.set_forkserver_preload([__name__])
    os.environ[VARIABLE] = json.dumps([app.module, app.attribute, list(app.path)])
    try:
        forkserver.ensure_running()
    finally:
        del os.environ[VARIABLE]


def _load() -> None:
    from pgqueue.worker import child  # noqa: F401, PLC0415
    from pgqueue.worker.app_address import AppAddress, load_app  # noqa: PLC0415 - only in the server

    # A supervisor may signal the whole group: only the worker is to decide what ends when.
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    module, attribute, path = json.loads(os.environ.pop(VARIABLE))
    if module == "__main__":
        return  # each child runs the main module by itself, as multiprocessing does
    with contextlib.suppress(Exception):  # each child meets it again, and reports it
        load_app(AppAddress(module, attribute, tuple(path))).import_tasks()


if VARIABLE in os.environ:
    _load()
