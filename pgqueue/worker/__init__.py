"""The worker: a parent that claims and settles, and children that run user code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from pgqueue.core.consumed_queues import consumed_queues
from pgqueue.core.lifecycle import Settlement
from pgqueue.exceptions import ImproperlyConfigured, WorkerShutdown
from pgqueue.store.worker_queries import register_worker, retire_worker
from pgqueue.worker.app_address import AppAddress, address_of
from pgqueue.worker.child import ChildSpec
from pgqueue.worker.children import Children
from pgqueue.worker.claimer import Claimer
from pgqueue.worker.session import Session
from pgqueue.worker.settler import Settler
from pgqueue.worker.stopping import StopRequest
from pgqueue.worker.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgqueue.app import App
    from pgqueue.core.lifecycle import Success
    from pgqueue.store.query import Query

__all__ = ["Worker", "anon_nodename", "cpu_budget", "expand_nodename"]

log = logging.getLogger(__name__)

# Celery calls the same pool by two names.
POOLS: Final = frozenset({"prefork", "processes"})
# Of the lease: then nobody else runs our jobs yet.
FENCE_AT: Final = 0.8
WATCH_SECONDS: Final = 0.5
# What an idle child has to close its connections and flush its output.
LEAVE_SECONDS: Final = 0.5
# To take its row out when the database is out of reach; else the row goes with its lease.
RETIRE_SECONDS: Final = 1.0
# Threads hand the interpreter over faster than by default: the claimer must not wait 5 ms for it.
SWITCH_SECONDS: Final = 0.0005


class Worker:
    """Claims jobs of some queues and runs them in child processes.

    `start` blocks until the worker has stopped. Its identity is an id in the database; its name is
    a label.

    Args:
        app: the App whose tasks it runs.
        concurrency: how many children; default `worker_concurrency`, else one per processor.
        pool: "prefork", child processes; no other in this release.
        queues: the queues to claim from; default the App's.
        hostname: its name; `%h` is the host, `%n` what comes before the @, `%d` the domain.
        max_tasks_per_child: a child is replaced after so many jobs.
        loglevel: the level of its own log and its children's.
        address: where children find the App; default: the module that has it.
    """

    def __init__(
        self,
        app: App,
        *,
        concurrency: int | None = None,
        pool: str = "prefork",
        queues: Sequence[str] | None = None,
        hostname: str | None = None,
        max_tasks_per_child: int | None = None,
        loglevel: int = logging.WARNING,
        address: AppAddress | None = None,
    ) -> None:
        if pool not in POOLS:
            raise ImproperlyConfigured(f"pool {pool!r} is not in this release: use 'prefork'")
        conf = app.conf
        self.app = app
        chosen = concurrency or conf.worker_concurrency
        self.concurrency = cpu_budget() if chosen in {None, 0, "auto"} else int(chosen)
        self.queues = list(queues or consumed_queues(conf))
        self.name = expand_nodename(hostname)
        self._lease_seconds = float(conf.lease_seconds)
        self._id = 0
        self._stop = StopRequest()
        self._registration = Session(
            app.client,
            "registering",
            stopping=lambda: self._stop.is_asked,
            give_up_seconds=RETIRE_SECONDS,
        )
        self._settler = Settler(app.client, worker=lambda: self.name, put_off=self._put_off)
        spec = ChildSpec(
            app=address or address_of(app),
            hostname=self.name,
            name="child",
            log_level=loglevel,
            log_format=conf.worker_log_format,
            parent_pid=os.getpid(),
            settings=conf.as_mapping(),
        )
        self._children = Children(
            spec,
            count=self.concurrency,
            max_tasks_per_child=max_tasks_per_child or conf.worker_max_tasks_per_child,
            max_crashes=int(conf.max_crashes),
            settled=self._settled,
            has_room=self._room_made,
        )
        self._claimer = self._make_claimer()
        self._upkeep = self._make_upkeep()

    def _make_claimer(self) -> Claimer:
        return Claimer(
            self.app.client,
            _Throttled(self._children, self._settler, self._is_silent),
            queues=self.queues,
            worker_id=lambda: self._id,
            listens=bool(self.app.conf.listen),
            poll_seconds=float(self.app.conf.poll_interval),
            held=self._held,
            reconcile=self._reconcile,
            looked=lambda look: self._put_off(look.next_due_seconds),
        )

    def _make_upkeep(self) -> Upkeep:
        return Upkeep(
            self.app.client,
            worker_id=lambda: self._id,
            lease_seconds=self._lease_seconds,
            max_crashes=int(self.app.conf.max_crashes),
            fenced=self._begin_anew,
            promoted=self._wake,
        )

    def start(self) -> None:
        """Work until asked to stop; return when every claimed job is settled or given back.

        Raises:
            SchemaTooOld: the schema does not fit this release.
            OperationalError: the database is out of reach at the start.
            WorkerShutdown: the children cannot boot.
        """
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._work()
        finally:
            sys.setswitchinterval(interval)

    def _work(self) -> None:
        self.app.client.check_schema()
        self._children.start()
        try:
            self._await_boot()
            self._register(self._registration.run)
        except BaseException:
            self._children.stop_giving()
            self._children.join(patience_seconds=0.0)
            raise
        self._settler.start()
        self._upkeep.start()
        self._claimer.start()
        log.info(
            "%s is ready: %d children, queues %s",
            self.name,
            self.concurrency,
            ", ".join(self.queues),
        )
        try:
            self._watch()
        finally:
            self._wind_down()
        if self._children.failure is not None:
            raise WorkerShutdown(f"the pool of children has failed:\n{self._children.failure}")
        if self._children.boot_error is not None:
            raise WorkerShutdown(f"the children cannot start:\n{self._children.boot_error}")

    def stop(self, *, warm: bool = True) -> None:
        """Ask the worker to stop: warm, what runs is finished first; cold, it goes back at once.

        Returns at once, and may be called from a signal handler or another thread.
        """
        self._stop.ask(warm=warm)

    def install_signals(self) -> None:
        """TERM and INT stop warm, and the second of them cold; QUIT stops cold. Main thread only."""

        def stop(number: int, frame: Any) -> None:  # noqa: ARG001
            is_second = self._stop.is_asked
            warm = not is_second and number != signal.SIGQUIT
            self.stop(warm=warm)
            how = f"\npgqueue: {'warm' if warm else 'cold'} stop ({signal.Signals(number).name})\n"
            with contextlib.suppress(OSError):
                os.write(2, how.encode())  # not sys.stderr: the signal may have interrupted its use

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, stop)

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            if self._children.boot_error is not None or self._children.failure is not None:
                return
            if not (self._claimer.is_alive and self._settler.is_alive and self._upkeep.is_alive):
                raise WorkerShutdown("a duty of the worker has ended by an error: see the log")
            self._fence_if_silent()

    def _is_silent(self) -> bool:
        silent = time.monotonic() - self._upkeep.beaten_at
        return bool(silent > FENCE_AT * self._lease_seconds and self.app.conf.self_fence)

    def _fence_if_silent(self) -> None:
        """Stop what runs here before others take it over."""
        if self._is_silent():
            if not self._children.are_idle():
                log.error(
                    "no heartbeat has reached the database for %.1f s: others may take over, so what "
                    "runs here is stopped",
                    FENCE_AT * self._lease_seconds,
                )
            self._children.kill_all()

    def _wind_down(self) -> None:
        log.info("%s stops: %s", self.name, "cold" if self._stop.is_cold else "warm")
        self._stop.ask(warm=True)
        self._claimer.stop(self._stop.join)  # nothing new comes in
        self._children.stop_giving()  # what has not begun goes back
        grace = self.app.conf.grace_seconds
        until = None if grace is None else time.monotonic() + grace
        while not self._children.are_idle() and not self._stop.wait_for_cold(0.02):
            self._fence_if_silent()
            if until is not None and time.monotonic() > until:
                break
        self._children.join(patience_seconds=0.0 if self._stop.is_cold else LEAVE_SECONDS)
        self._settler.stop(self._stop.join)  # everything that ended is written
        self._upkeep.stop(self._stop.join)  # the heartbeat is the last to end
        leaving = threading.Thread(target=self._retire, name="pgqueue-retiring", daemon=True)
        leaving.start()
        self._stop.join(leaving)
        log.info("%s has stopped", self.name)

    def _await_boot(self) -> None:
        while not self._children.is_ready and not self._stop.is_asked:
            if self._children.boot_error is not None:
                raise WorkerShutdown(f"the children cannot start:\n{self._children.boot_error}")
            self._stop.wait(0.005)

    def _register(self, send: Callable[[Query[tuple[int, str]]], tuple[int, str] | None]) -> None:
        query = register_worker(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self.queues,
            concurrency=self.concurrency,
            version=sys.modules["pgqueue"].__version__,
            lease_seconds=self._lease_seconds,
        )
        registered = send(query)
        if registered is not None:
            self._id, name = registered
            if name != self.name:
                log.warning("a worker named %s is alive already: this one is %s", self.name, name)
                self.name = name
        self._registration.close()

    def _retire(self) -> None:
        self._registration.run_until_done(retire_worker(self._id))
        self._registration.close()

    def _begin_anew(self) -> None:
        log.error(
            "%s was taken for dead: it did not beat for %g s. What runs here is stopped, as others "
            "run it; the worker goes on under a new id",
            self.name,
            self._lease_seconds,
        )
        self._id = 0  # claims under the old id are being rescued
        self._children.kill_all()
        self._register(self._registration.run_until_done)
        self._claimer.doubt()

    def _settled(self, settlements: Sequence[Success | Settlement]) -> None:
        self._settler.add(*settlements)

    def _room_made(self) -> None:
        self._claimer.tell_room()

    def _wake(self) -> None:
        self._claimer.wake()

    def _put_off(self, seconds: float | None) -> None:
        if seconds is not None:
            self._upkeep.expect_due(seconds)

    def _held(self) -> set[tuple[str, int]]:
        return self._children.held() | self._settler.held()

    def _reconcile(self, held: set[tuple[str, int]], leases: set[tuple[str, int]]) -> None:
        """Give back leases that nobody here holds; drop jobs whose leases are gone."""
        for job_id, claim in leases - held:
            log.info("job %s was claimed without our knowing; it goes back", job_id)
            self._settler.add(Settlement(job_id, claim, "released", again_in=0.0))
        lost = (held & self._children.held()) - leases
        if lost:
            log.warning("%d leases are lost; their runs are stopped", len(lost))
            self._children.drop(lost)


class _Throttled:
    """The children as the claimer sees them: no room while outcomes pile up, or nobody hears us beat."""

    def __init__(self, children: Children, settler: Settler, is_silent: Callable[[], bool]) -> None:
        self._children = children
        self._settler = settler
        self._is_silent = is_silent
        self.accept = children.accept
        self.takes_suspect = children.takes_suspect

    def room(self) -> int:
        if self._settler.is_overloaded or self._is_silent():
            return 0
        return self._children.room()


def anon_nodename(hostname: str | None = None, prefix: str = "gen") -> str:
    """A name for a process without one: "gen<pid>@<host>"."""
    return f"{prefix}{os.getpid()}@{hostname or socket.gethostname()}"


def expand_nodename(given: str | None) -> str:
    """A worker's name: `%h`, `%n` and `%d` filled in, "celery@" before a bare name."""
    host = socket.gethostname()
    if not given:
        return f"celery@{host}"
    # A bare name is a host's, as in Celery: w1 is celery@w1.
    name, at, place = given.partition("@")
    if not at:
        name, place = "celery", given
    short, _, domain = host.partition(".")
    place = place.replace("%h", host).replace("%d", domain).replace("%n", short)
    name = name.replace("%h", host).replace("%d", domain).replace("%n", short)
    if not name or not place:
        raise ImproperlyConfigured(f"worker name {given!r} lacks a part: use name@host, or name")
    return f"{name}@{place}"


def cpu_budget() -> int:
    """How many processors this process may use: its affinity, and its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    return count if quota is None else max(1, min(count, round(quota)))


def _cgroup_quota() -> float | None:
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123
            quota, period = file.read().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)
