"""Exceptions as data, and back: what a failed attempt stores, and what `get()` raises from it.

Nothing is ever pickled, and nothing imported: whoever can write `except X` has X loaded.
"""

from __future__ import annotations

import re
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from pgqueue.core.codec import decode, encode
from pgqueue.exceptions import PgQueueError, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 65_536  # of each text, and of the data
_MAX_NAME_BYTES = 1_000
_MAX_GROUP_DEPTH = 10
_MAX_GROUP_MEMBERS = 100

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as PostgreSQL can store it: no NUL, no surrogates, 64 kB at most for each text.

    `error` is one line, "ValueError: no"; `error_type` its class, "ValueError" or
    "shop.errors.NoStock"; `data` is JSON, from which `restore` makes the exception again,
    or None if it is not to be made again.
    """

    error: str
    error_type: str
    traceback: str
    data: str | None


class RestoredError(TaskError):
    """Stands for an exception whose class is not loaded here or refuses its arguments.

    Each has a class of its own, named like the original; `except TaskError` catches it.
    """

    def __init__(self, class_name: str, args: tuple[object, ...], text: str) -> None:
        super().__init__(*args)
        self.class_name = class_name  # module-qualified
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return (_stand_in, (self.class_name, self.args, self.text))


def describe(exc: BaseException) -> Failure:
    """Return `exc` as data. Never raises, whatever the exception's own methods do."""
    module, name = _class_name(exc)
    short_name = name.rpartition(".")[2]
    message = _text_of(lambda: exc)
    error = f"{short_name}: {message}" if message else short_name
    return Failure(
        error=_cut(" ".join(error.splitlines())),
        error_type=name if module == "builtins" else f"{module}.{name}",
        traceback=_cut(_traceback_of(exc)),
        data=_data_of(exc, depth=0),
    )


def restore(error_type: str, data: str | None, error_text: str) -> BaseException:
    """Return the exception that `describe` stored, as its own class where that is loaded.

    Otherwise a `RestoredError` with its name and arguments. Never raises, whatever is stored.
    """
    try:
        stored = decode(data) if data else None
    except PgQueueError:
        stored = None
    if not _is_description(stored):
        module, _, name = error_type.rpartition(".")
        stored = {"module": module or "builtins", "qualname": name, "args": [_message(error_text)]}
    return _restored(cast("dict[str, Any]", stored), _message(error_text))


# Describing


def _text_of(make: Callable[[], object]) -> str:
    """Return the text of what `make` makes, as PostgreSQL can store it; what it raises, as text."""
    try:
        text = str.__str__(str(make()))  # a plain str, even if __str__ returned a subclass
    except BaseException as exc:  # noqa: BLE001 - a foreign __str__ may raise anything
        text = f"<not readable: {type.__repr__(type(exc))}>"
    return _UNSTORABLE.sub("\ufffd", text)


def _class_name(exc: BaseException) -> tuple[str, str]:
    kind = type(exc)
    module, name = _text_of(lambda: kind.__module__), _text_of(lambda: kind.__qualname__)
    return _cut(module, _MAX_NAME_BYTES), _cut(name, _MAX_NAME_BYTES)


def _traceback_of(exc: BaseException) -> str:
    try:
        lines = traceback.format_exception(exc)
    except BaseException:  # noqa: BLE001 - an exception of the chain cannot be shown: the place can
        lines = [*traceback.format_tb(exc.__traceback__), f"{type.__repr__(type(exc))}\n"]
    return _text_of(lambda: "".join(lines))


def _cut(text: str, max_bytes: int = MAX_BYTES) -> str:
    """Return `text`, or if it is too long its head and its tail."""
    if len(text) * 4 <= max_bytes:
        return text
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    kept = (max_bytes - 100) // 2
    gap = f" … {len(encoded) - 2 * kept} bytes are left out … "
    return f"{encoded[:kept].decode(errors='ignore')}{gap}{encoded[-kept:].decode(errors='ignore')}"


