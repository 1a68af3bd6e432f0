"""From any spelling of a setting to the setting: Celery's old names, bare and upper-case forms."""

import difflib
from collections.abc import Iterator

from pgqueue.core.setting_catalogue import KNOWN_SETTINGS, Setting, mapping_by_name
from pgqueue.core.setting_without_effect import SETTINGS_WITHOUT_EFFECT, foreign_setting
from pgqueue.exceptions import ImproperlyConfigured

SETTINGS: dict[str, Setting] = mapping_by_name((*KNOWN_SETTINGS, *SETTINGS_WITHOUT_EFFECT))

CELERY_PREFIXES = ("CELERY_", "CELERYD_", "CELERYBEAT_", "BROKER_")
OWN_PREFIX = "PGQUEUE_"

# By the first word of the new name, what stood before the rest of it in Celery 3.
_OLD_PREFIXES = {
    "task": "CELERY_",
    "worker": "CELERYD_",
    "beat": "CELERYBEAT_",
    "broker": "BROKER_",
    "result": "CELERY_RESULT_",
}

# Old names that do not follow that rule.
_OLD_NAMES = {
    "broker_transport": ("BROKER_BACKEND", "CARROT_BACKEND"),
    "database_engine_options": ("CELERY_RESULT_ENGINE_OPTIONS",),
    "database_short_lived_sessions": ("CELERY_RESULT_DB_SHORT_LIVED_SESSIONS",),
    "database_table_names": ("CELERY_RESULT_DB_TABLENAMES",),
    "result_backend": ("CELERY_BACKEND",),
    "result_cache_max": ("CELERY_MAX_CACHED_RESULTS",),
    "result_expires": ("CELERY_TASK_RESULT_EXPIRES", "CELERY_AMQP_TASK_RESULT_EXPIRES"),
    "task_compression": ("CELERY_MESSAGE_COMPRESSION",),
    "task_send_sent_event": ("CELERY_SEND_TASK_SENT_EVENT",),
    "task_eager_propagates": ("CELERY_EAGER_PROPAGATES_EXCEPTIONS",),
    "task_soft_time_limit": ("CELERYD_TASK_SOFT_TIME_LIMIT",),
    "task_time_limit": ("CELERYD_TASK_TIME_LIMIT",),
    "worker_direct": ("CELERY_WORKER_DIRECT",),
    "worker_disable_rate_limits": ("CELERY_DISABLE_RATE_LIMITS",),
    "worker_enable_remote_control": ("CELERY_ENABLE_REMOTE_CONTROL",),
    "worker_lost_wait": ("CELERYD_WORKER_LOST_WAIT",),
    "worker_redirect_stdouts": ("CELERY_REDIRECT_STDOUTS",),
    "worker_redirect_stdouts_level": ("CELERY_REDIRECT_STDOUTS_LEVEL",),
    "worker_send_task_events": ("CELERY_SEND_EVENTS",),
}

# Lower-case names that are neither Celery's nor derived: App's keywords, and what a pool has here.
_SHORT_NAMES = {
    "backend": "result_backend",
    "broker": "broker_url",
    "pool_acquire_timeout": "broker_pool_acquire_timeout",
    "pool_limit": "broker_pool_limit",
}


def find_setting(spelling: str) -> Setting | None:
    """Return the setting that `spelling` names; None if there is none.

    Lower case: the name itself or a short form (`broker`, `pool_limit`). Upper case: the name or an
    old name, each with or without its prefix and with or without `CELERY_` or `PGQUEUE_` before it.
    """
    name = _SHORT_NAMES.get(spelling, spelling)
    if name in SETTINGS or not spelling.isupper():
        return SETTINGS.get(name) or foreign_setting(name)
    for candidate in _without_product(spelling):
        if candidate in _NAME_BY_SPELLING:
            return SETTINGS[_NAME_BY_SPELLING[candidate]]
        if (foreign := foreign_setting(candidate.lower())) is not None:
            return foreign
    return None


def known_setting(spelling: str, origin: str) -> Setting:
    """Return the setting that `spelling` names; ImproperlyConfigured names the nearest one if none."""
    setting = find_setting(spelling)
    if setting is None:
        raise ImproperlyConfigured(unknown_setting_message(spelling, origin))
    return setting


def unknown_setting_message(spelling: str, origin: str) -> str:
    """Return what to tell somebody who wrote `spelling` in `origin`, with the nearest known name."""
    nearest = nearest_name(spelling)
    hint = f"Did you mean {nearest!r}?" if nearest else "`pgqueue config` lists every setting."
    return f"there is no setting {spelling!r} ({origin}). {hint}"


def nearest_name(spelling: str) -> str | None:
    """Return the known setting whose name or old name is the most like `spelling`."""
    best: tuple[float, str] | None = None
    for candidate in _without_product(spelling.upper()):
        for match in difflib.get_close_matches(candidate, _NAME_BY_SPELLING, n=1, cutoff=0.5):
            likeness = difflib.SequenceMatcher(a=candidate, b=match).ratio()
            best = max(best or (0.0, ""), (likeness, _NAME_BY_SPELLING[match]))
    return best[1] if best else None


def is_spelled_in_full(spelling: str) -> bool:
    """Say whether `spelling` cannot be mistaken for a constant of somebody else's module.

    So are lower-case names, names with a prefix of Celery's or ours, and upper-case names that begin
    with a group's word (`TASK_SERIALIZER`); `QUEUES`, `SCHEMA` and `DATABASE_URL` are not.
    """
    if spelling.startswith((*CELERY_PREFIXES, OWN_PREFIX)):
        return True
    if spelling in SETTINGS or foreign_setting(spelling) is not None:
        return True
    group, _, rest = spelling.lower().partition("_")
    return spelling.isupper() and group in _OLD_PREFIXES and bool(rest)


def _without_product(spelling: str) -> Iterator[str]:
    yield spelling
    for prefix in ("CELERY_", OWN_PREFIX):
        if spelling.startswith(prefix):
            yield spelling.removeprefix(prefix)


def _old_names(name: str) -> Iterator[str]:
    group, _, rest = name.partition("_")
    yield from _OLD_NAMES.get(name, ())
    if rest and group in _OLD_PREFIXES:
        yield _OLD_PREFIXES[group] + rest.upper()


def _names_by_spelling() -> dict[str, str]:
    """Return every upper-case spelling, the surest first: names, old names, old names made bare."""
    names = {name.upper(): name for name in SETTINGS}
    for name in SETTINGS:
        for old in _old_names(name):
            names.setdefault(old, name)
    for name in SETTINGS:
        for old in _old_names(name):
            for prefix in CELERY_PREFIXES:
                if old.startswith(prefix):
                    names.setdefault(old.removeprefix(prefix), name)
    return names


_NAME_BY_SPELLING = _names_by_spelling()
