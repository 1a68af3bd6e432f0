"""The account that an embedded server runs as: ours, or another one when we are root.

PostgreSQL refuses to run as root. Accounts are never created, and no folder that we did
not make changes hands.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pgqueue.exceptions import ImproperlyConfigured

SYSTEM_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An existing account, and the way to run a program as it."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether this is not the account of this process (which then is root)."""
        return self.uid != os.geteuid()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        stderr: int | IO[bytes] = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `command` as this account, in a session of its own, and wait for its end."""
        return subprocess.run(
            command,
            user=self.uid if self.is_other else None,
            group=self.gid if self.is_other else None,
            extra_groups=[] if self.is_other else None,
            cwd="/",  # the caller's working directory may be closed to this account
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
            check=False,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether this account reaches `folder`: tried, because modes are not all (ACLs, mounts)."""
        return self.run(["/bin/sh", "-c", 'cd -- "$0"', folder]).returncode == 0

    def give(self, path: Path, *, mode: int) -> None:
        """Hand `path`, which we made, to this account."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


def account_for(data: Path) -> Account:
    """Return the owner of `data`; for new data us, or a system account if we are root."""
    if data.exists():
        return _owner_of(data)
    if os.geteuid() != 0:
        return _account(pwd.getpwuid(os.geteuid()))
    for name in SYSTEM_ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ImproperlyConfigured(
        "PostgreSQL refuses to run as root, and this machine has none of the accounts "
        f"{' and '.join(SYSTEM_ACCOUNTS)}: run as an ordinary user."
    )


def _owner_of(data: Path) -> Account:
    owner = _account(pwd.getpwuid(data.stat().st_uid))
    if owner.is_other and os.geteuid() != 0:
        raise ImproperlyConfigured(
            f"the embedded server in {data.parent} belongs to user {owner.name!r}: "
            "run as that user, or name another folder (embedded:///path/to/folder)."
        )
    return owner


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _environment() -> dict[str, str]:
    # Our own PGPORT, LANG, … must not leak into the server; TZ also saves initdb a search.
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "LC_ALL": "C",
        "TZ": "UTC",
    }
