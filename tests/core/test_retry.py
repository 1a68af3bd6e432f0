import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.core.retry import backoff_seconds

RETRIES = st.integers(min_value=0, max_value=10_000)
FACTORS = st.floats(min_value=0.001, max_value=1000)
CAPS = st.floats(min_value=0.001, max_value=1e6)


@pytest.mark.parametrize(
    ("retries", "seconds"), [(0, 1), (1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (100, 600)]
)
def test_the_wait_doubles_until_it_meets_the_cap(retries: int, seconds: float) -> None:
    assert backoff_seconds(retries, factor=1, cap=600, full_jitter=False) == seconds


def test_the_factor_is_the_first_wait() -> None:
    assert backoff_seconds(0, factor=5, cap=600, full_jitter=False) == 5
    assert backoff_seconds(3, factor=5, cap=600, full_jitter=False) == 40


@given(RETRIES, FACTORS, CAPS)
def test_no_wait_is_longer_than_the_cap(retries: int, factor: float, cap: float) -> None:
    for full_jitter in (False, True):
        wait = backoff_seconds(retries, factor=factor, cap=cap, full_jitter=full_jitter)
        assert 0 <= wait <= cap


@given(RETRIES, FACTORS, CAPS)
def test_waits_never_become_shorter(retries: int, factor: float, cap: float) -> None:
    wait, next_wait = (
        backoff_seconds(retries + n, factor=factor, cap=cap, full_jitter=False) for n in (0, 1)
    )
    assert next_wait >= wait


def test_full_jitter_spreads_waits_evenly_from_nothing_to_the_whole() -> None:
    draw = random.Random(7)

    waits = [
        backoff_seconds(3, factor=1, cap=600, full_jitter=True, draw=draw) for _ in range(4000)
    ]

    assert mean(waits) == pytest.approx(4, abs=0.2)
    assert min(waits) < 0.1
    assert max(waits) > 7.9
    assert len(set(waits)) > 3900
