"""What a stretch of work has cost: WAL, commits, and processor time of the server and of processes."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """The meters at one moment. Commits are those that write: transaction ids given out."""

    wal_bytes: int
    commits: int
    server_cpu: float
    client_cpu: float
    children_cpu: float


@dataclass(frozen=True)
class Cost:
    """What one job has cost; processor time in microseconds.

    `client_us` is the worker's parent's, or, where there is no worker, the measuring process's own.
    """

    wal_bytes: float
    commits: float
    server_us: float
    client_us: float
    children_us: float


class Meter:
    """Reads the meters of a server, and of a worker if there is one."""

    def __init__(self, url: str, *, server_pid: int | None, worker_pid: int | None = None) -> None:
        self._url = url
        self._server_pid = server_pid
        self._worker_pid = worker_pid

    def read(self) -> Reading:
        """The meters now."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row: Any = connection.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0',"
                " pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            ).fetchone()
        worker = self._worker_pid
        children = [] if worker is None else worker_children(worker)
        return Reading(
            wal_bytes=int(row[0]),
            commits=int(row[1]),
            server_cpu=0.0 if self._server_pid is None else _server_seconds(self._server_pid),
            client_cpu=time.process_time() if worker is None else _seconds([worker]),
            children_cpu=_seconds(children),
        )


@contextmanager
def metered(meter: Meter, costs: list[Cost], *, jobs: int) -> Iterator[None]:
    """Add to `costs` what each of so many jobs costs in the block."""
    before = meter.read()
    yield
    costs.append(cost_per_job(before, meter.read(), jobs))


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The median of each part."""
    return Cost(*[median(parts) for parts in zip(*map(astuple, costs), strict=True)])


def cost_per_job(before: Reading, after: Reading, jobs: int) -> Cost:
    """What each of so many jobs has cost between two readings."""
    return Cost(
        wal_bytes=(after.wal_bytes - before.wal_bytes) / jobs,
        commits=(after.commits - before.commits) / jobs,
        server_us=(after.server_cpu - before.server_cpu) / jobs * 1e6,
        client_us=(after.client_cpu - before.client_cpu) / jobs * 1e6,
        children_us=(after.children_cpu - before.children_cpu) / jobs * 1e6,
    )


def descendants(pid: int) -> list[int]:
    """The processes below a process; one that ends meanwhile has none."""
    below: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            below += map(int, (task / "children").read_text().split())
    return below + [deeper for child in below for deeper in descendants(child)]


def worker_children(pid: int) -> list[int]:
    """The processes that run tasks: those below the fork server, which is itself below the worker."""
    return [deeper for child in descendants(pid) for deeper in descendants(child)]


def _server_seconds(pid: int) -> float:
    # Backends that have ended count in the postmaster's cutime and cstime.
    ended = sum(_stat(pid)[13:15]) * TICK_SECONDS
    return ended + _seconds([pid, *descendants(pid)])


def _seconds(pids: Iterable[int]) -> float:
    return sum(sum(_stat(pid)[11:13]) for pid in pids) * TICK_SECONDS


def _stat(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0] * 20
    # After the name, which may hold spaces: state, then numbers; utime is the 12th.
    return [0, *(int(number) for number in text.rpartition(")")[2].split()[1:20])]
