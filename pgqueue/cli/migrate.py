"""`pgqueue migrate`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from pgqueue.cli.output import json_option, show, show_json
from pgqueue.store import migrate as store

if TYPE_CHECKING:
    from pgqueue.cli.command_line import CommandLine


@click.command(
    epilog="""\b
Examples:
  pgqueue -b postgresql://localhost/shop migrate
  pgqueue migrate --sql > pgqueue.sql"""
)
@click.option("--sql", "as_sql", is_flag=True, help="Print the SQL instead of running it.")
@click.option(
    "--to",
    "revision",
    default="head",
    show_default=True,
    metavar="REVISION",
    help='A revision such as 0001; "base" removes pgqueue and all its jobs.',
)
@json_option
@click.pass_obj
def migrate(line: CommandLine, *, as_sql: bool, revision: str, as_json: bool) -> None:
    """Bring the database to this release's schema.

    Doing it twice changes nothing, and several at once wait for each other. Workers and clients go
    on while it runs.
    """
    conf = line.app.conf
    if as_sql:
        if revision == "base":
            raise click.UsageError("--sql prints how the schema is made: not with --to base")
        text = store.migration_sql(schema=conf.schema, to=revision)
        if as_json:
            show_json({"schema": conf.schema, "sql": text})
        else:
            show(text.rstrip())
        return
    with closing(line.app.client.connect()):
        pass  # says better than SQLAlchemy why a database is out of reach
    before, after = store.migrate(conf.database_url, schema=conf.schema, to=revision)
    if as_json:
        show_json({"schema": conf.schema, "before": before, "after": after})
    elif before == after:
        show(f"schema {conf.schema}: nothing to do, it is at {after or 'nothing'}")
    else:
        show(f"schema {conf.schema}: {before or 'nothing'} -> {after or 'nothing'}")
