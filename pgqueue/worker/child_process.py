"""One child, seen from the worker: its process, its pipes, and the jobs it was given."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time
import types
from typing import TYPE_CHECKING, Any, Final

from pgqueue.worker import child
from pgqueue.worker.wire import Inbox, Outbox, ToChild

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.context import BaseContext

    from pgqueue.core.job import ClaimedJob

# Between the end of a process's pipes and the news of its death.
CLOSED_PIPES_SECONDS: Final = 0.2
SIGNAL_NAMES: Final = {number.value: number.name for number in signal.Signals}


class ChildProcess:
    """A child process with what it was given and has not reported yet, in the order of its runs.

    `quota` is how many more jobs it may be given; None is any number. `predecessor` is the child
    that it replaces: it gets no job while that one still runs.
    """

    def __init__(
        self,
        context: BaseContext,
        spec: child.ChildSpec,
        *,
        quota: int | None,
        predecessor: ChildProcess | None = None,
    ) -> None:
        jobs_reader, jobs_writer = multiprocessing.connection.Pipe(duplex=False)
        outcomes_reader, outcomes_writer = multiprocessing.connection.Pipe(duplex=False)
        self.process: Any = context.Process(  # type: ignore[attr-defined]
            target=child.main, args=(spec, jobs_reader, outcomes_writer), name=spec.name
        )
        with _without_main_module(needed=spec.app.module == "__main__"):
            self.process.start()
        # Only the child holds these ends now: its death ends the pipe.
        jobs_reader.close()
        outcomes_writer.close()
        self._pipes = (jobs_writer, outcomes_reader)
        os.set_blocking(jobs_writer.fileno(), False)
        os.set_blocking(outcomes_reader.fileno(), False)
        self.outbox = Outbox(jobs_writer.fileno())
        self.inbox = Inbox(outcomes_reader.fileno())
        self.in_hand: dict[str, ClaimedJob] = {}
        self.expected_seconds = 0.0
        self.quota = quota
        self.predecessor = predecessor
        self.started_at = time.monotonic()
        self.heard_at = self.started_at
        self.is_ready = False
        self.has_suspect = False
        self.is_finishing = False
        self.is_recalled = False
        self.is_killed = False
        self.boot_error: str | None = None

    @property
    def name(self) -> str:
        """The process's name, as logs show it."""
        name: str = self.process.name
        return name

    @property
    def accepts_jobs(self) -> bool:
        """Whether it may be given a job now."""
        if not self.is_ready or self.is_finishing or self.is_recalled or self.is_killed:
            return False
        if self.has_suspect and self.in_hand:
            return False
        return self.predecessor is None or not self.predecessor.in_hand

    def give(self, jobs: Sequence[ClaimedJob], *, expected_seconds: float) -> None:
        """Hand jobs over; they begin in this order.

        Raises:
            BrokenPipeError: it has died, and none of them has begun.
        """
        self.outbox.send((ToChild.RUN, [tuple(job) for job in jobs]))
        for job in jobs:
            self.in_hand[job.id] = job
        self.has_suspect = jobs[0].crashes > 0
        self.expected_seconds += expected_seconds
        if self.quota is not None:
            self.quota -= len(jobs)
        if self.quota == 0:
            self.finish()

    def recall(self) -> None:
        """Ask for what has not begun; a message returns it."""
        if self.in_hand and not self.is_recalled:
            self.is_recalled = True
            self._send(ToChild.RECALL)

    def finish(self) -> None:
        """Let it end when it has run what it was given."""
        if not self.is_finishing:
            self.is_finishing = True
            self._send(ToChild.FINISH)

    def kill(self) -> None:
        """End it and all that its tasks have started, at once."""
        self.is_killed = True
        self.kill_group()

    def kill_group(self) -> None:
        """End what its tasks have started, and itself if it has not ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process.exitcode is not None:
            return  # its number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGKILL)  # before it has made its own group

    def close(self) -> None:
        """Close the pipes and forget the process, which has ended."""
        for pipe in self._pipes:
            pipe.close()
        self.process.join(timeout=1.0)
        if self.process.exitcode is not None:
            self.process.close()

    def end_reason(self) -> str:
        """How it ended, in words. One that only closed its pipes is ended: nobody can hear of it."""
        self.process.join(timeout=CLOSED_PIPES_SECONDS)
        code = self.process.exitcode
        if code is None:
            self.kill_group()
            return "its process closed its pipes"
        if code < 0:
            name = SIGNAL_NAMES.get(-code, str(-code))
            hint = " (out of memory?)" if -code == signal.SIGKILL else ""
            return f"its process was killed by signal {-code}, {name}{hint}"
        return f"its process ended with exit code {code}"

    def _send(self, kind: ToChild) -> None:
        with contextlib.suppress(BrokenPipeError):  # its death is noticed elsewhere
            self.outbox.send((kind,))


@contextlib.contextmanager
def _without_main_module(*, needed: bool) -> Iterator[None]:
    """Keep multiprocessing from running the main script (our own command) again in the child."""
    if needed:
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
