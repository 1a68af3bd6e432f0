"""Logs of workers: Celery's lines, one record that cannot pretend to be two."""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["LineFormatter", "get_task_logger", "setup_logging"]

# All of C0 and C1 but tab and newline, and the marks that turn the direction of writing.
CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class LineFormatter(logging.Formatter):
    """Formats records; what a task or a job's text brings along cannot forge lines or steer a terminal.

    Control characters are written as escapes, and further lines of a record are indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        text = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", super().format(record))
        return text.replace("\n", "\n    ")


def setup_logging(level: int, line_format: str, *, replace_others: bool = True) -> None:
    """Send the root logger's records to stderr, as workers and their children do.

    Handlers that are there already are removed, or, unless `replace_others`, left alone.
    """
    root = logging.getLogger()
    if root.handlers and not replace_others:
        return
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(line_format))
    root.addHandler(handler)
    root.setLevel(level)


def get_task_logger(name: str) -> logging.Logger:
    """The logger for a module of tasks, named by `__name__`."""
    logger = logging.getLogger(name)
    if logger.parent is logging.getLogger():
        logger.parent = logging.getLogger("pgqueue.task")
    return logger
