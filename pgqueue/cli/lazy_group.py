"""A group whose commands are imported when they are used, so that each starts fast."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pgqueue.cli.command_line import accept_global_options

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is ("module:attribute"), and the line that the list of commands shows.

    `takes_app`: it also takes the global options after its name.
    """

    place: str
    meaning: str
    takes_app: bool = True


class LazyGroup(click.Group):
    """A group of commands by name; only the one that is used is imported."""

    def __init__(self, *args: Any, places: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which they were given."""
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now; None if there is none of that name."""
        lazy = self.places.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return accept_global_options(command) if lazy.takes_app else command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name; a usage error with the nearest name for others."""
        name = args[0]
        if name not in self.places and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.places, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.places)}."
            ctx.fail(f"there is no command {name!r}: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.meaning) for name, lazy in self.places.items()])
