"""Database URLs as text: which ones name a PostgreSQL database, one spelling of them, passwords masked.

Opens no connection and starts no server.
"""

import re
from collections.abc import Sequence

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
# What dj-database-url and libpq call PostgreSQL.
_POSTGRESQL = frozenset({"postgresql", "postgres", "pgsql", "postgis"})
# Celery's "the database behind SQLAlchemy": db+… for results, sqla+… for brokers.
_CELERY_MARKS = frozenset({"db", "sqla", "sqlalchemy"})

_URL_IN_TEXT = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s;\"']*)")
_PASSWORD_PARAMETER = re.compile(r"(?P<name>[?&](?:ssl)?password=)[^&\s]*", re.IGNORECASE)
MASK = "********"

WAYS_OUT = (
    "Set the environment variable PGQUEUE_DATABASE_URL, or database_url="
    "'postgresql://user:password@host/database' in the App, its configuration or app.conf; "
    "database_url='embedded://' runs a PostgreSQL server of its own on this machine."
)


def normal_database_url(given: str | Sequence[str]) -> str | None:
    """Return the one spelling of a PostgreSQL or embedded URL; None if `given` is anything else.

    `postgres://`, `postgresql+driver://` and `db+postgresql://` become `postgresql://`. A list of
    several URLs (Celery's failover brokers) names no single database.
    """
    texts = [given] if isinstance(given, str) else list(given)
    match = _URL.fullmatch(texts[0].strip()) if len(texts) == 1 else None
    if match is None:
        return None
    words = match["scheme"].lower().split("+")
    if words[0] in _CELERY_MARKS:
        words = words[1:]
    if words == ["embedded"]:
        return f"embedded://{match['rest']}"
    return f"postgresql://{match['rest']}" if words and words[0] in _POSTGRESQL else None


def mask_passwords(text: str) -> str:
    """Return `text` with the password of every URL in it replaced by asterisks."""
    # A text that is one URL is masked as a whole: its password may hold quotes and spaces.
    if (url := _URL.fullmatch(text)) is not None:
        return _masked(url)
    return _URL_IN_TEXT.sub(_masked, text)


def _masked(url: re.Match[str]) -> str:
    # The last @: a password with an unescaped @ or / in it must not leak. Masking too much is safe.
    login, at, place = url["rest"].rpartition("@")
    user, colon, _password = login.partition(":")
    rest = f"{user}{colon}{MASK}{at}{place}" if colon else url["rest"]
    return f"{url['scheme']}://" + _PASSWORD_PARAMETER.sub(rf"\g<name>{MASK}", rest)
