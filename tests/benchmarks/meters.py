"""What a stretch of work has cost: WAL, commits, and processor time of the server and of processes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """The meters at one moment. Commits are those that write: transaction ids given out."""

    wal_bytes: int
    commits: int
    server_cpu: float
    parent_cpu: float
    children_cpu: float


@dataclass(frozen=True)
class Cost:
    """What one job has cost; processor time in microseconds."""

    wal_bytes: float
    commits: float
    server_us: float
    parent_us: float
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
        children = [] if self._worker_pid is None else worker_children(self._worker_pid)
        return Reading(
            wal_bytes=int(row[0]),
            commits=int(row[1]),
            server_cpu=0.0 if self._server_pid is None else _server_seconds(self._server_pid),
            parent_cpu=0.0 if self._worker_pid is None else _seconds([self._worker_pid]),
            children_cpu=_seconds(children),
        )


def cost_per_job(before: Reading, after: Reading, jobs: int) -> Cost:
    """What each of so many jobs has cost between two readings."""
    return Cost(
        wal_bytes=(after.wal_bytes - before.wal_bytes) / jobs,
        commits=(after.commits - before.commits) / jobs,
        server_us=(after.server_cpu - before.server_cpu) / jobs * 1e6,
        parent_us=(after.parent_cpu - before.parent_cpu) / jobs * 1e6,
        children_us=(after.children_cpu - before.children_cpu) / jobs * 1e6,
    )


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    below = [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]
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
