"""Where settings are written down: dicts, objects, modules, the environment; each read into a layer.

A layer holds checked values by setting name. Which layer wins is not decided here (`settings`).
"""

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType

from pgqueue.core.database_url import normal_database_url
from pgqueue.core.setting_catalogue import Setting
from pgqueue.core.setting_names import (
    CELERY_PREFIXES,
    OWN_PREFIX,
    find_setting,
    is_spelled_in_full,
    known_setting,
    unknown_setting_message,
)
from pgqueue.core.setting_report import shown
from pgqueue.exceptions import ImproperlyConfigured

# The settings that may name the database. None in them means: not given.
DATABASE_SETTINGS = ("database_url", "broker_url", "result_backend")

# Variables of pgqueue's that are no settings.
_OTHER_VARIABLES = ("PGQUEUE_PG_BIN", "PGQUEUE_TEST_")


@dataclass(frozen=True, slots=True)
class Given:
    """A checked value, and where it was found in the words of `pgqueue config`."""

    value: object
    origin: str


Layer = Mapping[str, Given]
# A value as it was found: (spelling, setting, value).
Finding = tuple[str, Setting, object]


def read_mapping(mapping: Mapping[str, object], origin: str) -> Layer:
    """Return the layer of a mapping in which every key has to be a setting."""
    return layer_of(
        [(name, known_setting(name, origin), value) for name, value in mapping.items()], origin
    )


def read_object(source: object, namespace: str | None, origin: str) -> Layer:
    """Return the layer of a module, class or other object, or of a dict with a namespace.

    With a namespace the names under it are judged, and Celery's old names are found without it.
    Without one only names with a prefix of Celery's are judged. Everything else is left alone.
    """
    names = source.keys() if isinstance(source, Mapping) else dir(source)
    prefix = f"{namespace.rstrip('_')}_" if namespace else ""
    findings: list[Finding] = []
    for name in names:
        setting = _setting_in_object(name, prefix, origin)
        if setting is None:
            continue
        value = source[name] if isinstance(source, Mapping) else getattr(source, name)
        if not _is_import(name, setting, value):
            findings.append((name, setting, value))
    layer = dict(layer_of(findings, origin))
    if "timezone" not in layer and "TIME_ZONE" in names:
        # Django's own setting counts, as it does in Celery.
        zone = source["TIME_ZONE"] if isinstance(source, Mapping) else getattr(source, "TIME_ZONE")  # noqa: B009
        if zone is not None:
            layer |= layer_of([("TIME_ZONE", known_setting("timezone", origin), zone)], origin)
    return layer


