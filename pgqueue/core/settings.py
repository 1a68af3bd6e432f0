"""`Settings`, which is what `app.conf` is: every setting of an App, from wherever it was given.

Which settings there are: `setting_catalogue`. How sources are read: `setting_sources`.
"""

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pgqueue.core.setting_catalogue import Effect, Setting
from pgqueue.core.setting_database import is_foreign_url, resolve_database
from pgqueue.core.setting_names import (
    SETTINGS,
    find_setting,
    known_setting,
    unknown_setting_message,
)
from pgqueue.core.setting_report import SettingReport, lines_of, without_secrets
from pgqueue.core.setting_sources import (
    Given,
    Layer,
    load_source,
    read_arguments,
    read_environment,
    read_mapping,
    read_object,
    source_name,
)
from pgqueue.exceptions import ImproperlyConfigured

_COMMAND_LINE = "command line"
_ASSIGNMENT = "conf assignment"
_DEFAULT = "default"

# Read from another setting when nobody gives them.
_FALLBACKS = {
    "task_default_exchange": "task_default_queue",
    "task_default_routing_key": "task_default_queue",
}


class Settings:
    """The settings of one App, read and written as attributes or as items.

    A value comes from the command line, else the environment, else code (an assignment here, else an
    App keyword, else `config_from_object`), else `add_defaults`, else the default. Every spelling of
    Celery's is an alias. Modules named by `config_from_object` are imported at the first read.
    Reading is cheap: values are kept until something is set.

    Anything unknown or unfit raises ImproperlyConfigured: when it is set here, or else at the first
    read. Safe to read from several threads.
    """

    def __init__(
        self,
        keywords: Mapping[str, object] | None = None,
        *,
        namespace: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Take the App's keywords; `environ` stands in for `os.environ`, which is read late."""
        self._namespace = namespace
        self._environ = os.environ if environ is None else environ
        self._command_line: dict[str, Given] = {}
        self._assigned: dict[str, Given] = {}
        self._keywords: Layer = read_mapping(keywords or {}, "App keyword")
        self._objects: list[_Source] = []
        self._defaults: list[_Source] = []
        self._own_defaults: dict[str, object] = {}
        self._environment: Layer | None = None
        self._resolved: dict[str, object] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the value of the setting that `name` spells; KeyError if there is no such setting."""
        resolved = self._resolved
        try:
            return resolved[name]
        except KeyError:
            setting = find_setting(name)
        if setting is None:
            raise KeyError(unknown_setting_message(name, "read from conf"))
        value = self._find(setting).value
        # Into the dict looked at first: if something was set meanwhile, that one is no longer read.
        resolved[name] = value
        return value

    def __getattr__(self, name: str) -> Any:
        """Return the value of the setting that `name` spells."""
        # Not only manners: copy and pickle ask for private names before __init__ has run.
        if name.startswith("_"):
            raise AttributeError(name=name, obj=self)
        # Asked first, not caught: a KeyError may also be the bug of a module that is read here.
        if name not in self._resolved and find_setting(name) is None:
            message = unknown_setting_message(name, "read from conf")
            raise AttributeError(message, name=name, obj=self)
        return self[name]

    def get(self, name: str, default: object = None) -> Any:
        """Return the value of the setting that `name` spells, or `default` if there is no such."""
        return self[name] if name in self else default  # noqa: SIM401 - this is get()

    def __contains__(self, name: object) -> bool:
        """Say whether `name` spells a setting."""
        return isinstance(name, str) and find_setting(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the name of every setting that has a value; `database_url` only if one is named."""
        foreign = {name for layer in self._layers() for name in layer if name not in SETTINGS}
        for name in (*SETTINGS, *sorted(foreign)):
            if name != "database_url" or self._has_database():
                yield name

    def __len__(self) -> int:
        """Return how many settings iteration yields."""
        return sum(1 for _ in self)

    def keys(self) -> list[str]:
        """Return the names of the settings, as iteration does."""
        return list(self)

    def values(self) -> list[object]:
        """Return the values of the settings, in the order of `keys`."""
        return [self[name] for name in self]

    def items(self) -> list[tuple[str, object]]:
        """Return (name, value) of every setting, in the order of `keys`."""
        return [(name, self[name]) for name in self]

    def __setitem__(self, name: str, value: object) -> None:
        """Set the setting that `name` spells; a later assignment replaces an earlier one."""
        self.update({name: value})

    def __setattr__(self, name: str, value: object) -> None:
        """Set the setting that `name` spells; a later assignment replaces an earlier one."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self[name] = value

    def update(self, mapping: Mapping[str, object] | None = None, /, **settings: object) -> None:
        """Set several settings, all of them or, if one is refused, none."""
        given = {**(mapping or {}), **settings}
        layer = read_mapping(given, _ASSIGNMENT)
        for spelling in given:
            # None says that a URL is not given; read_mapping leaves it out.
            if (name := known_setting(spelling, _ASSIGNMENT).name) not in layer:
                self._assigned.pop(name, None)
        self._assigned |= layer
        self._forget()

    def setdefault(self, name: str, value: object) -> Any:
        """Set a setting that nobody has set; return its value either way."""
        setting = known_setting(name, _ASSIGNMENT)
        if not any(setting.name in layer for layer in self._layers()):
            self[name] = value
        return self[name]

    def command_line(self, mapping: Mapping[str, object]) -> None:
        """Set what the command line said, above everything else; leave out what it did not say."""
        self._command_line |= read_mapping(mapping, _COMMAND_LINE)
        self._forget()

    def config_from_cmdline(self, arguments: Iterable[str]) -> None:
        """Set `name=value` words of a command line, such as `worker.concurrency=4`."""
        self._command_line |= read_arguments(arguments, _COMMAND_LINE)
        self._forget()

    def config_from_object(
        self,
        source: object,
        *,
        silent: bool = False,
        force: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Take settings from a module, class, other object or dict, or from the name of one.

        Names are `module`, `module:attribute` or `module.attribute`. A dict is read at once, all else
        at the first read of a setting, or now with `force`. `silent` passes over a module that cannot
        be imported. Of several sources the later wins.
        """
        namespace = namespace or self._namespace

        def read() -> Layer:
            try:
                found = load_source(source)
            except (ImportError, ImproperlyConfigured):
                if silent:
                    return {}
                raise
            origin = f"config_from_object({source_name(source)})"
            if isinstance(found, Mapping) and not namespace:
                return read_mapping(found, origin)
            return read_object(found, namespace, origin)

        self._add(self._objects, _Source(read), at_once=force or isinstance(source, Mapping))

    def config_from_envvar(
        self,
        variable: str,
        *,
        silent: bool = False,
        force: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Take settings from the object whose name stands in an environment variable."""
        name = self._environ.get(variable, "").strip()
        if name:
            self.config_from_object(name, silent=silent, force=force, namespace=namespace)
        elif not silent:
            message = f"the environment variable {variable} is not set: it has to name a module."
            raise ImproperlyConfigured(message)

    def add_defaults(
        self, defaults: Mapping[str, object] | Callable[[], Mapping[str, object]]
    ) -> None:
        """Set what counts when nothing else is given; a callable is called at the first read."""

        def read() -> Layer:
            return read_mapping(defaults() if callable(defaults) else defaults, "add_defaults")

        self._add(self._defaults, _Source(read), at_once=not callable(defaults))

    def report(self) -> list[SettingReport]:
        """Return a row for every setting, then for those of other products that were given.

        If `database_url` cannot be read, its row says why in `problem`.
        """
        foreign = [name for name in self if name not in SETTINGS]
        return [self._report_row(known_setting(name, "report")) for name in (*SETTINGS, *foreign)]

    def without_effect(self) -> list[SettingReport]:
        """Return the rows of what was given and changes nothing, such as `redis_*`."""
        return [
            row
            for row in self.report()
            if row.effect is not Effect.EFFECTIVE and row.origin != _DEFAULT
        ]

    def ignored_variables(self) -> list[str]:
        """Return the `PGQUEUE_*` environment variables that are no settings."""
        return read_environment(self._environ)[1]

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, object]:  # noqa: FBT001, FBT002 - Celery's
        """Return the settings that were given, or all, by name; `censored` masks secrets."""
        names = self if with_defaults else self.as_mapping()
        return {
            name: without_secrets(name, self[name]) if censored else self[name] for name in names
        }

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:  # noqa: FBT001, FBT002 - Celery's
        """Return `table` as text, one line for each setting."""
        return lines_of(self.table(with_defaults, censored))

    def as_mapping(self) -> dict[str, object]:
        """Return every value that differs from its default, by name.

        `Settings().command_line(mapping)` makes the same settings in another process, whatever its
        environment says.
        """
        given = {name for layer in self._layers() for name in layer}
        given |= {"database_url", *self._own_defaults}
        return {
            name: self[name]
            for name in self
            if name in given and self[name] != known_setting(name, "as_mapping").default
        }

    def __reduce__(self) -> tuple[Callable[[Mapping[str, object]], "Settings"], tuple[object, ...]]:
        """Pickle as the values that differ from the defaults."""
        return _settings_with, (self.as_mapping(),)

    def __dir__(self) -> list[str]:
        """Return methods and settings, for completion in a shell."""
        return [*super().__dir__(), *SETTINGS]

    def __repr__(self) -> str:
        """Return the number of settings given, without reading any module."""
        return f"<Settings: {len(self._assigned)} assigned, {len(self._keywords)} keywords>"

    def _find(self, setting: Setting) -> Given:
        """Return the value that counts, and where it came from."""
        name = setting.name
        if name == "database_url":
            return self._find_database()
        for layer in self._layers():
            if name in layer:
                return layer[name]
        if name in _FALLBACKS:
            return Given(self[_FALLBACKS[name]], _DEFAULT)
        if isinstance(setting.default, Mapping):
            # A dict of one's own: `conf.beat_schedule["x"] = …` is how many programs write it.
            own = self._own_defaults.setdefault(name, copy.deepcopy(dict(setting.default)))
            return Given(own, _DEFAULT)
        return Given(setting.default, _DEFAULT)

    def _find_database(self) -> Given:
        command_line, environment, *code, defaults = self._layers()
        merged: dict[str, Given] = {}
        for layer in reversed(code):
            merged |= layer
        return resolve_database((command_line, environment, merged, defaults), self._environ)

    def _has_database(self) -> bool:
        try:
            self._find_database()
        except ImproperlyConfigured:
            return False
        return True

    def _report_row(self, setting: Setting) -> SettingReport:
        problem, effect = "", setting.effect
        try:
            found = self._find(setting)
        except ImproperlyConfigured as error:
            found, problem = Given(None, _DEFAULT), str(error)
        if setting.name in {"broker_url", "result_backend"} and is_foreign_url(found):
            effect = Effect.FOREIGN
        return SettingReport(
            name=setting.name,
            value=without_secrets(setting.name, found.value),
            default=setting.default,
            origin=found.origin,
            meaning=setting.meaning,
            effect=effect,
            problem=problem,
        )

    def _layers(self) -> list[Layer]:
        """Return what was given, highest rank first; the last one is always `add_defaults`."""
        if self._environment is None:
            self._environment = read_environment(self._environ)[0]
        environment = self._environment
        defaults: dict[str, Given] = {}
        for source in self._defaults:
            defaults |= self._read(source)
        objects = [self._read(source) for source in reversed(self._objects)]
        return [self._command_line, environment, self._assigned, self._keywords, *objects, defaults]

    def _read(self, source: "_Source") -> Layer:
        if source.layer is not None:
            return source.layer
        layer = source.read()
        # What was resolved while the module was being imported knew nothing of it.
        self._resolved = {}
        return layer

    def _add(self, sources: list["_Source"], source: "_Source", *, at_once: bool) -> None:
        if at_once:
            source.read()
        sources.append(source)
        self._forget()

    def _forget(self) -> None:
        self._environment = None
        self._resolved = {}


class _Source:
    """Something that settings are read from once, later."""

    def __init__(self, read_layer: Callable[[], Layer]) -> None:
        self.layer: Layer | None = None
        self._read_layer = read_layer
        self._readers: set[int] = set()

    def read(self) -> Layer:
        """Read and keep the layer; empty for whoever asks in the middle of reading it.

        There is no lock: a thread that imports the module and one that reads the settings would wait
        for each other. Two threads may both read; they find the same.
        """
        me = threading.get_ident()
        if me in self._readers:
            return {}
        self._readers.add(me)
        try:
            self.layer = self._read_layer()
        finally:
            self._readers.discard(me)
        return self.layer


def _settings_with(mapping: Mapping[str, object]) -> Settings:
    settings = Settings()
    settings.command_line(mapping)
    return settings
