"""Job ids: UUIDs as canonical text. New ones are version 7 (RFC 9562): they sort by their birth."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import time_ns
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Every spelling that PostgreSQL takes, and the URN. uuid.UUID is too kind: it takes "0x…", "1_0…".
_ANY_SPELLING = re.compile(
    r"(?:urn:uuid:)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}|\{(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}\}",
    re.IGNORECASE | re.ASCII,
)
_VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_NANOSECONDS = 1_000_000  # in a millisecond
_STEPS = 1 << 16  # of the counter's low digits, before the digits above them change
_RANDOM_BLOCK_BYTES = 2048
_TAIL_DIGITS = 8


class _Sequence:
    """Makes ids that never step back, whatever thread asks and whatever the clock does.

    Bits: 48 milliseconds, 4 version, 12 counter, 2 variant, 30 counter, 32 random. The counter
    starts each millisecond at a random number with a clear top bit, so that it has room.
    """

    __slots__ = ("_counter", "_ends_at", "_high", "_lock", "_prefix", "_random", "_step", "_used")

    def __init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        """Forget all random state, and a lock that another thread held at the moment of a fork."""
        self._lock = Lock()
        self._ends_at = 0  # nanoseconds: where the millisecond of the last id ends
        self._high = 0  # the counter above its low 16 bits, which are `_step`
        self._step = 0
        self._prefix = ""  # the id down to and including `_high`
        self._random = ""
        self._used = 0

    def next(self) -> str:
        with self._lock:
            now = time_ns()
            if now >= self._ends_at:
                self._begin_millisecond(now // _NANOSECONDS)
            elif self._step == _STEPS - 1:
                self._carry()
            else:
                self._step += 1
            used = self._used
            if used == len(self._random):
                self._random = os.urandom(_RANDOM_BLOCK_BYTES).hex()
                used = 0
            self._used = end = used + _TAIL_DIGITS
            # a third faster than an f-string here
            return "%s%04x%s" % (self._prefix, self._step, self._random[used:end])  # noqa: UP031

    def _begin_millisecond(self, milliseconds: int) -> None:
        self._ends_at = (milliseconds + 1) * _NANOSECONDS
        seed = int.from_bytes(os.urandom(6)) >> 7
        self._step = seed % _STEPS
        self._set_high(seed // _STEPS)

    def _carry(self) -> None:
        self._step = 0
        if self._high + 1 < 1 << 26:
            self._set_high(self._high + 1)
        else:
            self._begin_millisecond(self._ends_at // _NANOSECONDS)

    def _set_high(self, high: int) -> None:
        self._high = high
        time = f"{self._ends_at // _NANOSECONDS - 1:012x}"
        variant_and_middle = high & 0x3FFF | 0x8000
        self._prefix = f"{time[:8]}-{time[8:]}-7{high >> 14:03x}-{variant_and_middle:04x}-"


_sequence = _Sequence()
os.register_at_fork(after_in_child=_sequence.reseed)


def uuid7() -> str:
    """Return a new id, greater than every id that this process has made before.

    Safe in threads and after a fork.
    """
    return _sequence.next()


def canonical_id(text: object) -> str:
    """Return an id, given in any spelling of a UUID, as 36 lower-case characters.

    Raises:
        ValueError: it is not a UUID.
    """
    if isinstance(text, str):
        if _CANONICAL.fullmatch(text):
            return str(text)
        if _ANY_SPELLING.fullmatch(text):
            return str(UUID(text.lower()))
    elif isinstance(text, UUID):
        return str(text)
    shown = repr(text)
    raise ValueError(
        f"a job's id must be a UUID, such as {uuid7()!r}, not "
        f"{shown if len(shown) <= 100 else shown[:100] + '…'}"
    )


def canonical_ids(given: object) -> list[str]:
    """Return the ids, given as one or as an iterable of them, each in any spelling of a UUID.

    Raises:
        ValueError: one is not a UUID.
    """
    if isinstance(given, str | UUID) or not isinstance(given, Iterable):
        return [canonical_id(given)]
    return [canonical_id(one) for one in given]


def uuid7_floor(moment: datetime) -> str:
    """Return a bound that no version 7 id of `moment`'s millisecond, or a later one, is below.

    It is not an id itself: its version bits are zero. `moment` is aware, and not before 1970.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: use datetime.now(UTC)")
    milliseconds = (moment - _EPOCH) // _MILLISECOND
    if milliseconds < 0:
        raise ValueError(f"{moment} is before 1970: no version 7 id can say so")
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def moment_of(id: str) -> datetime | None:
    """Return when a canonical version 7 id was made, in UTC; None for ids of another kind."""
    if not _VERSION_7.fullmatch(id):
        return None
    try:
        return _EPOCH + int(id[:8] + id[9:13], 16) * _MILLISECOND
    except OverflowError:  # 48 bits reach beyond the year 9999
        return None