def read_environment(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """Return the layer of the `PGQUEUE_*` variables, and the names of those that are no settings.

    An empty variable is not set.
    """
    findings: list[Finding] = []
    unknown: list[str] = []
    for name, text in sorted(environ.items()):
        if not name.startswith(OWN_PREFIX) or not text.strip():
            continue
        setting = find_setting(name)
        if setting is not None:
            findings.append((name, setting, parsed_text(setting, text, f"environment {name}")))
        elif not name.startswith(_OTHER_VARIABLES):
            unknown.append(name)
    return layer_of(findings, "environment"), unknown


def read_arguments(arguments: Iterable[str], origin: str) -> Layer:
    """Return the layer of `name=value` words, with a dot allowed after the group (`task.queues=…`)."""
    findings: list[Finding] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        name = name.strip().replace(".", "_")
        setting = known_setting(name, origin)
        if not equals:
            message = f"{origin}: expected {setting.name}=value, got {argument!r}"
            raise ImproperlyConfigured(message)
        findings.append((name, setting, parsed_text(setting, text.strip(), origin)))
    return layer_of(findings, origin)


def layer_of(findings: Iterable[Finding], origin: str) -> Layer:
    """Check `findings` and return them by setting; two values for one setting are an error."""
    layer: dict[str, Given] = {}
    spellings: dict[str, str] = {}
    for spelling, setting, value in findings:
        name = setting.name
        if value is None and name in DATABASE_SETTINGS:
            continue
        place = origin if spelling == name else f"{origin} {spelling}"
        given = Given(checked_value(setting, value, place), place)
        if name in layer and not _is_same(name, layer[name].value, given.value):
            message = (
                f"{spellings[name]} and {spelling} are one setting ({name}) and have two values "
                f"({origin}): {shown(name, layer[name].value)} and {shown(name, given.value)}. Remove one."
            )
            raise ImproperlyConfigured(message)
        if name not in layer:
            layer[name], spellings[name] = given, spelling
    return layer


def checked_value(setting: Setting, value: object, origin: str) -> object:
    """Return `value` as it is kept; ImproperlyConfigured if it does not fit the setting."""
    try:
        return setting.kind.accept(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _unfit(setting, value, origin) from error


def parsed_text(setting: Setting, text: str, origin: str) -> object:
    """Return the value that `text` spells, for `checked_value`."""
    try:
        return setting.kind.parse(text)
    except ValueError as error:
        raise _unfit(setting, text, origin) from error


def load_source(source: object) -> object:
    """Return the object that settings are read from: `source` itself, or what its text names.

    Text is `module`, `module:attribute` or `module.attribute`. Imports the module; an ImportError
    from inside it is let through.
    """
    if not isinstance(source, str):
        return source
    module_name, colon, path = source.partition(":")
    try:
        if colon:
            return _attribute(importlib.import_module(module_name), path)
        return _import_dotted(source)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the configuration itself imports is missing
        message = (
            f"config_from_object({source!r}): there is no module {error.name!r}. Name it without "
            "'.py', and run where it can be imported."
        )
        raise ImproperlyConfigured(message) from error
    except AttributeError as error:
        # Only for the attribute itself: one raised inside the module is that module's bug.
        if error.name not in path.split(".") and error.name != source.rpartition(".")[2]:
            raise
        message = f"config_from_object({source!r}): {error}. Write it as 'module:attribute'."
        raise ImproperlyConfigured(message) from error


def source_name(source: object) -> str:
    """Return how `pgqueue config` calls `source`."""
    if isinstance(source, str):
        return source
    if isinstance(source, Mapping):
        return "a dict"
    if isinstance(source, ModuleType):
        return source.__name__
    kind = source if isinstance(source, type) else type(source)
    return f"{kind.__module__}.{kind.__qualname__}"


def _setting_in_object(name: str, prefix: str, origin: str) -> Setting | None:
    """Return the setting that `name` in a module or object is meant as; None to leave it alone."""
    if prefix and name.startswith(prefix):
        setting = find_setting(name.removeprefix(prefix))
        if setting is None and name.startswith(CELERY_PREFIXES):
            setting = find_setting(name)
        if setting is None:
            message = unknown_setting_message(name, origin)
            raise ImproperlyConfigured(message)
        return setting
    if not prefix and name.startswith(CELERY_PREFIXES):
        return known_setting(name, origin)
    return find_setting(name) if is_spelled_in_full(name) else None


def _is_import(name: str, setting: Setting, value: object) -> bool:
    # A settings module may say `from datetime import timezone` or `from django.urls import include`.
    is_code = isinstance(value, ModuleType | type) or inspect.isroutine(value)
    return name.islower() and is_code and not setting.kind.is_opaque


def _is_same(name: str, one: object, other: object) -> bool:
    if name in DATABASE_SETTINGS and isinstance(one, str) and isinstance(other, str):
        normal = normal_database_url(one)
        return one == other or (normal is not None and normal == normal_database_url(other))
    return bool(one == other)


def _unfit(setting: Setting, value: object, origin: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{setting.name} is {shown(setting.name, value)} ({origin}): expected {setting.kind.expected}."
    )


def _attribute(holder: object, path: str) -> object:
    for name in path.split("."):
        holder = getattr(holder, name)
    return holder


def _import_dotted(dotted: str) -> object:
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        parent, dot, name = dotted.rpartition(".")
        if not dot or error.name != dotted:
            raise
        return _attribute(importlib.import_module(parent), name)
