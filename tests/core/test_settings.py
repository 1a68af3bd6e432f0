"""What `app.conf` promises: every spelling, the values taken and refused, and who wins."""

from datetime import UTC, timedelta

import pytest

from pgqueue.core.setting_catalogue import Effect
from pgqueue.core.setting_names import SETTINGS, find_setting
from pgqueue.core.settings import Settings
from pgqueue.exceptions import ImproperlyConfigured
from tests.fixtures.settings import conf


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("schema", "pgqueue"),
        ("listen", True),
        ("listen_url", None),
        ("notify", True),
        ("poll_interval", 1.0),
        ("lease_seconds", 30.0),
        ("max_crashes", 3),
        ("job_expires", 604_800.0),
        ("result_expires", 86_400.0),
        ("max_payload_bytes", 1_048_576),
        ("unknown_task_grace", 600.0),
        ("scheduler", "on"),
        ("self_fence", True),
        ("grace_seconds", None),
        ("queue_order", "fair"),
        ("broker_pool_limit", 10),
        ("result_cache_max", -1),
        ("task_default_queue", "celery"),
        ("task_default_priority", 5),
        ("task_serializer", "json"),
        ("accept_content", ("json",)),
        ("enable_utc", True),
        ("timezone", None),
    ],
)
def test_a_setting_that_nobody_sets_has_its_default(name: str, default: object) -> None:
    assert conf()[name] == default


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("CELERY_TASK_SERIALIZER", "task_serializer"),
        ("TASK_SERIALIZER", "task_serializer"),
        ("BROKER_URL", "broker_url"),
        ("CELERY_BROKER_URL", "broker_url"),
        ("BROKER_POOL_LIMIT", "broker_pool_limit"),
        ("CELERY_RESULT_BACKEND", "result_backend"),
        ("CELERY_BACKEND", "result_backend"),
        ("CELERYD_CONCURRENCY", "worker_concurrency"),
        ("CELERY_WORKER_CONCURRENCY", "worker_concurrency"),
        ("CELERYD_MAX_TASKS_PER_CHILD", "worker_max_tasks_per_child"),
        ("MAX_TASKS_PER_CHILD", "worker_max_tasks_per_child"),
        ("CELERYD_PREFETCH_MULTIPLIER", "worker_prefetch_multiplier"),
        ("CELERYD_TASK_TIME_LIMIT", "task_time_limit"),
        ("CELERYD_TASK_SOFT_TIME_LIMIT", "task_soft_time_limit"),
        ("CELERYBEAT_SCHEDULE", "beat_schedule"),
        ("CELERY_BEAT_SCHEDULE", "beat_schedule"),
        ("CELERY_ACKS_LATE", "task_acks_late"),
        ("ACKS_LATE", "task_acks_late"),
        ("CELERY_ALWAYS_EAGER", "task_always_eager"),
        ("CELERY_DEFAULT_QUEUE", "task_default_queue"),
        ("CELERY_QUEUES", "task_queues"),
        ("CELERY_ROUTES", "task_routes"),
        ("CELERY_ANNOTATIONS", "task_annotations"),
        ("CELERY_MESSAGE_COMPRESSION", "task_compression"),
        ("CELERY_TASK_RESULT_EXPIRES", "result_expires"),
        ("CELERY_MAX_CACHED_RESULTS", "result_cache_max"),
        ("CELERY_EAGER_PROPAGATES_EXCEPTIONS", "task_eager_propagates"),
        ("CELERY_SEND_TASK_SENT_EVENT", "task_send_sent_event"),
        ("CELERY_SEND_EVENTS", "worker_send_task_events"),
        ("CELERY_DISABLE_RATE_LIMITS", "worker_disable_rate_limits"),
        ("CELERY_ENABLE_REMOTE_CONTROL", "worker_enable_remote_control"),
        ("CELERYBEAT_ENABLE_REMOTE_CONTROL", "beat_enable_remote_control"),
        ("CELERY_TIMEZONE", "timezone"),
        ("CELERY_IMPORTS", "imports"),
        ("CELERY_ACCEPT_CONTENT", "accept_content"),
        ("broker", "broker_url"),
        ("backend", "result_backend"),
        ("pool_limit", "broker_pool_limit"),
    ],
)
def test_an_old_name_is_an_alias(old: str, name: str) -> None:
    setting = find_setting(old)

    assert setting is not None
    assert setting.name == name
    assert conf()[old] == conf()[name]


def test_every_setting_is_found_in_upper_case_with_and_without_celerys_prefix() -> None:
    for name, setting in SETTINGS.items():
        for spelling in (name, name.upper(), f"CELERY_{name.upper()}", f"PGQUEUE_{name.upper()}"):
            assert find_setting(spelling) is setting, spelling


def test_every_default_fits_its_own_setting() -> None:
    for setting in SETTINGS.values():
        assert setting.kind.accept(setting.default) == setting.default, setting.name
        assert setting.meaning


