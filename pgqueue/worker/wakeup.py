"""A flag that a selector can wait for."""

from __future__ import annotations

import contextlib
import os
import threading


class WakeUp:
    """Set it from any thread; whoever selects on it wakes up."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._is_closed = False
        # Against a close at this moment: the number may be another file's. Signal handlers set, too.
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._reader

    def set(self) -> None:
        """Wake the waiting thread; harmless when it is awake, or when there is none any more."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._is_closed:
                os.write(self._writer, b"x")

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._reader, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Give the descriptors back."""
        with self._lock:
            self._is_closed = True
            os.close(self._reader)
            os.close(self._writer)
