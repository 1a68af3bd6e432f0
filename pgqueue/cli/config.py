"""`pgqueue config [check]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from pgqueue.cli.command_line import DEBUG_VARIABLE
from pgqueue.cli.output import json_option, show, show_json, show_table, warn
from pgqueue.core.setting_catalogue import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.cli.command_line import CommandLine
    from pgqueue.core.setting_report import SettingReport

# Variables of the program, not settings of an App.
OWN_VARIABLES: Final = frozenset({DEBUG_VARIABLE})


@click.command(
    epilog="""\b
Examples:
  pgqueue -A shop.tasks config
  pgqueue -A shop.tasks config check"""
)
@click.argument("action", type=click.Choice(["show", "check"]), default="show")
@json_option
@click.pass_context
def config(context: click.Context, *, action: str, as_json: bool) -> None:
    """Show every setting and where its value comes from.

    With its default and what it means; passwords are masked. The word check shows only what needs
    attention, and exits with 1 if a setting cannot be used, such as a database that nobody names.
    """
    line: CommandLine = context.obj
    conf = line.app.conf
    rows = conf.report()
    ignored = [name for name in conf.ignored_variables() if name not in OWN_VARIABLES]
    idle = conf.without_effect()
    problems = {row.name: row.problem for row in rows if row.problem}
    if as_json:
        shown = [row for row in rows if row.problem] if action == "check" else rows
        show_json(
            {
                "ok": not problems,
                "settings": shown,
                "ignored_variables": ignored,
                "without_effect": [row.name for row in idle],
            }
        )
    else:
        if action == "show":
            show_table(
                ("setting", "value", "default", "origin", "effect", "meaning"),
                [
                    (row.name, row.value, row.default, row.origin, row.effect, row.meaning)
                    for row in rows
                ],
            )
        _warn(problems, ignored, idle)
        if action == "check" and not problems:
            show("the settings can be used")
    if action == "check" and problems:
        context.exit(1)


def _warn(problems: dict[str, str], ignored: Sequence[str], idle: Sequence[SettingReport]) -> None:
    for name, problem in problems.items():
        warn(f"cannot be used: {name}: {problem}")
    for name in ignored:
        warn(f"ignored: the environment variable {name} is no setting")
    for row in idle:
        when = " in this release" if row.effect is Effect.TO_COME else ""
        warn(f"without effect{when}: {row.name} ({row.origin}): {row.meaning}")
