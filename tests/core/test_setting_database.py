"""Which database counts, and what is said if none does."""

import pytest

from pgqueue.exceptions import ImproperlyConfigured
from tests.fixtures.settings import HERE, THERE, conf


@pytest.mark.parametrize(
    "spelling",
    [
        "postgres://u:p@h:5432/d?sslmode=require",
        "postgresql://u:p@h:5432/d?sslmode=require",
        "postgresql+psycopg://u:p@h:5432/d?sslmode=require",
        "db+postgresql://u:p@h:5432/d?sslmode=require",
        "db+postgresql+psycopg2://u:p@h:5432/d?sslmode=require",
        " POSTGRESQL://u:p@h:5432/d?sslmode=require\n",
    ],
)
@pytest.mark.parametrize("name", ["database_url", "broker", "backend"])
def test_any_spelling_of_a_postgresql_url_names_the_database(name: str, spelling: str) -> None:
    settings = conf(**{name: spelling})

    assert settings.database_url == "postgresql://u:p@h:5432/d?sslmode=require"
    assert settings[name] == (settings.database_url if name == "database_url" else spelling)


@pytest.mark.parametrize("url", ["embedded://", "embedded:///var/lib/shop", "embedded://data"])
def test_an_embedded_server_is_named_by_its_folder(url: str) -> None:
    assert conf(database_url=url).database_url == url


def test_without_a_url_the_error_shows_the_ways_out() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"PGQUEUE_DATABASE_URL.*database_url.*embedded"):
        _ = conf().database_url


def test_equal_urls_in_code_may_be_spelled_differently() -> None:
    settings = conf(database_url=THERE, broker=f"db+{THERE}", backend="postgres://there/shop")

    assert settings.database_url == THERE


def test_different_urls_in_code_are_refused_without_showing_the_password() -> None:
    settings = conf(database_url=HERE)
    settings.config_from_object({"result_backend": THERE})

    with pytest.raises(ImproperlyConfigured, match="there is one database") as refusal:
        _ = settings.database_url
    assert "geheim" not in str(refusal.value)


def test_an_assigned_database_url_replaces_the_keyword() -> None:
    settings = conf(database_url=HERE)

    settings.database_url = THERE

    assert settings.database_url == THERE


@pytest.mark.parametrize(
    "urls",
    [
        {"broker": "redis://:geheim@h/0"},
        {"broker": "amqp://user:geheim@h//"},
        {"broker": "redis://:geheim@a;redis://b"},
        {"broker": ["redis://:geheim@a", "redis://b"]},
        {"broker": "localhost"},
        {"backend": "amqp"},
        {"backend": "db+mysql://root:geheim@h/d"},
        {"database_url": "mysql://root:geheim@h/d"},
        {"database_url": "sqlite:///x", "broker": THERE},
    ],
)
def test_a_url_of_another_product_is_refused_when_it_would_be_used(urls: dict[str, object]) -> None:
    settings = conf(None, **urls)
    assert all(settings[name] == url for name, url in urls.items() if name != "database_url")

    with pytest.raises(
        ImproperlyConfigured, match=r"PGQUEUE_DATABASE_URL.*database_url"
    ) as refusal:
        _ = settings.database_url

    assert "geheim" not in str(refusal.value)
    assert ("drop b" in str(refusal.value)) == ("database_url" not in urls)


def test_the_variable_alone_ports_an_unchanged_celery_configuration() -> None:
    settings = conf({"PGQUEUE_DATABASE_URL": HERE}, broker="redis://h/0", backend="rpc://")

    assert settings.database_url == HERE
    assert settings.broker_url == "redis://h/0"
    assert settings.result_backend == "rpc://"
    assert {row.name for row in settings.without_effect()} == {"broker_url", "result_backend"}


def test_a_postgresql_result_backend_is_enough_beside_another_broker() -> None:
    assert conf(broker="redis://h/0", backend=f"db+{THERE}").database_url == THERE


def test_the_environment_wins_over_differing_urls_in_code() -> None:
    settings = conf({"PGQUEUE_DATABASE_URL": HERE}, database_url=THERE, broker="postgresql://x/y")

    assert settings.database_url == HERE


def test_the_variable_of_the_host_counts_only_if_nothing_else_names_a_database() -> None:
    environ = {"DATABASE_URL": "postgres://host/app"}

    assert conf(environ).database_url == "postgresql://host/app"
    assert conf(environ, broker="redis://h/0").database_url == "postgresql://host/app"
    assert conf(environ, broker=THERE).database_url == THERE
    settings = conf(environ)
    settings.add_defaults({"database_url": THERE})
    assert settings.database_url == THERE


def test_the_variable_of_the_host_has_to_be_postgresql() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL is 'mysql:"):
        _ = conf({"DATABASE_URL": "mysql://h/d"}).database_url


def test_none_as_a_url_is_not_a_url() -> None:
    settings = conf(database_url=None, broker=None, backend=None)
    settings.broker_url = THERE
    assert settings.database_url == THERE

    settings.broker_url = None

    with pytest.raises(ImproperlyConfigured, match="no database is named"):
        _ = settings.database_url
