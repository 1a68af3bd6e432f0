"""The program itself: its options, and where each command is."""

from __future__ import annotations

import click

from pgqueue import __version__
from pgqueue.cli.command_line import global_options
from pgqueue.cli.lazy_group import LazyCommand, LazyGroup

# What a command does is the first sentence of its own help, repeated here: importing ten commands to
# list them would take seconds.
COMMANDS = {
    "worker": LazyCommand("pgqueue.cli.worker:worker", "Run jobs until told to stop."),
    "migrate": LazyCommand(
        "pgqueue.cli.migrate:migrate", "Bring the database to this release's schema."
    ),
    "status": LazyCommand("pgqueue.cli.status:status", "Show workers, queues and job counts."),
    "jobs": LazyCommand("pgqueue.cli.jobs:jobs", "List, show, retry and cancel jobs."),
    "queues": LazyCommand("pgqueue.cli.queues:queues", "List, pause and resume queues."),
    "call": LazyCommand("pgqueue.cli.call:call", "Send a job that calls a task, and print its id."),
    "result": LazyCommand("pgqueue.cli.result:result", "Print the result of a job."),
    "purge": LazyCommand("pgqueue.cli.purge:purge", "Cancel all that waits in queues."),
    "config": LazyCommand(
        "pgqueue.cli.config:config", "Show every setting and where its value comes from."
    ),
    "demo": LazyCommand(
        "pgqueue.cli.demo:demo",
        "Watch pgqueue at work: index Python's standard library, in under a minute.",
        takes_app=False,
    ),
}

root = LazyGroup(
    name="pgqueue",
    places=COMMANDS,
    params=list(global_options()),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""A durable job queue on PostgreSQL.

    The options below may also stand after the command. Without -A and -b, the database is the one
    that PGQUEUE_DATABASE_URL names.""",
    epilog="""\b
Examples:
  pgqueue -b postgresql://localhost/shop migrate
  pgqueue -A shop.tasks worker -c 4 -l info
  pgqueue -A shop.tasks status

Exit codes: 0 yes, 1 no, 2 wrong usage, 3 the schema is too old.""",
)
root = click.version_option(__version__, "-V", "--version", message="pgqueue %(version)s")(root)
