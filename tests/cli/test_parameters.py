"""How the words of a command line are read, and how values are printed: pure functions."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from pgqueue.cli import output, parameters


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("info", logging.INFO),
        ("INFO", logging.INFO),
        ("Warn", logging.WARNING),
        ("fatal", logging.CRITICAL),
        ("debug", logging.DEBUG),
    ],
)
def test_levels_are_read_in_any_case(text: str, level: int) -> None:
    assert parameters.log_level(text) == level


def test_an_age_is_a_moment_in_the_past() -> None:
    now = datetime.now(UTC)

    assert abs(now - timedelta(minutes=90) - parameters.past_moment("1.5h")) < timedelta(seconds=1)
    assert abs(now - timedelta(days=7) - parameters.past_moment("7d")) < timedelta(seconds=1)


def test_a_moment_may_be_given_instead_of_an_age() -> None:
    assert parameters.past_moment("2026-01-31T12:00:00+00:00") == datetime(
        2026, 1, 31, 12, tzinfo=UTC
    )
    assert parameters.seconds_or_moment("2026-01-31") == datetime(2026, 1, 31)  # noqa: DTZ001
    assert parameters.seconds_or_moment("1.5") == 1.5


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon", ""])
def test_seconds_are_a_number_that_is_not_negative(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of seconds"):
        parameters.seconds(text)


def test_arguments_may_hold_the_tags_of_stored_json() -> None:
    text = '[{"__type__": "datetime", "__value__": "2026-01-31T12:00:00+00:00"}]'

    assert parameters.json_array(text) == [datetime(2026, 1, 31, 12, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Åse", "plain Åse"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb", r"a\r\nb"),
        ("\x9b31m", r"\x9b31m"),
        ("invoice\u202efdp.exe", r"invoice\u202efdp.exe"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_escaped(text: str, shown: str) -> None:
    assert output.printable(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0.44, "0.4 s"), (42.0, "42 s"), (600.0, "10 min"), (90_000.0, "25 h")],
)
def test_ages_are_shown_as_people_read_them(seconds: float | None, shown: str) -> None:
    assert output.as_age(seconds) == shown
