"""`pgqueue worker`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from pgqueue import __version__
from pgqueue.cli.output import show
from pgqueue.cli.parameters import concurrency, log_level, names, parsed_by
from pgqueue.core.consumed_queues import consumed_queues
from pgqueue.core.database_url import mask_passwords
from pgqueue.exceptions import ImproperlyConfigured, WorkerShutdown
from pgqueue.log import setup_logging
from pgqueue.worker import POOLS, Worker, expand_nodename

if TYPE_CHECKING:
    from pgqueue.app import App
    from pgqueue.cli.command_line import CommandLine

log = logging.getLogger(__name__)


@click.command(
    epilog="""\b
Examples:
  pgqueue -A shop.tasks worker -l info
  pgqueue -A shop.tasks worker -c 4 -Q mails,reports -n mailer@%h

TERM and Ctrl-C let running jobs finish; the second one, and QUIT, give them back at once.
Exit codes: 0 stopped, 1 cannot start, 2 wrong usage, 3 the schema is too old."""
)
@click.option(
    "-c",
    "--concurrency",
    metavar="N|auto",
    callback=parsed_by(concurrency),
    help="How many children; auto: one per processor. [default: worker_concurrency, else auto]",
)
@click.option(
    "-Q",
    "--queues",
    metavar="A,B",
    callback=parsed_by(names),
    help="The queues to claim from. [default: the App's own, celery]",
)
@click.option(
    "-X",
    "--exclude-queues",
    metavar="A,B",
    callback=parsed_by(names),
    help="Queues not to claim from, of those above.",
)
@click.option(
    "-n",
    "--hostname",
    metavar="NAME",
    help="Its name; %h is the host, %n its first part, %d its domain. [default: celery@%h]",
)
@click.option(
    "-l",
    "--loglevel",
    metavar="LEVEL",
    default="warning",
    show_default=True,
    callback=parsed_by(log_level),
    help="debug, info, warning, error or critical.",
)
@click.option(
    "--max-tasks-per-child",
    metavar="N",
    type=click.IntRange(min=1),
    help="Replace a child after so many jobs. [default: worker_max_tasks_per_child, else never]",
)
@click.option("-P", "--pool", metavar="POOL", help="prefork: child processes. [default: prefork]")
@click.option(
    "--purge", "--discard", is_flag=True, help="First cancel all that waits in the queues."
)
@click.pass_obj
def worker(
    line: CommandLine,
    *,
    concurrency: int | str | None,
    queues: list[str] | None,
    exclude_queues: list[str] | None,
    hostname: str | None,
    loglevel: int,
    max_tasks_per_child: int | None,
    pool: str | None,
    purge: bool,
) -> None:
    """Run jobs until told to stop.

    Claims jobs of its queues, runs them in child processes and writes their results. Any number of
    workers may run, here and elsewhere.
    """
    _check_pool(pool)
    _check_name(hostname)
    app = line.app_with_tasks()
    setup_logging(
        loglevel,
        app.conf.worker_log_format,
        replace_others=bool(app.conf.worker_hijack_root_logger),
    )
    if concurrency is not None:
        app.conf.command_line({"worker_concurrency": concurrency})
    if pool is None and app.conf.worker_pool not in POOLS:
        log.warning("worker_pool is %r, and this release has prefork only", app.conf.worker_pool)
    made = Worker(
        app,
        queues=_chosen_queues(app, queues, exclude_queues),
        hostname=hostname,
        max_tasks_per_child=max_tasks_per_child,
        loglevel=loglevel,
        address=line.app_address(),
    )
    if purge:
        show(f"{app.control.purge(made.queues)} jobs cancelled")
    show(banner(made, level=logging.getLevelName(loglevel)))
    made.install_signals()
    try:
        made.start()
    except WorkerShutdown as error:
        raise click.ClickException(str(error)) from error


def banner(worker: Worker, *, level: str) -> str:
    """What a worker says of itself at its start."""
    app = worker.app
    return "\n".join(
        [
            f"\n{worker.name}  pgqueue {__version__}\n",
            "[config]",
            f".> app:         {app.main or '(no name)'}",
            f".> database:    {mask_passwords(app.conf.database_url)}",
            f".> concurrency: {worker.concurrency} (prefork)",
            f".> log level:   {level}\n",
            "[queues]",
            *(f".> {queue}" for queue in worker.queues),
            "\n[tasks]",
            *(f"  . {name}" for name in sorted(app.tasks)),
            "",
        ]
    )


def _check_pool(pool: str | None) -> None:
    if pool is not None and pool not in POOLS:
        raise click.BadParameter(
            f"{pool!r} is not in this release: use prefork", param_hint="'-P' / '--pool'"
        )


def _check_name(hostname: str | None) -> None:
    try:
        expand_nodename(hostname)
    except ImproperlyConfigured as error:
        raise click.BadParameter(str(error), param_hint="'-n' / '--hostname'") from error


def _chosen_queues(
    app: App, queues: list[str] | None, excluded: list[str] | None
) -> list[str] | None:
    """The queues of -Q without those of -X; None: the App's own."""
    if not excluded:
        return queues
    chosen = [one for one in queues or consumed_queues(app.conf) if one not in excluded]
    if not chosen:
        raise click.UsageError("-X excludes every queue: name others with -Q")
    return chosen
