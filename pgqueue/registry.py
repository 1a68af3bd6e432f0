"""The tasks that an App knows, by name."""

from __future__ import annotations

import difflib
from typing import Any, NoReturn

from pgqueue.exceptions import NotRegistered
from pgqueue.task import Task

__all__ = ["TaskRegistry"]


class TaskRegistry(dict[str, Task[..., Any]]):
    """A dict of tasks that says which name is near when one is missing."""

    def __missing__(self, name: str) -> NoReturn:
        near = difflib.get_close_matches(name, self, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "import the module that defines it"
        raise NotRegistered(f"no task {name!r} is registered: {hint}")
