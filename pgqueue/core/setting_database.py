"""Which database counts: one URL out of everything that may name it."""

from collections.abc import Mapping, Sequence
from typing import cast

from pgqueue.core.database_url import WAYS_OUT, normal_database_url
from pgqueue.core.setting_report import shown
from pgqueue.core.setting_sources import DATABASE_SETTINGS, Given, Layer
from pgqueue.exceptions import ImproperlyConfigured

_DATABASE_VARIABLE = "DATABASE_URL"


def resolve_database(ranks: Sequence[Layer], environ: Mapping[str, str]) -> Given:
    """Return the normal database URL of the highest rank that names one.

    Within a rank (all code is one) every PostgreSQL URL must be the same. `DATABASE_URL` counts when
    no rank names a database. Raises ImproperlyConfigured if nothing does, or if the only URLs are
    another product's.
    """
    for layer in ranks:
        named = {name: layer[name] for name in DATABASE_SETTINGS if name in layer}
        if "database_url" in named and _normal(named["database_url"]) is None:
            raise _not_ours("database_url", named["database_url"])
        # broker_url=redis://… beside a PostgreSQL URL is what a port from Celery looks like: unused.
        ours = {name: given for name, given in named.items() if _normal(given) is not None}
        if ours:
            _check_equal(ours)
            given = next(iter(ours.values()))
            return Given(_normal(given), given.origin)
    text = environ.get(_DATABASE_VARIABLE, "")
    if text.strip():
        given = Given(text, f"environment {_DATABASE_VARIABLE}")
        if (url := normal_database_url(text)) is None:
            raise _not_ours(_DATABASE_VARIABLE, given)
        return Given(url, given.origin)
    for layer in ranks:
        for name in DATABASE_SETTINGS:
            if name in layer:
                raise _not_ours(name, layer[name])
    message = f"no database is named. {WAYS_OUT}"
    raise ImproperlyConfigured(message)


def is_foreign_url(given: Given) -> bool:
    """Say whether a URL was given and names no PostgreSQL database."""
    return given.value is not None and _normal(given) is None


def _normal(given: Given) -> str | None:
    # The type of these settings lets only a text or a list of texts through.
    return normal_database_url(cast("str | Sequence[str]", given.value))


def _check_equal(named: Mapping[str, Given]) -> None:
    if len({_normal(given) for given in named.values()}) > 1:
        found = ", ".join(
            f"{name} {shown(name, given.value)} ({given.origin})" for name, given in named.items()
        )
        message = (
            f"there is one database for jobs and results, and these differ: {found}. Keep one."
        )
        raise ImproperlyConfigured(message)


def _not_ours(name: str, given: Given) -> ImproperlyConfigured:
    advice = WAYS_OUT
    if name == "result_backend":
        advice = f"Results are in PostgreSQL already: drop backend=. {WAYS_OUT}"
    elif name == "broker_url":
        advice = f"Jobs and results are in PostgreSQL: drop broker= and backend=. {WAYS_OUT}"
    return ImproperlyConfigured(
        f"{name} is {shown(name, given.value)} ({given.origin}), which is no PostgreSQL URL. {advice}"
    )
