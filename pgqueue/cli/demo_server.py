"""The embedded server of the demo: in a folder of its own, with nothing in it at the start."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pgqueue.exceptions import ImproperlyConfigured
from pgqueue.store import embedded
from pgqueue.store.embedded_account import account_for
from pgqueue.store.embedded_folder import ServerFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgqueue.store.embedded import EmbeddedServer

# Held while a demo runs; left behind, it marks the folder as one that may be emptied.
LOCK: Final = "demo.lock"


@contextlib.contextmanager
def fresh_server(folder: Path | None, *, keep: bool) -> Iterator[EmbeddedServer]:
    """A server without data in `folder`, by default the demo's own; what an earlier demo left is removed.

    It is stopped at the end, and its data stay. With `keep` it runs on, unless the block raises.

    Raises:
        ImproperlyConfigured: something else is in the folder, another demo runs there, or there are
            no server programs.
    """
    place = ServerFolder((folder or default_folder()).expanduser().resolve())
    _refuse_strangers(place.path)
    with contextlib.closing(_Claim(place)):
        _empty(place)
        ended = False
        try:
            yield embedded.start(place.path)
            ended = True
        finally:
            # Not asked of what start() returned: it may have been interrupted before it did.
            if not (keep and ended):
                _stop(place)


def default_folder() -> Path:
    """Where the demo runs unless told otherwise; for a user without a home, a new folder at each call."""
    if os.geteuid() == 0:
        return Path("/var/cache/pgqueue/demo")  # open to the account that the server runs as
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        return cache / "pgqueue" / "demo"
    return Path(tempfile.mkdtemp(prefix="pgqueue-demo-"))


class _Claim:
    """The right to use a folder, until closed."""

    def __init__(self, place: ServerFolder) -> None:
        try:
            place.prepare(account_for(place.data))
            descriptor = place.try_lock(LOCK, fcntl.LOCK_EX)
        except OSError as error:
            raise ImproperlyConfigured(
                f"{place.path} cannot hold the demo: {error}. Name another folder: --folder"
            ) from error
        if descriptor is None:
            raise ImproperlyConfigured(
                f"another demo is running in {place.path}. Name another folder: --folder"
            )
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def _refuse_strangers(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
        raise ImproperlyConfigured(
            f"{folder} is not empty, and was not made by this demo, which would remove all that is "
            "in it. Name another folder: --folder"
        )


def _empty(place: ServerFolder) -> None:
    _stop(place)
    for path in place.path.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _stop(place: ServerFolder) -> None:
    if place.has_server():
        embedded.start(place.path).stop()
