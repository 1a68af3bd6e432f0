"""How long jobs take, by task: what the worker needs to claim no more than will start soon."""

from __future__ import annotations

from typing import Final

# Until a task has run once it may take any time: hand its jobs out one by one.
UNKNOWN_SECONDS: Final = 1.0
WEIGHT: Final = 0.1


class Estimates:
    """Moving averages of run times, of each task and of all."""

    def __init__(self) -> None:
        self._by_task: dict[str | None, float] = {}
        self.any_seconds = UNKNOWN_SECONDS
        self._is_first = True

    def of(self, task: str | None) -> float:
        """The seconds that a job of the task will probably take."""
        return self._by_task.get(task, UNKNOWN_SECONDS)

    def learn(self, task: str | None, seconds: float) -> None:
        """Take a run into account; a long one at once, short ones slowly.

        One job that waits behind a long one costs more than a few that are handed out singly.
        """
        known = self._by_task.get(task)
        if known is None or seconds > 4 * known:
            self._by_task[task] = seconds
        else:
            self._by_task[task] = known + WEIGHT * (seconds - known)
        if self._is_first:
            self._is_first = False
            self.any_seconds = seconds
        else:
            self.any_seconds += WEIGHT * (seconds - self.any_seconds)
