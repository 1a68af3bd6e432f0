"""Tasks that belong to every App: for packages that do not know which App will use them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Concatenate, Final, Literal, ParamSpec, TypeVar, overload

from pgqueue.current import Proxy, get_current_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgqueue.app import App
    from pgqueue.task import Task

P = ParamSpec("P")
R = TypeVar("R")

__all__ = ["SharedTask", "adopt_shared_tasks", "shared_task"]

_apps: Final[weakref.WeakSet[App]] = weakref.WeakSet()
_definitions: Final[list[Callable[[App], Task[..., Any]]]] = []


class SharedTask(Proxy):
    """Stands for the current App's own task of a shared function."""

    def __init__(self, function: Callable[..., Any], name: str | None) -> None:
        def find() -> Task[..., Any]:
            app = get_current_app()
            known = name or app.gen_task_name(function.__qualname__, function.__module__)
            return app.tasks[known]

        super().__init__(find, f"shared task {function.__qualname__}")
        object.__setattr__(self, "__doc__", function.__doc__)

    def __reduce__(self) -> str | tuple[Any, ...]:
        return self._found().__reduce__()  # type: ignore[no-any-return]


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...
@overload
def shared_task(
    *, bind: Literal[True], name: str | None = ..., **options: Any
) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...
@overload
def shared_task(
    *, name: str | None = ..., **options: Any
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def shared_task(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any
) -> Any:
    """Register a function as a task of every App, made before or after: `@shared_task`.

    What it returns is the current App's task, whichever that is at the moment of use. Options and
    errors are those of `App.task`.
    """

    def share(wrapped: Callable[..., Any]) -> SharedTask:
        def define(app: App) -> Task[..., Any]:
            register: Callable[..., Task[..., Any]] = app.task(name=name, **options)
            return register(wrapped)

        for app in tuple(_apps):
            define(app)
        _definitions.append(define)
        return SharedTask(wrapped, name)

    return share if function is None else share(function)


def adopt_shared_tasks(app: App) -> None:
    """Register all shared tasks with an App, those to come too."""
    _apps.add(app)
    for define in tuple(_definitions):
        define(app)
