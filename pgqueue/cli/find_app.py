"""Find the App that `-A module[:attr]` means."""

from __future__ import annotations

import importlib
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pgqueue.app import App

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType, TracebackType

ATTRIBUTES: Final = ("app", "celery_app", "celery", "pgqueue_app")
SUBMODULES: Final = ("pgqueue_app", "celery", "app", "tasks")


@dataclass(frozen=True, slots=True)
class FoundApp:
    """An App, with the module and the name in it under which others can import it."""

    app: App
    module: str
    attribute: str


class BrokenModule(click.ClickException):
    """Code of the user's raised an error while it was imported; shown with its own traceback."""

    exit_code = 1

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(f"{what} cannot be imported: {type(error).__name__}: {error}")
        self._error = error

    def show(self, file: Any = None) -> None:
        """Print the traceback, then what could not be imported."""
        trace = _without_import_machinery(self._error.__traceback__)
        lines = traceback.format_exception(type(self._error), self._error, trace)
        click.echo("".join(lines).rstrip(), err=True, file=file)
        super().show(file)


def find_app(name: str) -> FoundApp:
    """Return the App that `module` or `module:attribute` means; the module is imported.

    Without an attribute it is the one called app, celery_app, celery or pgqueue_app, else the only
    App of the module, else the same in its submodules pgqueue_app, celery, app and tasks.

    Raises:
        click.BadParameter: there is no such module, no App in it, or more than one.
        BrokenModule: the module is there, and importing it fails.
    """
    module_name, colon, attribute = name.partition(":")
    is_name = all(part.isidentifier() for part in module_name.split("."))
    module = _import_module(module_name) if is_name else None
    if module is None:
        raise _bad_name(
            f"there is no module {module_name!r} (looked for in {sys.path[0]} first): "
            f"{_hint(module_name)}run where it can be imported, or use --workdir"
        )
    if colon:
        return _named(module, attribute)
    found = _find_in(module)
    if found is None and hasattr(module, "__path__"):
        found = _find_in_submodules(module)
    if found is None:
        raise _bad_name(
            f"module {module_name!r} has no App, neither as {', '.join(ATTRIBUTES)} nor under "
            f"another name: name the module that has it, or -A {module_name}:attribute"
        )
    return found


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """A block that imports modules of the user's; whatever they raise becomes BrokenModule."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise BrokenModule(what, error) from error


def _import_module(name: str) -> ModuleType | None:
    """Import the module; None if there is none of that name."""
    with user_code(f"module {name!r}"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # Not one that the module itself imports, and misses: that is the user's to see.
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                return None
            raise


def _named(module: ModuleType, attribute: str) -> FoundApp:
    if attribute not in vars(module) and not hasattr(module, attribute):
        raise _bad_name(f"module {module.__name__!r} has no attribute {attribute!r}")
    value = getattr(module, attribute)
    if not _is_app(value):
        raise _bad_name(
            f"{module.__name__}:{attribute} is no App, but of type {type(value).__name__}"
        )
    return FoundApp(value, module.__name__, attribute)


def _find_in(module: ModuleType) -> FoundApp | None:
    names = vars(module)
    usual = {name: names[name] for name in ATTRIBUTES if _is_app(names.get(name))}
    return _only_one(module, usual or {k: v for k, v in names.items() if _is_app(v)})


def _find_in_submodules(package: ModuleType) -> FoundApp | None:
    for name in SUBMODULES:
        module = _import_module(f"{package.__name__}.{name}")
        found = None if module is None else _find_in(module)
        if found is not None:
            return found
    return None


def _only_one(module: ModuleType, candidates: dict[str, App]) -> FoundApp | None:
    # One App under several names is one App.
    distinct = {id(app): name for name, app in reversed(candidates.items())}
    if len(distinct) > 1:
        listed = " and ".join(f"-A {module.__name__}:{name}" for name in sorted(distinct.values()))
        raise _bad_name(f"module {module.__name__!r} has more than one App: choose {listed}")
    for name in distinct.values():
        return FoundApp(candidates[name], module.__name__, name)
    return None


def _is_app(value: object) -> bool:
    # type(), not isinstance(): a proxy says of itself that it is what it stands for.
    return issubclass(type(value), App)


def _hint(module_name: str) -> str:
    # What shells complete is the name of a file.
    guess = module_name.removesuffix(".py").strip("./").replace("/", ".")
    is_new = guess != module_name and guess.replace(".", "").isidentifier()
    return f"did you mean -A {guess}? Or " if is_new else ""


def _bad_name(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="'-A'")


def _without_import_machinery(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_machinery(file_name: str) -> bool:
    if file_name.startswith("<frozen importlib") or file_name == importlib.__file__:
        return True
    own = Path(__file__).parent
    return Path(file_name).parent == own or Path(file_name) == own.parent / "app.py"
