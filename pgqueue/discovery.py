"""Find the modules of a project that define tasks."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, NamedTuple

from pgqueue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Packages = str | Iterable[str] | Callable[[], Iterable[str]] | None


class Discovery(NamedTuple):
    """Packages whose module of this name is to be imported; None: the packages themselves."""

    packages: Callable[[], Iterable[str]]
    related_name: str | None

    def import_modules(self) -> None:
        """Import them; a package without such a module is passed over.

        Raises:
            ImportError: a package is missing, or its module fails to import.
        """
        for package in self.packages():
            _import_related(package, self.related_name)


def discovery(packages: Packages, related_name: str | None) -> Discovery:
    """What to discover, as `App.autodiscover_tasks` takes it.

    Raises:
        ImproperlyConfigured: no packages are named, and Django is to name them.
    """
    if packages is None:
        if os.environ.get("DJANGO_SETTINGS_MODULE"):
            raise ImproperlyConfigured(
                "autodiscover_tasks() does not ask Django for its apps in this release yet: "
                "write autodiscover_tasks(lambda: settings.INSTALLED_APPS)"
            )
        packages = ()
    if callable(packages):
        return Discovery(packages, related_name)
    named = (packages,) if isinstance(packages, str) else tuple(packages)
    return Discovery(lambda: named, related_name)


def _import_related(package: str, related_name: str | None) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        # Django names apps by their configuration too: "shop.apps.ShopConfig".
        package, _, _ = package.rpartition(".")
        if not package:
            raise
        importlib.import_module(package)
    if related_name is None:
        return
    module = f"{package}.{related_name}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name != module:  # the module is there, and something that it imports is not
            raise