def test_an_old_name_is_an_attribute_too() -> None:
    settings = conf()

    settings.CELERY_TASK_SERIALIZER = "pickle"

    assert settings.task_serializer == "pickle"
    assert settings["TASK_SERIALIZER"] == "pickle"


def test_items_and_attributes_are_the_same_thing() -> None:
    settings = conf()

    settings["timezone"] = "Asia/Shanghai"

    assert settings.timezone == "Asia/Shanghai"
    assert settings.get("CELERY_TIMEZONE") == "Asia/Shanghai"
    assert "timezone" in settings
    assert "CELERY_TIMEZONE" in settings


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("task_serialiser", "task_serializer"),
        ("CELERY_TASK_SERIALISER", "task_serializer"),
        ("CELERYD_CONCURENCY", "worker_concurrency"),
        ("databse_url", "database_url"),
        ("lease_second", "lease_seconds"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(wrong: str, meant: str) -> None:
    settings = conf()

    with pytest.raises(ImproperlyConfigured, match=f"'{wrong}'.*'{meant}'"):
        setattr(settings, wrong, 1)
    with pytest.raises(ImproperlyConfigured, match=f"'{meant}'"):
        settings.update({wrong: 1})
    with pytest.raises(ImproperlyConfigured, match=f"'{meant}'"):
        settings.config_from_object({wrong: 1})
    with pytest.raises(ImproperlyConfigured, match=f"'{meant}'"):
        conf(None, **{wrong: 1})


def test_reading_an_unknown_name_is_an_ordinary_attribute_or_key_error() -> None:
    settings = conf()

    with pytest.raises(AttributeError, match="task_serializer"):
        _ = settings.task_serialiser
    with pytest.raises(KeyError, match="task_serializer"):
        _ = settings["task_serialiser"]
    assert not hasattr(settings, "task_serialiser")
    assert "task_serialiser" not in settings
    assert settings.get("task_serialiser", 5) == 5


def test_settings_of_other_products_are_taken_and_change_nothing() -> None:
    settings = conf(redis_socket_timeout=5, broker_transport_options={"x": 1})
    settings.CELERY_REDIS_MAX_CONNECTIONS = 20
    settings.CELERYD_LOG_LEVEL = "INFO"

    assert settings.redis_socket_timeout == 5
    assert settings.redis_max_connections == 20
    assert settings.cassandra_keyspace is None
    assert {(row.name, row.effect) for row in settings.without_effect()} == {
        ("redis_socket_timeout", Effect.FOREIGN),
        ("redis_max_connections", Effect.FOREIGN),
        ("broker_transport_options", Effect.ACCEPTED),
        ("celeryd_log_level", Effect.ACCEPTED),
    }


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("lease_seconds", 10, 10.0),
        ("lease_seconds", timedelta(minutes=1), 60.0),
        ("result_expires", timedelta(days=2), 172_800.0),
        ("result_expires", None, None),
        ("result_expires", 0, 0.0),
        ("task_time_limit", 5, 5.0),
        ("worker_concurrency", 4, 4),
        ("worker_concurrency", "4", 4),
        ("worker_concurrency", "auto", "auto"),
        ("task_always_eager", 1, True),
        ("task_always_eager", "off", False),
        ("scheduler", "off", "off"),
        ("scheduler", False, "off"),
        ("accept_content", ["json", "msgpack"], ["json", "msgpack"]),
        ("accept_content", {"json"}, {"json"}),
        ("imports", "shop.tasks", ("shop.tasks",)),
        ("timezone", UTC, UTC),
        ("timezone", "Europe/Oslo", "Europe/Oslo"),
        ("task_default_rate_limit", "10/m", "10/m"),
        ("listen_url", "postgres://here/x", "postgresql://here/x"),
        ("broker_pool_limit", None, None),
        ("queue_order", "strict", "strict"),
    ],
)
def test_a_value_is_kept_in_the_form_of_its_type(name: str, given: object, kept: object) -> None:
    settings = conf(**{name: given})

    assert settings[name] == kept
    assert type(settings[name]) is type(kept)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_seconds", "soon"),
        ("lease_seconds", 0),
        ("lease_seconds", True),
        ("lease_seconds", float("nan")),
        ("poll_interval", timedelta(seconds=-1)),
        ("max_crashes", 0),
        ("max_crashes", 1.5),
        ("max_crashes", None),
        ("listen", "maybe"),
        ("listen", []),
        ("schema", ""),
        ("schema", "s" * 64),
        ("timezone", "Mars/Olympus"),
        ("accept_content", [1]),
        ("accept_content", 5),
        ("beat_schedule", [1]),
        ("task_publish_retry_policy", "{"),
        ("queue_order", "random"),
        ("task_default_rate_limit", "10/week"),
        ("worker_concurrency", -1),
        ("database_url", 5),
        ("broker_url", []),
        ("listen_url", "redis://here"),
        ("result_expires", 10**400),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    settings = conf()

    with pytest.raises(ImproperlyConfigured, match=rf"^{name} is .*expected "):
        settings[name] = value


