"""How long to wait before the next try: backoff, cap and jitter."""

from __future__ import annotations

import random


def backoff_seconds(
    retries: int, *, factor: float, cap: float, full_jitter: bool, draw: random.Random | None = None
) -> float:
    """The seconds to wait after `retries` retries: factor * 2**retries, at most `cap`.

    With full jitter it is a number drawn evenly between 0 and that: retries of jobs that failed
    together spread out. Celery's `retry_backoff` rules (celery.utils.time), which draw whole
    seconds; ours are fractions.
    """
    # Beyond 2**62 the cap holds anyway, and the power of a float would overflow.
    longest = min(cap, factor * 2.0 ** min(retries, 62))
    if not full_jitter:
        return longest
    return (draw or random).uniform(0, longest)
