"""`autodiscover_tasks`: the tasks modules of a project's packages, imported when they are needed."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgqueue import App
from pgqueue.exceptions import ImproperlyConfigured

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules of a project: `write("shop/tasks.py", "…")`; packages come by themselves."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(path: str, text: str = "") -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("found_"):
            del sys.modules[name]


@pytest.fixture
def app() -> App:
    """An App that needs no database."""
    return App("discovery", set_as_current=False)


@pytest.mark.parametrize(
    "packages",
    [
        ["found_shop", "found_bare"],
        lambda: ("found_shop", "found_bare"),
        iter(["found_shop"]),
        "found_shop",
    ],
)
def test_the_tasks_of_packages_are_imported_with_the_apps_own(
    app: App, write: Write, packages: Any
) -> None:
    write("found_shop/tasks.py")
    write("found_bare/models.py")

    app.autodiscover_tasks(packages)
    assert "found_shop.tasks" not in sys.modules
    app.import_tasks()
    app.import_tasks()

    assert "found_shop.tasks" in sys.modules


def test_force_imports_at_once(app: App, write: Write) -> None:
    write("found_now/jobs.py")

    app.autodiscover_tasks(["found_now"], "jobs", force=True)

    assert "found_now.jobs" in sys.modules


def test_without_a_related_name_the_package_itself_is_imported(app: App, write: Write) -> None:
    write("found_whole/tasks.py")

    app.autodiscover_tasks(["found_whole"], related_name=None, force=True)

    assert "found_whole" in sys.modules
    assert "found_whole.tasks" not in sys.modules


def test_django_names_an_app_by_its_configuration_too(app: App, write: Write) -> None:
    write("found_django/apps.py", "class ShopConfig: ...")
    write("found_django/tasks.py")

    app.autodiscover_tasks(["found_django.apps.ShopConfig", "found_django"], force=True)

    assert "found_django.tasks" in sys.modules


def test_a_package_that_is_missing_is_an_error(app: App) -> None:
    app.autodiscover_tasks(["found_nowhere"])

    with pytest.raises(ModuleNotFoundError, match="found_nowhere"):
        app.import_tasks()


def test_a_tasks_module_that_fails_is_an_error(app: App, write: Write) -> None:
    write("found_broken/tasks.py", "import found_missing_library")
    write("found_failing/tasks.py", "raise ImportError('no')")

    with pytest.raises(ModuleNotFoundError, match="found_missing_library"):
        app.autodiscover_tasks(["found_broken"], force=True)
    with pytest.raises(ImportError, match="no"):
        app.autodiscover_tasks(["found_failing"], force=True)


def test_without_packages_django_would_have_to_name_them(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    app.autodiscover_tasks(force=True)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")

    with pytest.raises(ImproperlyConfigured, match="INSTALLED_APPS"):
        app.autodiscover_tasks()
