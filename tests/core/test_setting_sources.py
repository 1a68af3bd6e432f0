"""Where settings come from: the environment, modules, objects, the command line."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgqueue.core.settings import Settings
from pgqueue.exceptions import ImproperlyConfigured
from tests.fixtures.settings import THERE, conf

WriteModule = Callable[[str, str], None]


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """Return a function that makes a module importable."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_text_from_the_environment_is_read_by_the_type_of_the_setting() -> None:
    settings = conf({
        "PGQUEUE_LISTEN": "no",
        "PGQUEUE_LEASE_SECONDS": "2.5",
        "PGQUEUE_MAX_CRASHES": "7",
        "PGQUEUE_ACCEPT_CONTENT": "json, yaml",
        "PGQUEUE_BEAT_SCHEDULE": '{"x": {"task": "t", "schedule": 5}}',
        "PGQUEUE_TASK_ROUTES": '{"a": "b"}',
        "PGQUEUE_TASK_QUEUES": "shop.queues",
        "PGQUEUE_RESULT_EXPIRES": "none",
        "PGQUEUE_TIMEZONE": "",
    })  # fmt: skip

    assert settings.listen is False
    assert settings.lease_seconds == 2.5
    assert settings.max_crashes == 7
    assert settings.accept_content == ("json", "yaml")
    assert settings.beat_schedule == {"x": {"task": "t", "schedule": 5}}
    assert settings.task_routes == {"a": "b"}
    assert settings.task_queues == "shop.queues"
    assert settings.result_expires is None
    assert settings.timezone is None


def test_a_bad_variable_is_named() -> None:
    settings = conf({"PGQUEUE_LEASE_SECONDS": "soon"})

    with pytest.raises(ImproperlyConfigured, match="environment PGQUEUE_LEASE_SECONDS"):
        _ = settings.lease_seconds


def test_unknown_variables_are_ignored_and_listed() -> None:
    settings = conf({"PGQUEUE_LEASE": "5", "PGQUEUE_PG_BIN": "/x", "PGQUEUE_TEST_X": "y", "X": "1"})

    assert settings.lease_seconds == 30
    assert settings.ignored_variables() == ["PGQUEUE_LEASE"]


def test_the_process_environment_is_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setenv("PGQUEUE_LEASE_SECONDS", "4")

    assert settings.lease_seconds == 4


def test_a_module_is_imported_at_the_first_read(write_module: WriteModule) -> None:
    write_module("lazy_shop.config", "raise RuntimeError('imported')")
    settings = conf()
    settings.config_from_object("lazy_shop.config")

    with pytest.raises(RuntimeError, match="imported"):
        _ = settings.task_serializer
    with pytest.raises(RuntimeError, match="imported"):
        conf().config_from_object("lazy_shop.config", force=True)


@pytest.mark.parametrize(
    "name", ["named_shop.config:Production", "named_shop.config.Production", "named_shop.flat"]
)
def test_a_source_is_named_as_module_or_attribute(name: str, write_module: WriteModule) -> None:
    write_module("named_shop.config", "class Production:\n    task_serializer = 'yaml'")
    write_module("named_shop.flat", "CELERY_TASK_SERIALIZER = 'yaml'")
    settings = conf()

    settings.config_from_object(name)

    assert settings.task_serializer == "yaml"


@pytest.mark.parametrize("name", ["no_such", "no_such.config", "no_such:x", "json:no", "json.no"])
def test_a_source_that_is_not_there_is_named(name: str) -> None:
    settings = conf()
    settings.config_from_object(name)

    with pytest.raises(ImproperlyConfigured, match=f"config_from_object\\('{name}'\\)"):
        _ = settings.timezone


def test_a_source_that_may_be_missing_is_passed_over() -> None:
    settings = conf()

    settings.config_from_object("no_such_module", silent=True)

    assert settings.task_serializer == "json"


def test_an_import_error_inside_the_module_is_let_through(write_module: WriteModule) -> None:
    write_module("broken_shop", "import no_such_dependency")
    settings = conf()
    settings.config_from_object("broken_shop")

    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        _ = settings.timezone


def test_a_key_error_inside_the_module_is_let_through(write_module: WriteModule) -> None:
    write_module("keyless_shop", "import os\nX = os.environ['NO_SUCH_VARIABLE']")
    settings = conf()
    settings.config_from_object("keyless_shop")

    with pytest.raises(KeyError, match="NO_SUCH_VARIABLE"):
        _ = settings.timezone


