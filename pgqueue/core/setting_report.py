"""What people are shown of the settings: rows for `pgqueue config`, with passwords masked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pgqueue.core.database_url import MASK, mask_passwords
from pgqueue.core.setting_catalogue import Effect

_SECRET_NAME = re.compile(
    r"passw|pwd|secret|token|credential|api_?key|access_key|private_?key|^security_key$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SettingReport:
    """One row of `pgqueue config`; passwords in `value` are masked.

    `origin` says where the value came from. `problem` is why the setting cannot be read, else "".
    """

    name: str
    value: object
    default: object
    origin: str
    meaning: str
    effect: Effect
    problem: str = ""


def without_secrets(name: str, value: object) -> object:
    """Return `value` with the secrets in it masked, also inside dicts and lists."""
    if value is not None and value != "" and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return mask_passwords(value)
    if isinstance(value, Mapping):
        return {key: without_secrets(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [without_secrets("", item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def shown(name: str, value: object) -> str:
    """Return `value` as errors show it: without secrets, cut at 200 characters."""
    return _short(mask_passwords(repr(without_secrets(name, value))))


def lines_of(table: Mapping[str, object]) -> str:
    """Return one `name: value` line for each setting, long values cut at 200 characters."""
    return "\n".join(f"{name}: {_short(repr(value))}" for name, value in sorted(table.items()))


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
