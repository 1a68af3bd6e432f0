"""The child process: takes jobs from the worker's pipe, runs them in order, reports each at its end."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pgqueue.core.job import ClaimedJob
from pgqueue.core.lifecycle import Success
from pgqueue.log import setup_logging
from pgqueue.worker.app_address import AppAddress, load_app
from pgqueue.worker.runner import Runner
from pgqueue.worker.wire import FromChild, Inbox, ToChild, packed, write_all

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pgqueue.core.lifecycle import Settlement

PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True)
class ChildSpec:
    """All that a child must know to begin: it crosses the process border by pickle."""

    app: AppAddress
    hostname: str
    name: str
    log_level: int
    log_format: str
    parent_pid: int
    settings: dict[str, Any] = field(default_factory=dict)


def main(spec: ChildSpec, jobs: Connection, outcomes: Connection) -> None:
    """Run jobs until told to finish, or until the worker is gone."""
    _leave_with_parent()
    # The worker tells its children when to end, also if TERM or Ctrl-C is sent to the whole group.
    # Handlers, not SIG_IGN: programs that tasks start would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, _stay)
    setup_logging(spec.log_level, spec.log_format)
    threading.current_thread().name = spec.name
    try:
        app = load_app(spec.app)
        app.conf.command_line(spec.settings)
        app.import_tasks()
        runner = Runner(app, hostname=spec.hostname)
    except BaseException:  # noqa: BLE001 - the worker decides what to do about it
        write_all(outcomes.fileno(), packed((FromChild.BOOT_FAILED, traceback.format_exc())))
        os._exit(1)
    Child(runner, jobs.fileno(), outcomes.fileno()).run()
    runner.close()
    app.close()
    logging.shutdown()
    # Not sys.exit: a thread that a task has left behind must not keep the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


class Child:
    """Runs jobs in the main thread; an attendant thread listens to the worker meanwhile."""

    def __init__(self, runner: Runner, jobs: int, outcomes: int) -> None:
        self._runner = runner
        self._inbox = Inbox(jobs)
        self._outcomes = outcomes
        self._writing = threading.Lock()
        # None ends the loop.
        self._waiting: queue.SimpleQueue[ClaimedJob | None] = queue.SimpleQueue()

    def run(self) -> None:
        """Run jobs in the order in which they came, until FINISH."""
        attendant = threading.Thread(target=self._attend, name="pgqueue-attendant", daemon=True)
        attendant.start()
        self._tell((FromChild.READY, os.getpid()))
        while (job := self._waiting.get()) is not None:
            self._report(self._runner.run(job))

    def _report(self, settlement: Success | Settlement) -> None:
        # At once: what has ended must not be lost, nor run again, if the next job kills this process.
        kind = FromChild.SUCCESS if type(settlement) is Success else FromChild.SETTLEMENT
        self._tell((kind, *settlement))

    def _tell(self, message: tuple[Any, ...]) -> None:
        # A large message is written in parts: the other thread's must not come between.
        with self._writing:
            write_all(self._outcomes, packed(message))

    def _attend(self) -> None:
        while True:
            try:
                messages = self._inbox.receive()
            except (EOFError, OSError):
                # The worker is gone. Its jobs are rescued: running on would only run them twice.
                os._exit(1)
            for message in messages:
                match message[0]:
                    case ToChild.RUN:
                        for job in message[1]:
                            self._waiting.put(ClaimedJob._make(job))
                    case ToChild.RECALL:
                        self._give_back()
                    case ToChild.FINISH:
                        self._waiting.put(None)

    def _give_back(self) -> None:
        returned: list[tuple[str, int]] = []
        finish = False
        with contextlib.suppress(queue.Empty):
            while True:
                # Each get is atomic: a job is either here or with the main thread.
                job = self._waiting.get_nowait()
                if job is None:
                    finish = True
                else:
                    returned.append((job.id, job.claim))
        if finish:
            self._waiting.put(None)
        self._tell((FromChild.RETURNED, returned))


def _stay(number: int, frame: object) -> None:
    """Take a signal, and go on."""


def _leave_with_parent() -> None:
    """Ask the kernel to kill this process when the one that forked it ends; Linux only.

    Elsewhere, and if the parent was gone before, the pipe's end tells.
    """
    os.setpgid(0, 0)  # a hard kill reaches what tasks start, and a terminal's Ctrl-C does not
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
