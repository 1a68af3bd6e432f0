"""Messages between the worker and its children: pickled values on pipes, each after its length."""

from __future__ import annotations

import os
import pickle
import struct
from collections import deque
from enum import IntEnum
from typing import Any, Final

LENGTH: Final = struct.Struct("!I")
CHUNK: Final = 1 << 20


class ToChild(IntEnum):
    """What the worker tells a child: the first item of a message."""

    RUN = 0  # (RUN, [job as a tuple, …])
    RECALL = 1  # (RECALL,) give back what has not begun
    FINISH = 2  # (FINISH,) end when there is nothing more to run


class FromChild(IntEnum):
    """What a child tells the worker."""

    READY = 0  # (READY, pid)
    SUCCESS = 1  # (SUCCESS, *Success)
    SETTLEMENT = 2  # (SETTLEMENT, *Settlement)
    RETURNED = 3  # (RETURNED, [(job id, claim), …]) the answer to RECALL
    BOOT_FAILED = 4  # (BOOT_FAILED, traceback text)


class Inbox:
    """Reads whole messages from the read end of a pipe, blocking or not as the descriptor is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = bytearray()

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._descriptor

    def receive(self) -> list[tuple[Any, ...]]:
        """The messages that are there; blocks for a part of one if the descriptor blocks.

        Raises:
            EOFError: the other side is gone, and all it has written was received before.
        """
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise EOFError
        self._pending += data
        return self._whole_messages()

    def _whole_messages(self) -> list[tuple[Any, ...]]:
        pending, at, messages = self._pending, 0, []
        end = len(pending)
        with memoryview(pending) as view:
            while end - at >= LENGTH.size:
                start = at + LENGTH.size
                stop = start + LENGTH.unpack_from(view, at)[0]
                if stop > end:
                    break
                messages.append(pickle.loads(view[start:stop]))  # noqa: S301 - from our own child
                at = stop
        del pending[:at]
        return messages


class Outbox:
    """Writes messages to a pipe that does not block, and keeps what does not fit for later."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending: deque[memoryview] = deque()

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._descriptor

    @property
    def is_empty(self) -> bool:
        """Whether all was written."""
        return not self._pending

    def send(self, message: tuple[Any, ...]) -> None:
        """Write the message, or keep what does not fit.

        Raises:
            BrokenPipeError: the other side is gone.
        """
        self._pending.append(memoryview(packed(message)))
        self.flush()

    def flush(self) -> None:
        """Write what was kept, as far as it fits.

        Raises:
            BrokenPipeError: the other side is gone.
        """
        while self._pending:
            first = self._pending[0]
            try:
                written = os.write(self._descriptor, first[:CHUNK])
            except BlockingIOError:
                return
            if written == len(first):
                self._pending.popleft()
            else:
                self._pending[0] = first[written:]


def packed(message: tuple[Any, ...]) -> bytes:
    """A message as it goes over the pipe."""
    body = pickle.dumps(message, protocol=5)
    return LENGTH.pack(len(body)) + body


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a pipe that blocks, whatever it takes at a time."""
    written = os.write(descriptor, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
