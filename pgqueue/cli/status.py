"""`pgqueue status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgqueue.cli.output import as_age, json_option, show, show_json, show_table
from pgqueue.store.queries import list_queues, list_workers, read_stats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.cli.command_line import CommandLine
    from pgqueue.store.queries import QueueRow, WorkerRow


@click.command(
    epilog="""\b
Example:
  pgqueue -b postgresql://localhost/shop status"""
)
@json_option
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Show workers, queues and job counts.

    Exits with 1 when no worker is alive, or when one has not beaten within its lease: it has died,
    and its jobs have not been taken over yet.
    """
    line: CommandLine = context.obj
    client = line.app.client
    workers = client.run(list_workers())
    queues = client.run(list_queues())
    jobs = client.run(read_stats())
    trouble = _trouble(workers)
    if as_json:
        answer = {"ok": trouble is None, "trouble": trouble}
        show_json({**answer, "workers": workers, "queues": queues, "jobs": jobs})
    else:
        _show(workers, queues, jobs)
        show(f"\n{trouble or 'all workers are alive'}")
    context.exit(0 if trouble is None else 1)


def _trouble(workers: Sequence[WorkerRow]) -> str | None:
    stale = [worker.name for worker in workers if not worker.alive]
    if stale:
        return f"stale: {', '.join(stale)} did not beat within the lease"
    return None if workers else "no worker is alive"


def _show(
    workers: Sequence[WorkerRow], queues: Sequence[QueueRow], jobs: Mapping[str, int]
) -> None:
    show_table(
        ("worker", "state", "children", "running", "queues", "beat", "pid", "version"),
        [
            (
                worker.name,
                "alive" if worker.alive else "stale",
                worker.concurrency,
                worker.running,
                ",".join(worker.queues),
                f"{as_age(worker.beat_age_seconds)} ago",
                worker.pid,
                worker.version,
            )
            for worker in workers
        ],
    )
    show()
    show_table(
        ("queue", "ready", "oldest", "paused"),
        [(one.name, one.depth, as_age(one.oldest_age_seconds), one.paused) for one in queues],
    )
    show()
    show_table(("jobs", "count"), list(jobs.items()))
