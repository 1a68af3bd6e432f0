"""What every command is told, before or after its name: which App, which database, which folder."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pgqueue.app import App
from pgqueue.cli.find_app import FoundApp, find_app, user_code
from pgqueue.core.database_url import mask_passwords, normal_database_url

if TYPE_CHECKING:
    from pgqueue.worker.app_address import AppAddress

DEBUG_VARIABLE: Final = "PGQUEUE_DEBUG"
OFF: Final = frozenset({"", "0", "false", "no", "off"})


class CommandLine:
    """The global options of one run of the program, and the App that they lead to.

    `app_name`, `database_url` and `workdir` are the texts of `-A`, `-b` and `--workdir`.
    """

    def __init__(self, app: App | None = None) -> None:
        self.app_name: str | None = None
        self.database_url: str | None = None
        self.workdir: str | None = None
        self.is_debugging = os.environ.get(DEBUG_VARIABLE, "").strip().lower() not in OFF
        self._given = app
        self._found: FoundApp | None = None
        self._app: App | None = None

    @property
    def app(self) -> App:
        """The App of `-A`, else the one that runs this program, else one without any tasks.

        Raises:
            click.UsageError: `-A` names none, or `-b` no PostgreSQL database.
        """
        if self._app is None:
            self._app = self._load()
        return self._app

    def app_with_tasks(self) -> App:
        """The App, with the modules of `include` and `imports` imported.

        Raises:
            click.UsageError: nobody has named an App.
        """
        if self.app_name is None and self._given is None:
            raise click.UsageError(
                "which App? Name the module that has it: pgqueue -A module[:attribute] …"
            )
        app = self.app
        with user_code(f"a module that include or imports of {app} names"):
            app.import_tasks()
        return app

    def app_address(self) -> AppAddress | None:
        """Where children find the App that `-A` names; None if it names none."""
        from pgqueue.worker.app_address import address_of  # noqa: PLC0415 - only workers need it

        if self._found is None:
            return None
        found = self._found
        return replace(address_of(found.app), module=found.module, attribute=found.attribute)

    def close(self) -> None:
        """Close the connections of an App that this command line has made or found."""
        if self._app is not None and self._app is not self._given:
            self._app.close()

    def _load(self) -> App:
        self._enter_workdir()
        if self.app_name is not None:
            self._found = find_app(self.app_name)
            app = self._found.app
            app.set_current()
            app.set_default()
        else:
            app = self._given or App("pgqueue")
        if self.database_url is not None:
            if normal_database_url(self.database_url) is None:
                raise click.BadParameter(
                    f"{mask_passwords(self.database_url)!r} is no PostgreSQL URL, such as "
                    "postgresql://user@host/name",
                    param_hint="'-b'",
                )
            app.conf.command_line({"database_url": self.database_url})
        return app

    def _enter_workdir(self) -> None:
        if self.workdir is not None:
            os.chdir(self.workdir)
        here = str(Path.cwd())
        sys.path[:] = [here, *(entry for entry in sys.path if entry not in {"", here})]


def accept_global_options(command: click.Command) -> click.Command:
    """Let the command, and those below it, be told what else stands before its name."""
    known = {name for parameter in command.params for name in parameter.opts}
    command.params += [one for one in global_options() if not known.intersection(one.opts)]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            accept_global_options(below)
    return command


def global_options() -> list[click.Option]:
    """The options that every command takes, before or after its name; the last one counts."""
    return [
        click.Option(
            ["-A", "--app", "app_name"],
            metavar="MODULE[:ATTR]",
            expose_value=False,
            callback=_remember,
            help="The App: its module, and its name in there if that is not app, celery_app, "
            "celery or pgqueue_app.",
        ),
        click.Option(
            ["-b", "--database-url", "--broker", "database_url"],
            metavar="URL",
            expose_value=False,
            callback=_remember,
            help="The database, above whatever the environment and the App say: "
            "postgresql://user@host/name.",
        ),
        click.Option(
            ["--workdir"],
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False),
            expose_value=False,
            callback=_remember,
            help="Change to this folder first; it is also where modules are looked for first.",
        ),
        click.Option(
            ["--debug", "is_debugging"],
            is_flag=True,
            default=None,
            expose_value=False,
            callback=_remember,
            help=f"Show errors with their traceback (also by {DEBUG_VARIABLE}=1).",
        ),
    ]


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and parameter.name is not None:
        setattr(context.find_object(CommandLine), parameter.name, value)
