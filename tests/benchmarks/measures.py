"""The measures: each runs the queue and its raw counterpart in turn, and counts what came out."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import psycopg

from pgqueue.core.ids import uuid7
from pgqueue.core.job import NewJob
from tests.benchmarks import raw
from tests.benchmarks.meters import Cost, Meter, metered
from tests.benchmarks.tasks import app, noop, started_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOOP = noop.name


@dataclass
class Figure:
    """One line of the table: the queue's runs, and those of the raw loop beside it."""

    measure: str
    unit: str
    runs: list[float] = field(default_factory=list)
    raw_runs: list[float] = field(default_factory=list)
    raw: str = ""
    costs: list[Cost] = field(default_factory=list)
    raw_costs: list[Cost] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The median run."""
        return median(self.runs)

    @property
    def raw_value(self) -> float | None:
        """The median run of the raw loop."""
        return median(self.raw_runs) if self.raw_runs else None


@dataclass(frozen=True)
class Bench:
    """Where to measure, and how much."""

    url: str
    server_pid: int | None
    runs: int
    scale: float

    def meter(self) -> Meter:
        """The meters of the server, and of this process."""
        return Meter(self.url, server_pid=self.server_pid)

    def count(self, full: int) -> int:
        """So many, scaled."""
        return max(20, int(full * self.scale))

    def execute(self, sql: str) -> Any:
        """The first value that a statement returns, if any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]

    def clear(self) -> None:
        """Empty every table, so that each run begins with the same."""
        self.execute(
            "TRUNCATE pgqueue.job, pgqueue.attempt, pgqueue.ready, pgqueue.running, pgqueue.scheduled"
        )
        self.execute("CHECKPOINT")


def drain(bench: Bench) -> list[Figure]:
    """Empty a queue of no-op jobs with a worker of two children; results are stored."""
    figure = Figure("drain, no-op, -c 2", "jobs/s", raw="claim + settle, one connection")
    jobs = bench.count(100_000)
    for _ in range(bench.runs):
        bench.clear()
        app.send_many([noop.s(1, 2)] * jobs)
        with worker(bench, paused=True) as pid:
            meter = Meter(bench.url, server_pid=bench.server_pid, worker_pid=pid)
            with metered(meter, figure.costs, jobs=jobs):
                bench.execute("SELECT pgqueue.resume('celery')")
                _await_end(bench, jobs)
        seconds = bench.execute(
            "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8"
            " FROM pgqueue.attempts WHERE outcome = 'succeeded' AND final"
        )
        figure.runs.append(jobs / seconds)
        bench.clear()
        app.send_many([noop.s(1, 2)] * jobs)
        with metered(bench.meter(), figure.raw_costs, jobs=jobs):
            done, seconds = raw.drain(bench.url)
        assert done == jobs
        figure.raw_runs.append(done / seconds)
    return [figure]


def enqueue(bench: Bench) -> list[Figure]:
    """Enqueue one by one: `delay()`, the same statement in a bare loop, and bare commits."""
    figure = Figure("enqueue one by one, delay()", "jobs/s", raw="same statement, psycopg")
    bare = Figure("  of which: bare commits", "commits/s")
    count = bench.count(3000)
    for _ in range(bench.runs):
        bench.clear()
        with metered(bench.meter(), figure.costs, jobs=count):
            begun = time.perf_counter()
            for number in range(count):
                noop.delay(number)
            figure.runs.append(count / (time.perf_counter() - begun))
        assert bench.execute("SELECT count(*) FROM pgqueue.ready") == count
        jobs = _jobs(count)
        with metered(bench.meter(), figure.raw_costs, jobs=count):
            figure.raw_runs.append(count / raw.insert_one_by_one(bench.url, jobs))
        bare.runs.append(count / raw.commit_one_by_one(bench.url, count))
    return [figure, bare]


def bulk(bench: Bench) -> list[Figure]:
    """Enqueue many in one call."""
    count = bench.count(100_000)
    figure = Figure(f"bulk, send_many of {count}", "jobs/s", raw="same statement, ready-made")
    signatures = [noop.s(number) for number in range(count)]
    for _ in range(bench.runs):
        bench.clear()
        with metered(bench.meter(), figure.costs, jobs=count):
            begun = time.perf_counter()
            app.send_many(signatures)
            figure.runs.append(count / (time.perf_counter() - begun))
        assert bench.execute("SELECT count(*) FROM pgqueue.ready") == count
        bench.clear()
        jobs = _jobs(count)
        with metered(bench.meter(), figure.raw_costs, jobs=count):
            figure.raw_runs.append(count / raw.insert_at_once(bench.url, jobs))
    return [figure]


def latency(bench: Bench) -> list[Figure]:
    """An idle worker: from `delay()` to the first line of the task, and `delay().get()`."""
    middle = Figure("latency idle, to the task, p50", "ms", raw="notified bare loop holds the job")
    worst = Figure("latency idle, to the task, p99", "ms", raw="notified bare loop holds the job")
    back = Figure("delay().get() round trip, p50", "ms")
    count = bench.count(300)
    for _ in range(bench.runs):
        bench.clear()
        pauses = [random.uniform(0.01, 0.05) for _ in range(count)]
        with worker(bench):
            started_at.delay().get(timeout=10)
            to_task, round_trip = [], []
            for pause in pauses:
                time.sleep(pause)
                before = time.time()
                begun = time.perf_counter()
                to_task.append(started_at.delay().get(timeout=10) - before)
                round_trip.append(time.perf_counter() - begun)
        raw_times = raw.latencies(bench.url, _jobs(count), pauses)
        for figure, times, place in ((middle, to_task, 49), (worst, to_task, 98)):
            figure.runs.append(quantiles(times, n=100)[place] * 1000)
            figure.raw_runs.append(quantiles(raw_times, n=100)[place] * 1000)
        back.runs.append(median(round_trip) * 1000)
    return [middle, worst, back]


MEASURES = {"drain": drain, "enqueue": enqueue, "bulk": bulk, "latency": latency}


@contextlib.contextmanager
def worker(bench: Bench, *, paused: bool = False) -> Iterator[int]:
    """A worker with two children that is ready; its process id. With its queue paused if asked."""
    bench.execute(f"SELECT pgqueue.{'pause' if paused else 'resume'}('celery')")
    command = [sys.executable, "-m", "pgqueue", "-A", "tests.benchmarks.tasks", "worker", "-c", "2"]
    environment = os.environ | {"PGQUEUE_BENCH_DATABASE_URL": bench.url}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        _until(lambda: bench.execute("SELECT count(*) FROM pgqueue.workers") == 1, within=20)
        time.sleep(0.5)  # not measured: it has looked and knows that the queue is paused
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _await_end(bench: Bench, jobs: int) -> None:
    _until(
        lambda: (
            bench.execute("SELECT count(*) FROM pgqueue.ready") == 0
            and bench.execute("SELECT count(*) FROM pgqueue.running") == 0
        ),
        within=300,
    )
    ended = bench.execute("SELECT jobs FROM pgqueue.stats() WHERE state = 'succeeded'")
    assert ended == jobs, f"{ended} of {jobs} jobs succeeded"


def _until(happened: Any, *, within: float) -> None:
    deadline = time.monotonic() + within
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened within {within} s")
        time.sleep(0.1)


def _jobs(count: int) -> Sequence[NewJob]:
    return [
        NewJob(id=uuid7(), task=NOOP, queue="celery", priority=5, args=f"[{number}]")
        for number in range(count)
    ]
