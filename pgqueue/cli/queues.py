"""`pgqueue queues list | pause | resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pgqueue.cli.output import as_age, json_option, show, show_json, show_table
from pgqueue.store.queries import list_queues, pause_queue

if TYPE_CHECKING:
    from pgqueue.cli.command_line import CommandLine


@click.group(
    epilog="""\b
Example:
  pgqueue queues pause reports"""
)
def queues() -> None:
    """List, pause and resume queues."""


@queues.command(
    "list",
    epilog="""\b
Example:
  pgqueue queues list --json""",
)
@json_option
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """List the queues that have ready jobs, a worker or a pause."""
    line: CommandLine = context.obj
    found = line.app.client.run(list_queues())
    if as_json:
        show_json(found)
    else:
        show_table(
            ("queue", "ready", "oldest", "paused"),
            [(one.name, one.depth, as_age(one.oldest_age_seconds), one.paused) for one in found],
        )


@queues.command(
    epilog="""\b
Example:
  pgqueue queues pause reports mails"""
)
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@json_option
@click.pass_obj
def pause(line: CommandLine, *, names: tuple[str, ...], as_json: bool) -> None:
    """Let no worker claim from these queues; what runs goes on, and jobs may still be sent."""
    _set_paused(line, names, paused=True, as_json=as_json)


@queues.command(
    epilog="""\b
Example:
  pgqueue queues resume reports mails"""
)
@click.argument("names", nargs=-1, required=True, metavar="QUEUE...")
@json_option
@click.pass_obj
def resume(line: CommandLine, *, names: tuple[str, ...], as_json: bool) -> None:
    """Let workers claim from these queues again."""
    _set_paused(line, names, paused=False, as_json=as_json)


def _set_paused(line: CommandLine, names: tuple[str, ...], *, paused: bool, as_json: bool) -> None:
    word = "paused" if paused else "resumed"
    for name in names:
        line.app.client.run(pause_queue(name, paused=paused))
        if not as_json:
            show(f"{word} {name}")
    if as_json:
        show_json({word: list(names)})
