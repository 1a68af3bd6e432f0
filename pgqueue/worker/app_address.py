"""Where an App lives: how a child finds the one that its worker serves."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pgqueue.app import App
from pgqueue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class AppAddress:
    """A module and the name in it that is the App; importable with this path."""

    module: str
    attribute: str
    path: tuple[str, ...]


def address_of(app: App) -> AppAddress:
    """The address under which another process can import `app`.

    Raises:
        ImproperlyConfigured: no loaded module has it as an attribute.
    """
    preferred = sorted(sys.modules.items(), key=lambda item: item[0] != app.main)
    for name, module in preferred:
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is app and isinstance(value, App):
                return AppAddress(name, attribute, _path())
    raise ImproperlyConfigured(
        f"{app} is no attribute of any module, so child processes cannot import it: define it at "
        "the top of a module and start the worker with -A module:attribute"
    )


def load_app(address: AppAddress) -> App:
    """Import the App.

    Raises:
        ImproperlyConfigured: there is none under this address.
    """
    for entry in reversed(address.path):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    name = "__mp_main__" if address.module == "__main__" else address.module
    module = sys.modules.get(name) or importlib.import_module(address.module)
    app = getattr(module, address.attribute, None)
    if not isinstance(app, App):
        raise ImproperlyConfigured(f"{address.module}:{address.attribute} is not an App")
    return app


def _path() -> tuple[str, ...]:
    return tuple(str(Path(entry).absolute()) for entry in _own_entries(sys.path))


def _own_entries(path: Sequence[str]) -> list[str]:
    # Entries below the interpreter's own are there in every process.
    return [entry for entry in path if not entry.startswith((sys.prefix, sys.base_prefix))]
