"""Signatures: calls that are written down, to be made later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgqueue.current import get_current_app

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgqueue.app import App
    from pgqueue.result import AsyncResult

__all__ = ["Signature", "signature"]


class Signature(dict[str, Any]):
    """A call of a task as a dict that JSON can carry: task, args, kwargs, options, immutable.

    An immutable one takes no further arguments. Its App is the one that made it, else the current
    one.
    """

    def __init__(
        self,
        task: str | Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: App | None = None,
    ) -> None:
        if isinstance(task, str):
            super().__init__(
                task=task,
                args=tuple(args or ()),
                kwargs=dict(kwargs or {}),
                options=dict(options or {}),
                subtask_type=subtask_type,
                immutable=immutable,
            )
        else:
            super().__init__(task)
        self._app = app

    @property
    def app(self) -> App:
        """The App that this will be sent by."""
        return self._app or get_current_app()

    @property
    def id(self) -> str | None:
        """The id that the job will have, if it is fixed."""
        task_id: str | None = self["options"].get("task_id")
        return task_id

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Enqueue it, with these arguments before and beside its own."""
        return self.apply_async(args, kwargs)

    async def adelay(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """Async twin of `delay`."""
        return await self.aapply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Enqueue it; the options given here win. Raises what `Task.apply_async` raises."""
        merged = self._merged(args, kwargs, options)
        return self.app.send_task(self["task"], merged[0], merged[1], **merged[2])

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Async twin of `apply_async`."""
        merged = self._merged(args, kwargs, options)
        return await self.app.asend_task(self["task"], merged[0], merged[1], **merged[2])

    def set(self, **options: Any) -> Signature:
        """Add options, and return itself."""
        self["options"].update(options)
        return self

    def clone(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Signature:
        """A copy, with more arguments and options."""
        merged_args, merged_kwargs, merged_options = self._merged(args, kwargs, options)
        return Signature(
            self["task"],
            merged_args,
            merged_kwargs,
            merged_options,
            subtask_type=self["subtask_type"],
            immutable=self["immutable"],
            app=self._app,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now."""
        merged_args, merged_kwargs, _ = self._merged(args, kwargs, {})
        return self.app.tasks[self["task"]](*merged_args, **merged_kwargs)

    def __repr__(self) -> str:
        shown = [repr(arg) for arg in self["args"]]
        shown += [f"{key}={value!r}" for key, value in self["kwargs"].items()]
        return f"{self['task']}({', '.join(shown)})"

    def _merged(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        merged_options = {**self["options"], **options}
        if self["immutable"]:
            return tuple(self["args"]), dict(self["kwargs"]), merged_options
        merged_args = (*(args or ()), *self["args"])
        return merged_args, {**self["kwargs"], **(kwargs or {})}, merged_options


def signature(
    task: str | Mapping[str, Any],
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    immutable: bool = False,
    app: App | None = None,
    **more: Any,
) -> Signature:
    """A signature of a task by its name, or of a dict that was one: `signature("tasks.add", (2, 2))`.

    Options are given as a dict or by name; those given by name win.
    """
    merged = {**(options or {}), **more}
    return Signature(task, args, kwargs, merged, immutable=immutable, app=app)
