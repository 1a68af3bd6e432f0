"""What people and other processes are shown of the settings."""

import pickle
from types import SimpleNamespace

import pytest

from pgqueue.core.setting_catalogue import Effect
from pgqueue.core.setting_names import SETTINGS
from tests.fixtures.settings import HERE, THERE, conf


def test_the_report_says_for_every_setting_where_its_value_came_from() -> None:
    settings = conf(
        {"PGQUEUE_LEASE_SECONDS": "5", "PGQUEUE_DATABASE_URL": HERE}, result_serializer="yaml"
    )
    settings.config_from_object(SimpleNamespace(CELERY_TASK_SERIALIZER="yaml"))
    settings.timezone = "UTC"
    settings.command_line({"worker_concurrency": 2})
    settings.add_defaults({"max_crashes": 9})

    rows = {row.name: row for row in settings.report()}

    assert SETTINGS.keys() <= rows.keys()
    assert {row.name: row.origin for row in rows.values() if row.origin != "default"} == {
        "database_url": "environment PGQUEUE_DATABASE_URL",
        "lease_seconds": "environment PGQUEUE_LEASE_SECONDS",
        "result_serializer": "App keyword",
        "task_serializer": "config_from_object(types.SimpleNamespace) CELERY_TASK_SERIALIZER",
        "timezone": "conf assignment",
        "worker_concurrency": "command line",
        "max_crashes": "add_defaults",
    }
    assert (rows["lease_seconds"].value, rows["lease_seconds"].default) == (5.0, 30.0)
    assert rows["lease_seconds"].meaning
    assert rows["lease_seconds"].effect is Effect.EFFECTIVE
    assert "geheim" not in str(rows)


def test_the_report_survives_a_database_that_cannot_be_used() -> None:
    [row] = [row for row in conf(broker="redis://h").report() if row.name == "database_url"]

    assert row.value is None
    assert "broker_url is 'redis://h'" in row.problem


@pytest.mark.parametrize(
    "secret",
    [
        {"database_url": "postgresql://u:geheim@h/d"},
        {"database_url": "postgresql://u:ge@geheim/x'y z@h/d"},
        {"database_url": "postgresql://h/d?user=u&password=geheim"},
        {"broker_url": ["amqp://u:geheim@a", "amqp://b"]},
        {"broker_url": "redis://:geheim@a;redis://:geheim@b"},
        {"redis_password": "geheim"},
        {"broker_transport_options": {"sentinel": {"password": "geheim"}}},
    ],
)
def test_secrets_are_masked_when_settings_are_shown(secret: dict[str, object]) -> None:
    settings = conf(None, **secret)

    assert "geheim" not in settings.humanize()
    assert "geheim" not in str(settings.table(with_defaults=True))
    assert "geheim" not in str(settings.report())
    assert "geheim" not in repr(settings)
    assert "geheim" in settings.humanize(censored=False)


def test_humanize_shows_what_was_given_and_on_demand_the_rest() -> None:
    settings = conf(task_serializer="yaml")

    assert settings.humanize() == "task_serializer: 'yaml'"
    assert "lease_seconds: 30.0" in settings.humanize(with_defaults=True)


def test_iteration_is_possible_without_a_database() -> None:
    without, with_one = conf(redis_db=1), conf(database_url=THERE)

    assert "database_url" not in list(without)
    assert dict(without)["redis_db"] == 1
    assert dict(with_one.items())["database_url"] == THERE
    assert len(with_one) == len(SETTINGS) == len(with_one.keys()) == len(with_one.values())


def test_another_process_can_rebuild_the_settings() -> None:
    settings = conf({"PGQUEUE_LEASE_SECONDS": "5"}, broker=f"db+{THERE}", result_expires=None)

    rebuilt = pickle.loads(pickle.dumps(settings))

    assert settings.as_mapping() == {
        "database_url": THERE,
        "broker_url": f"db+{THERE}",
        "lease_seconds": 5.0,
        "result_expires": None,
    }
    assert rebuilt.as_mapping() == settings.as_mapping()
    assert rebuilt.lease_seconds == 5.0


def test_a_value_read_before_is_not_kept_after_a_change() -> None:
    settings = conf()
    assert (settings.task_serializer, settings.TASK_SERIALIZER) == ("json", "json")

    settings.update(task_serializer="yaml")

    assert (settings.task_serializer, settings.TASK_SERIALIZER) == ("yaml", "yaml")
