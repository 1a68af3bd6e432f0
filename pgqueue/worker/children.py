"""The pool of children: hands jobs out, gathers outcomes, replaces children that end."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import selectors
import threading
import time
import traceback
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pgqueue.core.lifecycle import (
    Interrupted,
    Lost,
    Outcome,
    Released,
    Run,
    Settlement,
    Success,
    settle,
)
from pgqueue.worker import preload
from pgqueue.worker.child_process import ChildProcess
from pgqueue.worker.estimates import UNKNOWN_SECONDS, Estimates
from pgqueue.worker.wakeup import WakeUp
from pgqueue.worker.wire import FromChild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgqueue.core.job import ClaimedJob
    from pgqueue.worker.child import ChildSpec

log = logging.getLogger(__name__)

# About this much work is claimed ahead for each child, and this much of it given to the child itself.
CLAIM_AHEAD_SECONDS: Final = 0.05
GIVE_AHEAD_SECONDS: Final = 0.01
MOST_AHEAD: Final = 500
MOST_GIVEN: Final = 250
# A job that runs longer than this while another child idles gives back what waits behind it.
STUCK_SECONDS: Final = 0.02
# Outcomes come in a stream while children are busy: gather for a moment instead of waking for each.
GATHER_SECONDS: Final = 0.001
BOOT_FAILURES: Final = 5
NOT_RUN: Final = Run(None, None, None)


class Children:
    """N child processes that run claimed jobs.

    `settled` is called with settlements, from this pool's thread or a caller's. Public methods
    may be called from any thread.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        count: int,
        max_tasks_per_child: int | None,
        max_crashes: int,
        settled: Callable[[Sequence[Success | Settlement]], None],
        has_room: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._count = count
        self._max_tasks = max_tasks_per_child
        self._max_crashes = max_crashes
        self._settled = settled
        self._has_room = has_room
        self._context = multiprocessing.get_context(start_method())
        self._lock = threading.RLock()
        self._children: list[ChildProcess] = []
        self._buffer: deque[ClaimedJob] = deque()
        self._estimates = Estimates()
        self._wake = WakeUp()
        self._selector = selectors.DefaultSelector()
        self._thread: threading.Thread | None = None
        self._boot_failures = 0
        self._numbers = 0
        self._is_stopping = False
        self._lost: set[tuple[str, int]] = set()
        self._outcomes: list[Success | Settlement] = []
        self.boot_error: str | None = None
        self.failure: str | None = None

    def start(self) -> None:
        """Start the children; they take jobs when they have booted."""
        preload.start_server(self._spec.app)
        self._selector.register(self._wake, selectors.EVENT_READ)
        with self._lock:
            self._fill_up()
        self._thread = threading.Thread(target=self._run, name="pgqueue-children", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether a child can take a job."""
        with self._lock:
            return any(child.is_ready for child in self._children)

    def pids(self) -> list[int]:
        """The process ids of the living children."""
        with self._lock:
            return [child.process.pid for child in self._children]

    def room(self) -> int:
        """How many jobs to claim now: what would begin within about 50 ms, or nothing.

        Half of that or more, unless a child is out of work: many small claims cost more.
        """
        with self._lock:
            takers = [child for child in self._children if child.accepts_jobs]
            if not takers or self._is_stopping:
                return 0
            each = max(1, min(MOST_AHEAD, int(CLAIM_AHEAD_SECONDS / self._estimates.any_seconds)))
            if self._has_suspect():
                each = 1  # it may take this process along, and then every claim here counts a crash
            wanted = each * len(takers)
            here = len(self._buffer) + sum(len(child.in_hand) for child in takers)
            room = wanted - here
            is_hungry = not self._buffer and any(not child.in_hand for child in takers)
            return room if room * 2 >= wanted or (is_hungry and room > 0) else 0

    def takes_suspect(self) -> bool:
        """Whether to claim a job that has crashed before: one at a time, for a child that is free."""
        with self._lock:
            is_free = any(child.accepts_jobs and not child.in_hand for child in self._children)
            return (
                is_free and not self._is_stopping and not self._buffer and not self._has_suspect()
            )

    def accept(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take claimed jobs, and hand them out as far as children have room."""
        with self._lock:
            self._buffer.extend(jobs)
            if self._is_stopping:
                self._release_buffer()
            self._hand_out()

    def held(self) -> set[tuple[str, int]]:
        """The (job id, claim) pairs that wait or run here."""
        with self._lock:
            held = {(job.id, job.claim) for job in self._buffer}
            for child in self._children:
                held.update((job.id, job.claim) for job in child.in_hand.values())
            return held

    def drop(self, lost: set[tuple[str, int]]) -> None:
        """Forget jobs whose leases are lost; a child that runs one of them is killed."""
        with self._lock:
            self._lost = (self._lost & self.held()) | lost
            self._buffer = deque(job for job in self._buffer if (job.id, job.claim) not in lost)
            for child in self._children:
                held = [(job.id, job.claim) for job in child.in_hand.values()]
                if held and held[0] in lost:
                    child.kill()
                elif not lost.isdisjoint(held):
                    child.recall()

    def kill_all(self) -> None:
        """Give all jobs up and kill all children; new ones start. For a worker that others replace."""
        with self._lock:
            self._release_buffer()
            for child in self._children:
                if child.in_hand:
                    child.kill()

    def stop_giving(self) -> None:
        """Begin to stop: claims that have not begun go back, what runs goes on."""
        with self._lock:
            self._is_stopping = True
            self._release_buffer()
            for child in self._children:
                child.recall()
                child.finish()
        self._wake.set()

    def are_idle(self) -> bool:
        """Whether no job is here."""
        with self._lock:
            return not self._buffer and not any(child.in_hand for child in self._children)

    def join(self, *, patience_seconds: float) -> None:
        """Wait for the end of the children and of the pool's thread, after `stop_giving`.

        Children that are left after `patience_seconds` are killed; their jobs go back.
        """
        if self._thread is not None:
            self._wake.set()
            self._thread.join(patience_seconds)
            with self._lock:
                for child in self._children:
                    child.kill()
            self._thread.join()
        self._wake.close()
        self._selector.close()

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            # Without this thread nothing would ever end: stop, and leave the leases to a rescue.
            log.exception("the pool of children has failed, and the worker stops")
            with self._lock:
                self.failure = traceback.format_exc()
                self._settle_outcomes()
                self._buffer.clear()
                for child in self._children:
                    child.in_hand.clear()
                    child.kill()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._watch_full_pipes()
            events = self._selector.select(timeout=0.05 if self._is_anybody_stuck() else 1.0)
            with self._lock:
                heard = self._attend(events)
                self._settle_outcomes()
                self._fill_up()
                self._recall_behind_long_jobs()
                self._hand_out()
                if self._is_stopping and not self._children:
                    return
            if heard and self.room() > 0:
                self._has_room()
            if heard > 1:
                time.sleep(GATHER_SECONDS)

    def _attend(self, events: list[tuple[selectors.SelectorKey, int]]) -> int:
        heard = 0
        for key, _ in events:
            if key.fileobj is self._wake:
                self._wake.clear()
                continue
            child: ChildProcess = key.data
            if child not in self._children:
                continue
            try:
                heard += self._hear(child)
                child.outbox.flush()
                if key.fileobj == child.process.sentinel:
                    self._hear_rest(child)
                    self._bury(child)
            except (EOFError, BrokenPipeError):
                self._hear_rest(child)
                self._bury(child)
            except Exception:
                # A task has written into our pipe, perhaps: this child is beyond understanding.
                log.exception("%s wrote nonsense, and is ended", child.name)
                child.kill_group()
                self._bury(child)
        return heard

    def _settle_outcomes(self) -> None:
        # At once for all, and before the lock is released: a job must always be held by somebody.
        if self._outcomes:
            self._settled(self._outcomes)
            self._outcomes = []

    def _hear_rest(self, child: ChildProcess) -> None:
        with contextlib.suppress(Exception):  # the end, or nonsense
            while self._hear(child):
                pass

    def _hear(self, child: ChildProcess) -> int:
        messages = child.inbox.receive()
        for message in messages:
            match message[0]:
                case FromChild.SUCCESS:
                    self._ended(child, Success._make(message[1:]))
                case FromChild.SETTLEMENT:
                    self._ended(child, Settlement._make(message[1:]))
                case FromChild.RETURNED:
                    self._returned(child, message[1])
                case FromChild.READY:
                    child.is_ready = True
                    self._boot_failures = 0
                    log.debug("%s is ready, pid %s", child.name, message[1])
                case FromChild.BOOT_FAILED:
                    child.boot_error = message[1]
        if messages:
            child.heard_at = time.monotonic()
        return len(messages)

    def _ended(self, child: ChildProcess, settlement: Success | Settlement) -> None:
        job = child.in_hand.get(settlement.job_id)
        if job is None or job.claim != settlement.claim:
            return  # its lease was lost meanwhile
        del child.in_hand[settlement.job_id]
        if settlement.started is not None and settlement.finished is not None:
            estimated = self._estimates.of(job.task)
            self._estimates.learn(job.task, settlement.finished - settlement.started)
            child.expected_seconds -= estimated
        if not child.in_hand:
            child.expected_seconds = 0.0
        self._outcomes.append(settlement)

    def _returned(self, child: ChildProcess, claims: list[tuple[str, int]]) -> None:
        child.is_recalled = False
        jobs = []
        for job_id, claim in claims:
            job = child.in_hand.get(job_id)
            if job is not None and job.claim == claim:
                del child.in_hand[job_id]
                if (job_id, claim) not in self._lost:
                    jobs.append(job)
        child.expected_seconds = sum(self._estimates.of(job.task) for job in child.in_hand.values())
        if child.quota is not None:
            child.quota += len(jobs)
        if self._is_stopping:
            for job in jobs:
                self._settle(job, Released(), NOT_RUN)
        else:
            self._buffer.extendleft(reversed(jobs))

    def _bury(self, child: ChildProcess) -> None:
        """Attribute the end of a child to the job that it was running; the others were not begun."""
        self._children.remove(child)
        if child.outbox.fileno() in self._selector.get_map():
            self._selector.unregister(child.outbox)
        self._selector.unregister(child.inbox)
        self._selector.unregister(child.process.sentinel)
        reason = child.end_reason()
        jobs = list(child.in_hand.values())
        child.in_hand.clear()
        if jobs:
            self._account_for(child, jobs[0], jobs[1:], reason)
        elif not child.is_finishing and not child.is_killed:
            log.warning("%s ended: %s", child.name, reason)
        if not child.is_ready and not child.is_killed:
            self._boot_failed(child.name, child.boot_error or reason)
        child.close()
        for other in self._children:
            if other.predecessor is child:
                other.predecessor = None
        self._fill_up()

    def _account_for(
        self, child: ChildProcess, run: ClaimedJob, waiting: list[ClaimedJob], reason: str
    ) -> None:
        self._buffer.extendleft(reversed(waiting))
        if child.is_killed:  # by us: nobody's fault, and nothing is to be run here again
            self._settle(run, Interrupted(), NOT_RUN)
            self._release_buffer()
            return
        child.kill_group()  # a program that the lost run has started must not meet the next run
        log.error("%s ended while it ran job %s: %s", child.name, run.id, reason)
        self._settle(run, Lost(reason, self._max_crashes), Run(None, None, child.process.pid))
        if self._is_stopping:
            self._release_buffer()

    def _release_buffer(self) -> None:
        while self._buffer:
            self._settle(self._buffer.popleft(), Released(), NOT_RUN)

    def _watch_full_pipes(self) -> None:
        """Hear when a pipe that was full takes more."""
        watched = self._selector.get_map()
        for child in self._children:
            if child.outbox.is_empty == (child.outbox.fileno() in watched):
                if child.outbox.is_empty:
                    self._selector.unregister(child.outbox)
                else:
                    self._selector.register(child.outbox, selectors.EVENT_WRITE, child)

    def _boot_failed(self, name: str, reason: str) -> None:
        self._boot_failures += 1
        log.error("%s did not start: %s", name, reason)
        if self._boot_failures >= BOOT_FAILURES:
            self.boot_error = reason

    def _fill_up(self) -> None:
        """Start children until there are enough; one that finishes is replaced before it leaves."""
        if self._is_stopping or self.boot_error is not None:
            return
        replaced = {id(child.predecessor) for child in self._children}
        leaving = [c for c in self._children if c.is_finishing and id(c) not in replaced]
        staying = sum(not child.is_finishing for child in self._children)
        for _ in range(self._count - staying):
            self._start_child(predecessor=leaving.pop(0) if leaving else None)

    def _start_child(self, *, predecessor: ChildProcess | None) -> None:
        self._numbers += 1
        name = f"{self._spec.name}-{self._numbers}"
        spec = replace(self._spec, name=name, parent_pid=os.getpid())
        try:
            child = ChildProcess(
                self._context, spec, quota=self._max_tasks, predecessor=predecessor
            )
        except (OSError, EOFError) as error:  # the fork server was killed, or resources are short
            self._boot_failed(name, f"no process could be made: {error!r}")
            return
        self._children.append(child)
        self._selector.register(child.inbox, selectors.EVENT_READ, child)
        self._selector.register(child.process.sentinel, selectors.EVENT_READ, child)

    def _hand_out(self) -> None:
        if not self._buffer:
            return
        # The child with the least to do first: no job waits while somebody is free.
        takers = [child for child in self._children if child.accepts_jobs]
        for child in sorted(takers, key=lambda one: (len(one.in_hand) > 0, one.expected_seconds)):
            self._give(child, len(takers))
            if not self._buffer:
                return

    def _give(self, child: ChildProcess, takers: int) -> None:
        share = -(-len(self._buffer) // takers)
        most = min(MOST_GIVEN - len(child.in_hand), share if child.quota is None else child.quota)
        jobs: list[ClaimedJob] = []
        seconds = 0.0
        while self._buffer and len(jobs) < most:
            expected = self._estimates.of(self._buffer[0].task)
            is_first = not child.in_hand and not jobs
            if self._buffer[0].crashes:
                expected = UNKNOWN_SECONDS  # alone, whatever it took before
            if not is_first and child.expected_seconds + seconds + expected > GIVE_AHEAD_SECONDS:
                break
            jobs.append(self._buffer.popleft())
            seconds += expected
        if jobs:
            try:
                child.give(jobs, expected_seconds=seconds)
            except BrokenPipeError:
                self._buffer.extendleft(reversed(jobs))
                self._wake.set()
                return
            if not child.outbox.is_empty:
                self._wake.set()
            if child.is_finishing:
                self._fill_up()

    def _has_suspect(self) -> bool:
        # It is claimed alone, and for an empty buffer: it can only be the first there.
        if self._buffer and self._buffer[0].crashes:
            return True
        return any(child.has_suspect and child.in_hand for child in self._children)

    def _is_anybody_stuck(self) -> bool:
        with self._lock:
            is_short = not self._is_stopping and len(self._children) < self._count
            return is_short or any(len(child.in_hand) > 1 for child in self._children)

    def _recall_behind_long_jobs(self) -> None:
        if self._buffer or not any(c.accepts_jobs and not c.in_hand for c in self._children):
            return
        now = time.monotonic()
        for child in self._children:
            if len(child.in_hand) > 1 and now - child.heard_at > STUCK_SECONDS:
                child.recall()

    def _settle(self, job: ClaimedJob, outcome: Outcome, run: Run) -> None:
        self._settled([settle(job, outcome, run)])


def start_method() -> str:
    """How children are made: from a server that has the App loaded, where there is such a thing."""
    methods: list[Any] = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in methods else "spawn"
