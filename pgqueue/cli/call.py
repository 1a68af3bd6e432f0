"""`pgqueue call`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.output import json_option, show, show_json
from pgqueue.cli.parameters import (
    job_id,
    json_array,
    json_object,
    moment,
    parsed_by,
    seconds,
    seconds_or_moment,
)
from pgqueue.cli.result import Answer, read_answer, show_answer

if TYPE_CHECKING:
    from pgqueue.cli.command_line import CommandLine


@click.command(
    epilog="""\b
Examples:
  pgqueue call shop.tasks.add -a '[1, 2]' --wait 10
  pgqueue call shop.tasks.report -k '{"day": "2026-01-31"}' --countdown 60"""
)
@click.argument("name")
@click.option(
    "-a",
    "--args",
    metavar="JSON",
    callback=parsed_by(json_array),
    help="The positional arguments, a JSON array.",
)
@click.option(
    "-k",
    "--kwargs",
    metavar="JSON",
    callback=parsed_by(json_object),
    help="The keyword arguments, a JSON object.",
)
@click.option("--queue", metavar="QUEUE", help="The queue. [default: the task's, the App's]")
@click.option(
    "--priority", type=click.IntRange(min=0), help="From 0, last, to 9, first. [default: 5]"
)
@click.option(
    "--countdown",
    metavar="SECONDS",
    callback=parsed_by(seconds),
    help="Run it so many seconds from now.",
)
@click.option(
    "--eta",
    metavar="MOMENT",
    callback=parsed_by(moment),
    help="Run it then: 2026-01-31T12:00:00+00:00.",
)
@click.option(
    "--expires",
    metavar="SECONDS|MOMENT",
    callback=parsed_by(seconds_or_moment),
    help="Do not begin it later than that.",
)
@click.option(
    "--task-id", metavar="ID", callback=parsed_by(job_id), help="The job's id. [default: a new one]"
)
@click.option(
    "--wait",
    metavar="SECONDS",
    callback=parsed_by(seconds),
    help="Wait so long for the job's end, and print its result too.",
)
@json_option
@click.pass_context
def call(
    context: click.Context, /, *, name: str, wait: float | None, as_json: bool, **options: Any
) -> None:
    """Send a job that calls a task, and print its id.

    NAME is the task's full name, such as shop.tasks.add; the task need not be known here. With
    --wait, exits with 1 if the job fails or does not end in time; it goes on then.
    """
    line: CommandLine = context.obj
    app = line.app if line.app_name is None else line.app_with_tasks()
    args, kwargs = options.pop("args"), options.pop("kwargs")
    given = {key: value for key, value in options.items() if value is not None}
    try:
        result = app.send_task(name, args, kwargs, **given)
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    if wait is None:
        show_json({"id": result.id}) if as_json else show(result.id)
        return
    if not as_json:
        show(result.id)
    answer: Answer = read_answer(app, result.id, wait=wait)
    show_answer(answer, as_json=as_json)
    context.exit(0 if answer.is_success else 1)