def _data_of(exc: BaseException, depth: int) -> str:
    """Return JSON of {"module", "qualname", "args"}, and of a group's members as "exceptions"."""
    module, name = _class_name(exc)
    members = _members_of(exc) if depth < _MAX_GROUP_DEPTH else ()
    try:
        arguments = tuple(exc.args)[:1] if members else tuple(exc.args)
    except BaseException:  # noqa: BLE001 - `args` may be a property of the class
        arguments = ()
    parts: list[str] = []
    room = MAX_BYTES // 2
    for argument in arguments:
        part = _argument(argument, room)
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    described = f'"module":{_json(module)},"qualname":{_json(name)},"args":[{",".join(parts)}]'
    if members:
        inner = [_data_of(member, depth + 1) for member in members[:_MAX_GROUP_MEMBERS]]
        if len(described) + sum(map(len, inner)) <= MAX_BYTES - 100:
            described += f',"exceptions":[{",".join(inner)}]'
    return f"{{{described}}}"


def _members_of(exc: BaseException) -> tuple[BaseException, ...]:
    # Asked of the built-in class: a subclass may show something else under that name.
    if not issubclass(type(exc), BaseExceptionGroup):
        return ()
    return cast("tuple[BaseException, ...]", vars(BaseExceptionGroup)["exceptions"].__get__(exc))


def _argument(argument: object, room: int) -> str:
    """Return an argument as JSON of about `room` characters at most, else its repr as text."""
    if isinstance(argument, str):
        text = _text_of(lambda: argument)
    else:
        try:
            part = encode(argument, what="args")
        except BaseException:  # noqa: BLE001 - it may be an object whose every method raises
            part = None
        if part is not None and len(part) <= room:
            return part
        text = _text_of(lambda: repr(argument))
    return _json(_cut(text, max(room // 6, 200)) if len(text) * 6 > room else text)


def _json(text: str) -> str:
    return encode(_cut(text), what="text")


# Restoring


def _is_description(stored: object) -> bool:
    return (
        isinstance(stored, dict)
        and isinstance(stored.get("module"), str)
        and isinstance(stored.get("qualname"), str)
        and isinstance(stored.get("args"), list)
    )


def _message(error_text: str) -> str:
    """Return "no" of "ValueError: no"."""
    name, colon, message = error_text.partition(": ")
    return message if colon and " " not in name else error_text


def _restored(stored: dict[str, Any], text: str) -> BaseException:
    arguments = tuple(stored["args"])
    kind = _loaded_class(stored["module"], stored["qualname"])
    if kind is not None:
        members = stored.get("exceptions")
        if isinstance(members, list) and members and all(map(_is_description, members)):
            inner = [_restored(member, _text_of_args(member["args"])) for member in members]
            arguments = (*arguments[:1], inner)
        exc = _made(kind, arguments)
        if exc is not None:
            return exc
    name = f"{stored['module']}.{stored['qualname']}".removeprefix("builtins.")
    return _stand_in(name, tuple(stored["args"]), text)


def _text_of_args(arguments: list[object]) -> str:
    return str(arguments[0]) if len(arguments) == 1 else ", ".join(map(repr, arguments))


def _loaded_class(module_name: str, qualname: str) -> type[BaseException] | None:
    """Return a loaded exception class; run no code of its module on the way.

    Through __dict__ only: getattr could call a module's __getattr__, or load a lazy module.
    """
    place: object = sys.modules.get(module_name)
    if not issubclass(type(place), ModuleType):
        return None
    for name in qualname.split("."):
        try:
            names = object.__getattribute__(place, "__dict__")
        except AttributeError:
            return None
        place = names.get(name)
    # Not isinstance: a proxy object can claim to be a class.
    if issubclass(type(place), type) and issubclass(cast("type", place), BaseException):
        return cast("type[BaseException]", place)
    return None


def _made(kind: type[BaseException], arguments: tuple[object, ...]) -> BaseException | None:
    """Return an instance, if need be without its __init__; None if it cannot even be shown."""
    makers: tuple[Callable[[], object], ...] = (
        lambda: kind(*arguments),
        lambda: _without_init(kind, arguments),
    )
    for make in makers:
        try:
            exc = make()
            str(exc)
        except BaseException:  # noqa: BLE001, S112 - a foreign __init__ may raise anything
            continue
        if isinstance(exc, BaseException):
            return exc
    return None


def _without_init(kind: type[BaseException], arguments: tuple[object, ...]) -> BaseException:
    exc = kind.__new__(kind, *arguments)
    exc.args = arguments
    return exc


def _stand_in(class_name: str, arguments: tuple[object, ...], text: str) -> RestoredError:
    module, _, name = _UNSTORABLE.sub("\ufffd", class_name).rpartition(".")
    names = {"__module__": module or "builtins", "__qualname__": name}
    kind = cast("type[RestoredError]", type(name, (RestoredError,), names))
    return kind(class_name, arguments, text)
