"""The command line: `pgqueue [-A module[:attr]] [-b URL] [--workdir DIR] COMMAND`.

Exit codes: 0 yes, 1 no (nothing found, failed, out of reach), 2 wrong usage, 3 the schema is too old.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from pgqueue.cli.command_line import CommandLine
from pgqueue.cli.root import root
from pgqueue.core.database_url import mask_passwords
from pgqueue.exceptions import PgQueueError, SchemaTooOld
from pgqueue.store.connections import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgqueue.app import App

__all__ = ["main"]

NO: Final = 1
SCHEMA_TOO_OLD: Final = 3


def main(
    argv: Sequence[str] | None = None, *, app: App | None = None, prog_name: str | None = None
) -> None:
    """Run one command; return if it says yes.

    Args:
        argv: the arguments, without the program's name; default: this process's own.
        app: the App of a command that names none with `-A`.
        prog_name: how help texts call the program.

    Raises:
        SystemExit: the command says no, or cannot be run; with the exit code.
    """
    code = _exit_code(argv, CommandLine(app), prog_name)
    if code:
        raise SystemExit(code)


def _exit_code(argv: Sequence[str] | None, line: CommandLine, prog_name: str | None) -> int:
    try:
        # What click's own mode would do with errors is done here: SchemaTooOld has a code of its own.
        value = root.main(
            args=None if argv is None else list(argv),
            prog_name=prog_name,
            standalone_mode=False,
            obj=line,
        )
    except click.ClickException as error:
        if line.is_debugging and error.__cause__ is not None:
            raise
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("Aborted.", err=True)
        return NO
    except (PgQueueError, DriverError) as error:
        if line.is_debugging:
            raise
        _show_error(error)
        return SCHEMA_TOO_OLD if isinstance(error, SchemaTooOld) else NO
    finally:
        line.close()
    return value if isinstance(value, int) else 0


def _show_error(error: Exception) -> None:
    # The driver's messages have several lines, and may quote the URL.
    text = mask_passwords(" ".join(str(error).split()))
    sys.stdout.flush()
    click.echo(f"Error: {text or type(error).__name__}", err=True)