def test_an_iterator_of_names_can_be_read_twice() -> None:
    settings = conf(accept_content=(name for name in ["json", "yaml"]))

    assert list(settings.accept_content) == ["json", "yaml"]
    assert list(settings.accept_content) == ["json", "yaml"]


def test_queues_routes_and_annotations_stay_what_they_are() -> None:
    queues, routes = [object()], (lambda: None,)
    settings = conf(task_queues=queues, task_routes=routes)

    assert settings.task_queues is queues
    assert settings.task_routes is routes


def test_the_default_schedule_can_be_written_to_and_belongs_to_one_app() -> None:
    one, other = conf(), conf()

    one.beat_schedule["nightly"] = {"task": "clean"}
    one.timezone = "UTC"

    assert one.CELERYBEAT_SCHEDULE == {"nightly": {"task": "clean"}}
    assert one.as_mapping()["beat_schedule"] == {"nightly": {"task": "clean"}}
    assert other.beat_schedule == {}


def test_exchange_and_routing_key_follow_the_default_queue() -> None:
    settings = conf(task_default_queue="shop")

    assert settings.task_default_exchange == "shop"
    assert settings.task_default_routing_key == "shop"


def test_each_source_wins_over_those_below_it() -> None:
    settings = conf()
    seen = [settings.task_default_queue]

    settings.add_defaults({"task_default_queue": "default"})
    seen.append(settings.task_default_queue)
    settings.config_from_object({"CELERY_DEFAULT_QUEUE": "object"})
    seen.append(settings.task_default_queue)
    settings = Settings({"task_default_queue": "keyword"}, environ={})
    settings.config_from_object({"task_default_queue": "object"})
    seen.append(settings.task_default_queue)
    settings.task_default_queue = "assigned"
    seen.append(settings.task_default_queue)
    settings = conf({"PGQUEUE_TASK_DEFAULT_QUEUE": "environment"}, task_default_queue="keyword")
    settings.task_default_queue = "assigned"
    seen.append(settings.task_default_queue)
    settings.command_line({"task_default_queue": "command line"})
    seen.append(settings.task_default_queue)

    assert seen == [
        "celery", "default", "object", "keyword", "assigned", "environment", "command line",
    ]  # fmt: skip


def test_a_later_assignment_replaces_an_earlier_one() -> None:
    settings = conf()

    settings.task_serializer = "pickle"
    settings.CELERY_TASK_SERIALIZER = "yaml"

    assert settings.task_serializer == "yaml"


def test_an_update_that_is_refused_changes_nothing() -> None:
    settings = conf()

    with pytest.raises(ImproperlyConfigured, match="max_crashes"):
        settings.update(task_serializer="yaml", max_crashes="many")

    assert settings.task_serializer == "json"


def test_setdefault_sets_only_what_nobody_has_set() -> None:
    settings = conf(task_serializer="yaml")

    assert settings.setdefault("task_serializer", "pickle") == "yaml"
    assert settings.setdefault("result_serializer", "pickle") == "pickle"


def test_two_values_for_one_setting_in_one_source_are_refused() -> None:
    settings = conf()
    both = {"task_serializer": "json", "CELERY_TASK_SERIALIZER": "yaml"}

    with pytest.raises(ImproperlyConfigured, match="task_serializer and CELERY_TASK_SERIALIZER"):
        settings.config_from_object(both)
    with pytest.raises(ImproperlyConfigured, match="one setting"):
        settings.update(both)
    with pytest.raises(ImproperlyConfigured, match="one setting"):
        conf(None, **both)


def test_the_same_value_under_an_old_and_a_new_name_is_fine() -> None:
    settings = conf()

    settings.config_from_object({"result_expires": 60, "CELERY_TASK_RESULT_EXPIRES": 60.0})

    assert settings.result_expires == 60


def test_of_two_objects_the_later_wins_and_the_earlier_fills_in() -> None:
    settings = conf()

    settings.config_from_object({"task_serializer": "yaml", "result_serializer": "yaml"})
    settings.config_from_object({"task_serializer": "msgpack"})

    assert (settings.task_serializer, settings.result_serializer) == ("msgpack", "yaml")


def test_defaults_may_come_from_a_function_called_at_the_first_read() -> None:
    calls: list[str] = []

    def defaults() -> dict[str, object]:
        calls.append("called")
        return {"task_serializer": "yaml"}

    settings = conf()
    settings.add_defaults(defaults)

    assert calls == []
    assert settings.task_serializer == "yaml"
    assert settings.result_serializer == "json"
    assert calls == ["called"]
