"""`pgqueue jobs list | show | retry | cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pgqueue.call import aware
from pgqueue.cli.output import as_text, json_option, printable, show, show_json, show_table, warn
from pgqueue.cli.parameters import job_id, parsed_by, past_moment
from pgqueue.states import JobState
from pgqueue.store.queries import list_attempts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pgqueue.cli.command_line import CommandLine
    from pgqueue.store.queries import Attempt, Job


@click.group(
    epilog="""\b
Example:
  pgqueue jobs list --state failed --since 1h"""
)
def jobs() -> None:
    """List, show, retry and cancel jobs."""


@jobs.command(
    "list",
    epilog="""\b
Examples:
  pgqueue jobs list --state failed --since 1h
  pgqueue jobs list --task shop.tasks.charge --limit 1000 --json""",
)
@click.option(
    "--state",
    type=click.Choice([state.value for state in JobState], case_sensitive=False),
    help="Only jobs in this state.",
)
@click.option("--queue", metavar="QUEUE", help="Only jobs of this queue.")
@click.option("--task", metavar="NAME", help="Only calls of this task.")
@click.option(
    "--since",
    metavar="AGE|MOMENT",
    callback=parsed_by(past_moment),
    help="Only jobs sent since: 30s, 10m, 2h, 7d, or 2026-01-31T12:00:00+00:00.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most so many.",
)
@click.option(
    "--after", metavar="ID", callback=parsed_by(job_id), help="Go on after the last ID of a page."
)
@json_option
@click.pass_context
def list_(
    context: click.Context, /, *, since: datetime | None, limit: int, as_json: bool, **only: Any
) -> None:
    """List jobs, newest first. Exits with 1 if there are none."""
    line: CommandLine = context.obj
    app = line.app
    found = app.jobs.list(since=since and aware(since, app), limit=limit, **only)
    if as_json:
        show_json(found)
    elif found:
        show_table(
            ("id", "state", "task", "queue", "attempt", "created", "error"),
            [
                (job.id, job.state, job.task, job.queue, job.attempt, job.created_at, job.error)
                for job in found
            ],
        )
        if len(found) == limit:
            warn(f"there may be more: --after {found[-1].id}")
    else:
        warn("no such jobs")
    context.exit(0 if found else 1)


@jobs.command(
    "show",
    epilog="""\b
Example:
  pgqueue jobs show 019b0c1e-5d3a-7c4e-9f00-0123456789ab""",
)
@click.argument("id", metavar="ID", callback=parsed_by(job_id))
@json_option
@click.pass_context
def show_(context: click.Context, *, id: str, as_json: bool) -> None:
    """Show all that is known of a job: its columns, why it does not run, its attempts so far."""
    line: CommandLine = context.obj
    app = line.app
    job = app.jobs.get(id)
    if job is None:
        warn(app.jobs.explain(id))
        context.exit(1)
    attempts = app.client.run(list_attempts(id))
    explanation = app.jobs.explain(id)
    if as_json:
        columns = {name: getattr(job, name) for name in job.__slots__}
        show_json({**columns, "explanation": explanation, "attempts": attempts})
    else:
        _show(job, explanation, attempts)


@jobs.command(
    epilog="""\b
Example:
  pgqueue jobs retry 019b0c1e-5d3a-7c4e-9f00-0123456789ab"""
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=parsed_by(job_id))
@json_option
@click.pass_context
def retry(context: click.Context, *, ids: list[str], as_json: bool) -> None:
    """Run jobs again that have ended. Exits with 1 if none of them had."""
    line: CommandLine = context.obj
    done = line.app.jobs.retry(ids)
    _show_done(ids, done, word="retried", otherwise="has not ended, or is unknown", as_json=as_json)
    context.exit(0 if done else 1)


@jobs.command(
    epilog="""\b
Example:
  pgqueue jobs cancel 019b0c1e-5d3a-7c4e-9f00-0123456789ab"""
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True, callback=parsed_by(job_id))
@json_option
@click.pass_context
def cancel(context: click.Context, *, ids: list[str], as_json: bool) -> None:
    """Cancel jobs that have not ended; a run that has begun goes on, but is the last.

    Exits with 1 if all of them had ended.
    """
    line: CommandLine = context.obj
    done = line.app.jobs.cancel(ids)
    _show_done(ids, done, word="cancelled", otherwise="has ended, or is unknown", as_json=as_json)
    context.exit(0 if done else 1)


def _show_done(
    ids: Sequence[str], done: set[str], *, word: str, otherwise: str, as_json: bool
) -> None:
    asked = dict.fromkeys(ids)
    if as_json:
        others = [one for one in asked if one not in done]
        show_json({word: [one for one in asked if one in done], f"not_{word}": others})
        return
    for one in asked:
        if one in done:
            show(f"{word} {one}")
        else:
            warn(f"job {one} {otherwise}")


def _show(job: Job, explanation: str, attempts: Sequence[Attempt]) -> None:
    for name in job.__slots__:
        if name != "traceback":
            show(f"{name + ':':<13} {printable(as_text(getattr(job, name)))}")
    show(f"\n{explanation}")
    if attempts:
        show()
        show_table(
            ("attempt", "outcome", "started", "finished", "worker", "pid", "error"),
            [
                (
                    one.attempt,
                    one.outcome,
                    one.started_at,
                    one.finished_at,
                    one.worker,
                    one.worker_pid,
                    one.error,
                )
                for one in attempts
            ],
        )
    if job.traceback:
        show(f"\n{job.traceback.rstrip()}")
