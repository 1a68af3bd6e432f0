"""`pgqueue config`."""

from typing import Any

import pytest

from tests.cli.conftest import Program

pytestmark = pytest.mark.slow


def rows(program: Program, *words: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in program.run("config", "--json", *words).json["settings"]}


def test_every_setting_is_shown_with_its_origin(program: Program) -> None:
    program.write("shop.py", "from pgqueue import App\napp = App(worker_concurrency=3)\n")
    program.environ["PGQUEUE_LEASE_SECONDS"] = "12"

    found = rows(program, "-A", "shop", "-b", "postgresql://me:geheim@here/shop")

    assert found["worker_concurrency"]["value"] == 3
    assert found["worker_concurrency"]["origin"] == "App keyword"
    assert found["lease_seconds"]["value"] == 12
    assert found["lease_seconds"]["default"] == 30
    assert found["lease_seconds"]["origin"] == "environment PGQUEUE_LEASE_SECONDS"
    assert found["database_url"]["value"] == "postgresql://me:********@here/shop"
    assert found["database_url"]["origin"] == "command line"
    assert found["max_crashes"]["origin"] == "default"


def test_the_table_shows_the_same_and_no_password(program: Program) -> None:
    program.environ["PGQUEUE_DATABASE_URL"] = "postgresql://me:geheim@here/shop"

    answer = program.run("config")

    assert answer.code == 0
    assert answer.out.split()[:6] == ["SETTING", "VALUE", "DEFAULT", "ORIGIN", "EFFECT", "MEANING"]
    assert "postgresql://me:********@here/shop" in answer.out
    assert "geheim" not in answer.out + answer.err


def test_what_has_no_effect_is_said(program: Program) -> None:
    program.write("shop.py", "from pgqueue import App\napp = App(redis_max_connections=3)\n")
    program.environ |= {"PGQUEUE_LEASE": "12", "PGQUEUE_DEBUG": "0"}

    answer = program.run("config", "-A", "shop", "-b", "postgresql://here/shop")
    as_json = program.run("config", "-A", "shop", "--json").json

    assert "ignored: the environment variable PGQUEUE_LEASE is no setting" in answer.err
    assert "without effect: redis_max_connections (App keyword)" in answer.err
    assert as_json["ignored_variables"] == ["PGQUEUE_LEASE"]
    assert as_json["without_effect"] == ["redis_max_connections"]


def test_a_check_says_whether_the_settings_can_be_used(program: Program) -> None:
    bad = program.run("config", "check")
    program.environ["PGQUEUE_DATABASE_URL"] = "postgresql://here/shop"
    good = program.run("config", "check")

    assert bad.code == 1
    assert "cannot be used: database_url: no database is named." in bad.err
    assert (good.code, good.out) == (0, "the settings can be used\n")


def test_a_value_that_does_not_fit_is_one_line(program: Program) -> None:
    program.environ["PGQUEUE_LEASE_SECONDS"] = "long"

    answer = program.run("config", "check")

    assert answer.code == 1
    [line] = answer.err.splitlines()
    assert "PGQUEUE_LEASE_SECONDS" in line
