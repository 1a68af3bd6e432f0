"""The worker of the demo: a process of its own, as `pgqueue worker` is everywhere."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STOP_SECONDS: Final = 20.0
LOG_LINES_SHOWN: Final = 15


class DemoWorker:
    """A `pgqueue worker` with two children, and its log."""

    def __init__(self, app: str, *, log: Path) -> None:
        command = [sys.executable, "-m", "pgqueue", "-A", app, "worker", "-c", "2", "-l", "warning"]
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def raise_if_ended(self) -> None:
        """Say why there is no worker any more, if there is none."""
        if self._process.poll() is not None:
            raise self.failure(f"the worker has ended, with exit code {self._process.returncode}")

    def failure(self, what: str) -> click.ClickException:
        """An error that shows the end of the worker's log."""
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return click.ClickException("\n".join([f"{what}. The end of {self._log}:", *lines]))

    def stop(self) -> int:
        """Stop it as TERM does, and return its exit code; a worker that does not stop is killed."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextlib.contextmanager
def running_worker(app: str, *, log: Path) -> Iterator[DemoWorker]:
    """A worker for the block; whatever happens there, none is left behind.

    Raises:
        click.ClickException: it did not end as it should.
    """
    worker = DemoWorker(app, log=log)
    try:
        yield worker
    except BaseException:
        worker.stop()
        raise
    if (code := worker.stop()) != 0:
        raise worker.failure(f"the worker stopped with exit code {code}")


def kill_child(pid: int) -> None:
    """Kill a child of the worker, as the kernel does when memory is short."""
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGKILL)
