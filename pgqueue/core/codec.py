"""Values as strict JSON, for jsonb columns: what is written is read back equal, or refused.

Beyond JSON's own types there are tags in kombu's form, `{"__type__": …, "__value__": …}`, for
datetime, date, time, timedelta, UUID, Decimal, bytes, set and frozenset. Dataclass and pydantic
instances are written as objects; `rebuild` makes instances of them again.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import math
import re
import sys
from collections import abc
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from types import SimpleNamespace, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    NoReturn,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from uuid import UUID

from pgqueue.exceptions import (
    DecodeError,
    EncodeError,
    PayloadTooLarge,
    SoftTimeLimitExceeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

MAX_DEPTH = 100
MAX_DIGITS = 4300  # Python's own limit for reading an int

# A value goes through the C encoder first. Only if its text shows one of the signs below, or the
# encoder gave up, does `_Writer` write it again: that one is slow, knows the path to a bad value,
# and writes what the C encoder cannot. Signs may be false alarms; none may be missing.
_encode_in_c = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_NUL_OR_SURROGATE = re.compile(r"\\u(?:0000|d[89a-f])")
_KEY_THAT_WAS_NO_STR = re.compile(r'"(?:-?\d[\d.e+-]*|true|false|null)":')
_LONG_NUMBER = re.compile(rf"\d{{{MAX_DIGITS + 1}}}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

_LITERALS: dict[object, str] = {None: "null", True: "true", False: "false"}

# What reading a tag may raise. Not Exception: a soft time limit can come at any moment.
_MALFORMED = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)

_TAG = frozenset({"__type__", "__value__"})
# Bytes as kombu before 5.3 wrote them: read, never written.
_OLD_BYTES = frozenset({"bytes", "__bytes__"})
_OLD_BASE64 = frozenset({"bytes", "__base64__"})


def encode(value: object, *, what: str) -> str:
    """Return `value` as ASCII JSON that a jsonb column keeps unchanged.

    `what` names the value in errors: with `what="args"` a bad part is at `args[0]['a'][3]`.

    Raises:
        EncodeError: a part of it cannot be written so that it comes back; `path` says which.
    """
    try:
        text = _encode_in_c(value)
    except (TypeError, ValueError, RecursionError):
        text = None  # the writer finds out where, and its error is not a consequence of this one
    if (
        text is None
        or '"__' in text
        or "e+" in text
        or ("\\u" in text and _NUL_OR_SURROGATE.search(text))
        or (":" in text and _KEY_THAT_WAS_NO_STR.search(text))
        or (len(text) > MAX_DIGITS and _LONG_NUMBER.search(text))
        or (text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value))
    ):
        return _Writer().write(value, what, 1)
    return text


def decode(text: str) -> object:
    """Return the value that `encode` wrote, or that any other program wrote as JSON.

    Raises:
        DecodeError: it is not JSON, or has a tag that `encode` never writes.
    """
    try:
        return _decode_tagged(text) if '"__' in text else _decode_plain(text)
    except DecodeError:
        raise
    except RecursionError:
        raise DecodeError("the stored JSON is nested too deeply to be read") from None
    except ValueError as exc:
        raise DecodeError(f"the stored value is not JSON that can be read: {exc}") from exc


def check_size(text: str, *, limit_bytes: int, what: str) -> None:
    """Raise PayloadTooLarge if `text`, the JSON of `what`, takes more than `limit_bytes`."""
    size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > limit_bytes:
        raise PayloadTooLarge(
            f"{what}: {size_bytes:,} bytes as JSON, and max_payload_bytes is {limit_bytes:,}. "
            "Store the data elsewhere and send its key, or raise the setting."
        )


# Writing


_LEAVES = frozenset({str, int, float, bool, type(None)})


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            part
            for whole in level
            if isinstance(whole, (list, tuple, dict))
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if type(part) not in _LEAVES  # far faster than asking whether it is a container
        ]
        if not level:
            return False
    return True


class _Writer:
    """Writes one value, part by part, with the path of each part at hand."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: set[int] = set()  # the containers around the part being written

    def write(self, value: object, path: str, depth: int) -> str:
        if value is None or isinstance(value, bool):
            return _LITERALS[value]
        if isinstance(value, str):
            return _string(value, path)
        if isinstance(value, int):
            return _integer(value, path)
        if isinstance(value, float):
            return _float(value, path)
        if isinstance(value, _TAGGED_TYPES):
            return _tagged(value, path)
        return self._write_container(value, path, depth)

    def _write_container(self, value: object, path: str, depth: int) -> str:
        if id(value) in self._open:
            _refuse(path, "contains itself; JSON has no references")
        if depth > MAX_DEPTH:
            _refuse(path, f"is nested more than {MAX_DEPTH} levels deep; send flatter data")
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._object(value, path, depth)
            if isinstance(value, (list, tuple)):
                parts = [self.write(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
                return f"[{','.join(parts)}]"
            if isinstance(value, (set, frozenset)):
                return self._set(value, path, depth)
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                return self._fields(value, path, depth)
            return self.write(_reduced(value, path), path, depth + 1)
        finally:
            self._open.discard(id(value))

    def _object(self, value: dict[Any, Any], path: str, depth: int) -> str:
        _check_not_reserved(value.keys(), path)
        parts: dict[str, str] = {}
        for key, part in value.items():
            name = _key(key, path)
            if name in parts:
                _refuse(path, f"has two keys that are both written as {name}; keep one")
            parts[name] = self.write(part, f"{path}[{_shown(key)}]", depth + 1)
        return f"{{{','.join(f'{name}:{part}' for name, part in parts.items())}}}"

    def _fields(self, value: Any, path: str, depth: int) -> str:
        names = [field.name for field in dataclasses.fields(value)]
        _check_not_reserved(set(names), path)
        parts = []
        for name in names:
            where = f"{path}.{name}"
            if not hasattr(value, name):
                _refuse(where, "has no value")
            parts.append(
                f"{_string(name, where)}:{self.write(getattr(value, name), where, depth + 1)}"
            )
        return f"{{{','.join(parts)}}}"

    def _set(self, value: set[object] | frozenset[object], path: str, depth: int) -> str:
        parts = []
        for element in value:
            where = f"{path}{{{_shown(element)}}}"
            part = self.write(element, where, depth + 1)
            try:
                hash(_hashable(decode(part)))
            except TypeError:
                _refuse(where, f"is {_kind(element)}, which is read back as no element of a set")
            parts.append(part)
        # Sorted: equal sets give equal text in every process, whatever its hash seed.
        tag = "set" if isinstance(value, set) else "frozenset"
        return f'{{"__type__":"{tag}","__value__":[{",".join(sorted(parts))}]}}'


def _refuse(path: str, problem: str) -> NoReturn:
    raise EncodeError(f"{path} {problem}", path)


def _string(value: str, path: str) -> str:
    if found := _UNSTORABLE.search(value):
        character = f"U+{ord(found[0]):04X} at index {found.start()}"
        if found[0] == "\x00":
            _refuse(path, f"has a NUL character ({character}), which PostgreSQL cannot store")
        _refuse(path, f"has a lone surrogate ({character}), which is not text; send bytes")
    return encode_basestring_ascii(value)


def _integer(value: int, path: str) -> str:
    if abs(value) >= _TOO_LONG:
        _refuse(path, f"is an int of more than {MAX_DIGITS} digits; send it as text or bytes")
    return int.__repr__(value)


_TOO_LONG = 10**MAX_DIGITS


def _float(value: float, path: str) -> str:
    if not math.isfinite(value):
        _refuse(path, f"is {float.__repr__(value)}, which JSON does not have; send None or text")
    text = float.__repr__(value)
    if "e+" in text:
        # jsonb would keep 1e+22 as digits without a point, which are read back as an int.
        return f"{Decimal(text):f}.0"
    return text


def _tagged(value: object, path: str) -> str:
    try:
        tag, plain = next(tag(value) for kind, tag in _TO_TAG if isinstance(value, kind))
        _FROM_TAG[tag](plain)
    except _MALFORMED as exc:  # a subclass with ways of its own, such as pandas.NaT
        _refuse(path, f"is {_kind(value)} that could not be read back ({_shown(exc)})")
    return f'{{"__type__":"{tag}","__value__":{_encode_in_c(plain)}}}'


def _key(key: object, path: str) -> str:
    """Return a dict's key as JSON text: json's own rules, and nothing that they drop silently."""
    where = f"{path}[{_shown(key)}]"
    if isinstance(key, str):
        return _string(key, where)
    if key is None or isinstance(key, bool):
        return f'"{_LITERALS[key]}"'
    if isinstance(key, int):
        return f'"{_integer(key, where)}"'
    if isinstance(key, float):
        _float(key, where)
        return f'"{float.__repr__(key)}"'
    _refuse(where, f"has {_kind(key)} as its key; JSON's keys are text: use str")


def _check_not_reserved(keys: AbstractSet[object], path: str) -> None:
    for shape in (_TAG, _OLD_BYTES, _OLD_BASE64):
        if keys == shape:
            reserved = next(key for key in sorted(shape) if key.startswith("__"))
            _refuse(
                path,
                f"has exactly the keys {', '.join(map(repr, sorted(shape)))}; {reserved!r} is "
                "reserved for tags, and it would be read back as another value: rename the key",
            )


def _reduced(value: object, path: str) -> object:
    """Return what an object that knows its own JSON form says it is; refuse any other."""
    for name, options in (("model_dump", {"mode": "json"}), ("__json__", {})):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            try:
                return cast("object", method(**options))
            except SoftTimeLimitExceeded:
                raise
            except Exception as exc:
                raise EncodeError(f"{path}: {name}() failed: {_shown(exc)}", path) from exc
    if _is_lazy_text(value):
        return str(value)
    _refuse(
        path,
        f"is {_kind(value)}, which JSON cannot carry. Send plain values in its place, such as a "
        "key by which the task finds it; a dataclass or a pydantic model would do, too",
    )


def _is_lazy_text(value: object) -> bool:
    # As kombu: Django's gettext_lazy. Only code that imported Django can have made one.
    functional = sys.modules.get("django.utils.functional")
    return functional is not None and isinstance(value, functional.Promise)


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    name = f"{module}{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        text = f"<{type(value).__qualname__}>"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _tag_of_bytes(value: bytes) -> tuple[str, object]:
    # kombu's two forms; text stays readable in SQL, unless jsonb could not hold it.
    if b"\x00" not in value:
        try:
            return "bytes", value.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return "base64", base64.b64encode(value).decode("ascii")


def _tag_of_timedelta(t: timedelta) -> tuple[str, object]:
    # Not total_seconds(): that float loses microseconds of long times.
    return "timedelta", {"days": t.days, "seconds": t.seconds, "microseconds": t.microseconds}


# A datetime is a date, too: the order counts.
_TO_TAG: tuple[tuple[type, Callable[[Any], tuple[str, object]]], ...] = (
    (datetime, lambda value: ("datetime", value.isoformat())),
    (date, lambda value: ("date", value.isoformat())),
    (time, lambda value: ("time", value.isoformat())),
    (timedelta, _tag_of_timedelta),
    (UUID, lambda value: ("uuid", {"hex": value.hex, "version": value.version})),
    (Decimal, lambda value: ("decimal", str(value))),
    (bytes, _tag_of_bytes),
)
_TAGGED_TYPES = tuple(kind for kind, _ in _TO_TAG)


# Reading


def _read_object(value: dict[str, Any]) -> object:
    keys = value.keys()
    if keys == _TAG:
        return _read_tag(value["__type__"], value["__value__"])
    if keys == _OLD_BYTES:
        return _read_tag("bytes", value["bytes"])
    if keys == _OLD_BASE64:
        return _read_tag("base64", value["bytes"])
    return value


def _read_tag(tag: object, plain: object) -> object:
    reader = _FROM_TAG.get(tag) if isinstance(tag, str) else None
    if reader is None:
        known = ", ".join(_FROM_TAG)
        raise DecodeError(f"the stored JSON has the unknown tag {_shown(tag)}; known are {known}")
    try:
        return reader(plain)
    except _MALFORMED as exc:
        raise DecodeError(f"the stored JSON has a malformed {tag}: {_shown(plain)}") from exc


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_decode_plain = json.JSONDecoder(parse_constant=_refuse_constant).decode
_decode_tagged = json.JSONDecoder(parse_constant=_refuse_constant, object_hook=_read_object).decode


def _hashable(value: object) -> object:
    """Return an element of a set as it was before JSON: a list can only have been a tuple."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


# str.__str__ and list.__iter__ take nothing but a str and a list, and raise TypeError.
_FROM_TAG: dict[str, Callable[[Any], object]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda plain: datetime.fromisoformat(plain).date(),
    "time": time.fromisoformat,
    "timedelta": lambda plain: timedelta(**plain),
    # Without the version: uuid.UUID would write it over the bits, and may not know it.
    "uuid": lambda plain: UUID(hex=plain["hex"]),
    "decimal": lambda plain: Decimal(str.__str__(plain)),
    "bytes": lambda plain: plain.encode("utf-8"),
    "base64": lambda plain: base64.b64decode(plain, validate=True),
    "set": lambda plain: set(map(_hashable, list.__iter__(plain))),
    "frozenset": lambda plain: frozenset(map(_hashable, list.__iter__(plain))),
}


# Dataclass and pydantic arguments


def argument_annotations(function: Callable[..., object]) -> Mapping[str, Any] | None:
    """Return the annotations of those parameters that `rebuild` has work with, by their names.

    None if there are none, as for most functions. `*args` and `**kwargs` stand under their names
    with the annotation of one element.
    """
    found = {
        name: annotation
        for name, annotation in _annotations_of(function).items()
        if name != "return" and _needs_rebuilding(annotation)
    }
    return found or None


def rebuild(value: object, annotation: Any) -> object:
    """Return a decoded `value` as an instance of the dataclass or pydantic model annotated.

    Goes into Optional, list, tuple, dict and the fields of dataclasses; returns everything else
    unchanged, also what is an instance already.

    Raises:
        DecodeError: its keys are not the dataclass's fields. A pydantic model raises its own error.
    """
    if value is None:  # also where a parameter's default is, and its annotation does not say so
        return None
    if isinstance(annotation, type) and hasattr(annotation, "model_validate"):
        return cast("object", annotation.model_validate(value))
    origin = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    if dataclasses.is_dataclass(origin) and isinstance(value, dict):
        return _rebuild_dataclass(value, cast("type", origin))
    if origin in _UNIONS:
        members = [member for member in arguments if _needs_rebuilding(member)]
        return rebuild(value, members[0]) if len(members) == 1 else value
    if origin is tuple and isinstance(value, list):
        kinds = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return tuple(map(rebuild, value, kinds)) if len(kinds) == len(value) else tuple(value)
    if origin in _LISTS and isinstance(value, list) and arguments:
        return [rebuild(element, arguments[0]) for element in value]
    if origin in _DICTS and isinstance(value, dict) and len(arguments) == 2:
        return {key: rebuild(element, arguments[1]) for key, element in value.items()}
    return value


_UNIONS = (Union, UnionType)
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable)
_DICTS = (dict, abc.Mapping, abc.MutableMapping)


def _needs_rebuilding(annotation: object) -> bool:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or hasattr(kind, "model_validate")
    ):
        return True
    return any(map(_needs_rebuilding, get_args(annotation)))


def _rebuild_dataclass(value: dict[str, Any], kind: type) -> object:
    annotations = _annotations_of(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := value.keys() - fields.keys():
        raise DecodeError(f"{kind.__qualname__} has no field {min(unknown)!r}")
    parts = {name: rebuild(part, annotations.get(name)) for name, part in value.items()}
    try:
        instance = kind(**{name: part for name, part in parts.items() if fields[name].init})
    except TypeError as exc:
        raise DecodeError(f"cannot make a {kind.__qualname__} of stored data: {exc}") from exc
    for name, part in parts.items():
        if not fields[name].init:
            object.__setattr__(instance, name, part)  # also in a frozen one
    return cast("object", instance)


def _annotations_of(owner: Callable[..., object]) -> Mapping[str, Any]:
    with contextlib.suppress(Exception):
        return get_type_hints(owner)
    # One name that only type checkers import spoils them all: take them one by one.
    names = vars(sys.modules.get(owner.__module__, sys)) | getattr(owner, "__globals__", {})
    found: dict[str, Any] = {}
    for name, annotation in getattr(owner, "__annotations__", {}).items():
        with contextlib.suppress(Exception):
            alone = SimpleNamespace(__annotations__={name: annotation})
            found |= get_type_hints(alone, globalns=names)
    return found