def test_in_a_module_only_names_with_celerys_prefix_are_judged(write_module: WriteModule) -> None:
    write_module(
        "plain_shop",
        "from datetime import timezone\n"
        "from os.path import join as include\n"
        "DEBUG = True\nQUEUES = 5\nSCHEMA = {}\nDATABASE_URL = 'sqlite://'\nnonsense = 1\n"
        "broker_url = 'postgres://there/shop'\n"
        "TASK_SERIALIZER = 'yaml'\n"
        "CELERYD_CONCURRENCY = 3\n",
    )
    write_module("wrong_shop", "CELERY_TASK_SERIALISER = 'yaml'\n")
    settings = conf()
    settings.config_from_object("plain_shop")

    assert settings.database_url == THERE
    assert settings.task_serializer == "yaml"
    assert settings.worker_concurrency == 3
    assert settings.schema == "pgqueue"
    assert settings.timezone is None
    settings.config_from_object("wrong_shop")
    with pytest.raises(ImproperlyConfigured, match=r"CELERY_TASK_SERIALISER.*task_serializer"):
        _ = settings.timezone


def test_a_namespace_is_found_and_judged() -> None:
    class Django:
        DEBUG = True
        PGQUEUE_DATABASE_URL = THERE
        PGQUEUE_TASK_SERIALIZER = "yaml"
        PGQUEUE_WORKER_CONCURRENCY = 3

    class Wrong:
        PGQUEUE_LEASE_SECOND = 5

    settings = conf()
    settings.config_from_object(Django, namespace="PGQUEUE")
    assert settings.database_url == THERE
    assert settings.task_serializer == "yaml"
    assert settings.worker_concurrency == 3

    settings = Settings(namespace="PGQUEUE", environ={})
    settings.config_from_object(Wrong())
    with pytest.raises(ImproperlyConfigured, match=r"PGQUEUE_LEASE_SECOND.*lease_seconds"):
        _ = settings.timezone


def test_celerys_old_names_are_found_beside_a_namespace() -> None:
    old = SimpleNamespace(
        CELERY_TASK_RESULT_EXPIRES=60,
        CELERYD_MAX_TASKS_PER_CHILD=40,
        CELERYBEAT_SCHEDULE={"x": {}},
        BROKER_POOL_LIMIT=3,
        CELERYD_NO_SUCH_THING=1,
    )

    for namespace in ("CELERY", "PGQUEUE"):
        settings = conf()
        settings.config_from_object(old, namespace=namespace)
        assert settings.result_expires == 60
        assert settings.worker_max_tasks_per_child == 40
        assert settings.beat_schedule == {"x": {}}
        assert settings.broker_pool_limit == 3


def test_an_old_and_a_namespaced_name_that_differ_are_refused() -> None:
    settings = conf()
    settings.config_from_object(
        SimpleNamespace(CELERY_WORKER_CONCURRENCY=1, CELERYD_CONCURRENCY=2), namespace="CELERY"
    )

    with pytest.raises(ImproperlyConfigured, match="CELERYD_CONCURRENCY"):
        _ = settings.worker_concurrency


def test_a_dict_with_a_namespace_may_hold_other_things() -> None:
    settings = conf()

    settings.config_from_object({"PGQUEUE_SCHEMA": "jobs", "DEBUG": True}, namespace="PGQUEUE")

    assert settings.schema == "jobs"


def test_djangos_time_zone_counts_if_no_timezone_is_given() -> None:
    settings = conf()
    settings.config_from_object(SimpleNamespace(TIME_ZONE="Europe/Oslo"), namespace="CELERY")
    assert settings.timezone == "Europe/Oslo"

    settings = conf()
    settings.config_from_object(
        SimpleNamespace(TIME_ZONE="Europe/Oslo", CELERY_TIMEZONE="UTC"), namespace="CELERY"
    )
    assert settings.timezone == "UTC"


def test_a_variable_may_name_the_module(write_module: WriteModule) -> None:
    write_module("variable_shop", "task_serializer = 'yaml'")
    settings = conf({"SHOP_CONFIG": "variable_shop"})

    settings.config_from_envvar("SHOP_CONFIG")

    assert settings.task_serializer == "yaml"
    with pytest.raises(ImproperlyConfigured, match="NO_CONFIG"):
        settings.config_from_envvar("NO_CONFIG")
    settings.config_from_envvar("NO_CONFIG", silent=True)


def test_words_of_the_command_line_are_read_by_type() -> None:
    settings = conf({"PGQUEUE_WORKER_CONCURRENCY": "2"})

    settings.config_from_cmdline(["worker.concurrency=4", "task_always_eager=yes"])

    assert settings.worker_concurrency == 4
    assert settings.task_always_eager is True
    with pytest.raises(ImproperlyConfigured, match="timezone=value"):
        settings.config_from_cmdline(["timezone"])


def test_a_module_may_read_the_settings_that_it_is_imported_for(write_module: WriteModule) -> None:
    settings = conf()
    write_module(
        "reading_shop",
        "import threading\ntask_serializer = threading.current_thread().conf.task_serializer\n"
        "result_serializer = 'yaml'\n",
    )
    settings.config_from_object("reading_shop")
    me = threading.current_thread()
    me.conf = settings  # type: ignore[attr-defined]

    assert settings.result_serializer == "yaml"
    assert settings.task_serializer == "json"
