"""The wish that a worker stop: asked by a signal handler, heeded by the main thread."""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections.abc import Callable
from typing import Final

from pgqueue.worker.wakeup import WakeUp

log = logging.getLogger(__name__)

Join = Callable[[threading.Thread], bool]
COLD_SECONDS: Final = 3.0


class StopRequest:
    """Not asked, asked to stop warm, or asked to stop cold.

    Plain attributes and a pipe: a lock, as in threading.Event, may be held by the very code that the
    signal has interrupted.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self.is_cold = False
        self._cold_at = 0.0
        self._wake = WakeUp()

    def ask(self, *, warm: bool) -> None:
        """Ask; what was asked before is not taken back."""
        self.is_asked = True
        if not warm and not self.is_cold:
            self._cold_at = time.monotonic()
            self.is_cold = True
        self._wake.set()

    def wait(self, seconds: float) -> bool:
        """Wait until asked; whether it was."""
        if not self.is_asked:
            self._select(seconds)
        return self.is_asked

    def wait_for_cold(self, seconds: float) -> bool:
        """Wait for the second, stronger wish; whether it came."""
        self._wake.clear()
        if not self.is_cold:
            self._select(seconds)
        return self.is_cold

    def join(self, thread: threading.Thread) -> bool:
        """Wait for the thread's end; whether it came. A cold stop waits for no database for ever."""
        while thread.is_alive():
            thread.join(0.05)
            if self.is_cold and time.monotonic() > self._cold_at + COLD_SECONDS:
                log.error("%s does not end, and is left behind", thread.name)
                return False
        return True

    def _select(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.select(seconds)
