"""Which App and which task run is current: the thread's App, and the task that is running here."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from pgqueue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pgqueue.app import App
    from pgqueue.request import Request
    from pgqueue.task import Task

__all__ = ["current_app", "current_task", "get_current_app", "set_default_app"]


class Frame(NamedTuple):
    """A task run; `outer` is the run that called it in the same process."""

    task: Task[..., Any]
    request: Request
    outer: Frame | None


# A context variable: each asyncio task and each thread sees its own run.
running: ContextVar[Frame | None] = ContextVar("pgqueue_running", default=None)
_of_thread = threading.local()
_default: list[App] = []


def set_current_app(app: App) -> None:
    """Make `app` this thread's current App, and the default one if there is none yet."""
    _of_thread.app = app
    if not _default:
        _default.append(app)


def set_default_app(app: App) -> None:
    """Make `app` the current App of every thread that has not set its own."""
    _default[:] = [app]


def get_current_app() -> App:
    """The current App of this thread.

    Raises:
        ImproperlyConfigured: no App has been made yet.
    """
    app: App | None = getattr(_of_thread, "app", None) or (_default[0] if _default else None)
    if app is None:
        raise ImproperlyConfigured(
            "no App has been made in this process: create one, app = App(…), "
            "or import the module that does"
        )
    return app


def get_current_task() -> Task[..., Any] | None:
    """The task that is running here, if any."""
    frame = running.get()
    return None if frame is None else frame.task


class Proxy:
    """Stands for whatever `find` returns at the moment of use."""

    def __init__(self, find: Any, name: str) -> None:
        object.__setattr__(self, "_find", find)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._found(), name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)

    def __bool__(self) -> bool:
        return object.__getattribute__(self, "_find")() is not None

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_name')}>"

    def _found(self) -> Any:
        found = object.__getattribute__(self, "_find")()
        if found is None:
            raise RuntimeError("no task is running here: current_task has no value")
        return found


current_app: Any = Proxy(get_current_app, "current_app")
current_task: Any = Proxy(get_current_task, "current_task")
