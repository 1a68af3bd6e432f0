"""`pgqueue result`, and what `call --wait` prints."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pgqueue import states
from pgqueue.cli.output import json_option, show, show_json, warn
from pgqueue.cli.parameters import job_id, parsed_by, seconds
from pgqueue.exceptions import TimeoutError  # noqa: A004 - ours is also the builtin
from pgqueue.result import AsyncResult
from pgqueue.store.queries import read_results

if TYPE_CHECKING:
    from pgqueue.app import App
    from pgqueue.cli.command_line import CommandLine


@dataclass(frozen=True, slots=True)
class Answer:
    """How a job stands; `state` is Celery's, `result` as it is stored. An unknown job has no task."""

    id: str
    state: str
    task: str | None = None
    result: Any = None
    error: str | None = None
    traceback: str | None = None
    finished_at: Any = None
    has_ended: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the job has ended well; its result may not be kept."""
        return self.has_ended and self.error is None and self.state not in states.EXCEPTION_STATES


@click.command(
    epilog="""\b
Example:
  pgqueue result 019b0c1e-5d3a-7c4e-9f00-0123456789ab --wait 10"""
)
@click.argument("id", metavar="ID", callback=parsed_by(job_id))
@click.option("--traceback", "with_traceback", is_flag=True, help="Of a failure, the traceback.")
@click.option(
    "--wait",
    metavar="SECONDS",
    callback=parsed_by(seconds),
    help="Wait so long for the job's end. [default: not at all]",
)
@json_option
@click.pass_context
def result(
    context: click.Context, *, id: str, with_traceback: bool, wait: float | None, as_json: bool
) -> None:
    """Print the result of a job.

    A string is printed as it is, all else as JSON, and of a failure the error. Exits with 1 if the
    job has failed, is unknown or has not ended.
    """
    line: CommandLine = context.obj
    answer = read_answer(line.app, id, wait=wait)
    show_answer(answer, as_json=as_json, with_traceback=with_traceback)
    context.exit(0 if answer.is_success else 1)


def read_answer(app: App, id: str, *, wait: float | None) -> Answer:
    """How the job stands, after waiting for its end for at most `wait` seconds."""
    handle: AsyncResult[Any] = AsyncResult(id, app=app)
    if wait is not None:
        with contextlib.suppress(TimeoutError):  # its state tells
            handle.get(timeout=wait, propagate=False)
    found = app.client.run(read_results([id], result_expires=app.conf.result_expires)).get(id)
    if found is None:
        return Answer(id, states.PENDING)
    has_ended = states.JobState(found.state).is_final
    is_kept = has_ended and not found.has_expired
    return Answer(
        id=id,
        state=handle.state,
        task=found.task,
        result=json.loads(found.result) if is_kept and found.result is not None else None,
        error=found.error if is_kept else None,
        traceback=found.traceback if is_kept else None,
        finished_at=found.finished_at if has_ended else None,
        has_ended=has_ended,
    )


def show_answer(answer: Answer, *, as_json: bool, with_traceback: bool = False) -> None:
    """Print the result, or the error; what keeps us from knowing goes to stderr."""
    if as_json:
        show_json(answer)
    elif answer.task is None:
        warn(f"job {answer.id} is not known here: never committed, or its history has expired")
    elif not answer.has_ended:
        warn(f"job {answer.id} has not ended: {answer.state}")
    elif answer.is_success:
        value = answer.result
        show(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    elif with_traceback and answer.traceback:
        show(answer.traceback.rstrip())
    else:
        show(answer.error or answer.state)
