"""`pgqueue purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgqueue.cli.output import json_option, printable, show, show_json
from pgqueue.cli.parameters import names, parsed_by
from pgqueue.core.consumed_queues import consumed_queues

if TYPE_CHECKING:
    from pgqueue.cli.command_line import CommandLine


@click.command(
    epilog="""\b
Example:
  pgqueue purge -Q reports,mails -f"""
)
@click.option(
    "-Q",
    "--queues",
    metavar="A,B",
    callback=parsed_by(names),
    help="The queues. [default: the App's own, celery]",
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def purge(line: CommandLine, *, queues: list[str] | None, force: bool, as_json: bool) -> None:
    """Cancel all that waits in queues.

    Delayed jobs too; what runs goes on.
    """
    app = line.app
    queues = queues or consumed_queues(app.conf)
    listed = printable(", ".join(queues))
    if not force:
        click.confirm(f"Cancel all jobs that wait in {listed}?", abort=True, err=True)
    count = app.control.purge(queues)
    if as_json:
        show_json({"purged": count, "queues": queues})
    else:
        show(f"{count} {'job' if count == 1 else 'jobs'} cancelled in {listed}")
