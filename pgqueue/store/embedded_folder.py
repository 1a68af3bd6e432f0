"""The folder of an embedded server: what lies where, how it is made, who holds it.

data/           the cluster            server.log     what the server says
starting.lock   held by whoever starts or stops the server
server.lock     held by the server's own processes: free means that not one of them lives
users.lock      shared by everyone who uses the server: free means that it may be stopped
password        for connections over TCP; those over the socket need none
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgqueue.exceptions import ImproperlyConfigured, OperationalError
from pgqueue.store.embedded_account import Account
from pgqueue.store.embedded_binaries import Binaries

USER = "postgres"  # not "pgqueue": search_path would put its own tables into our schema
LOG_LINES_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says of itself in postmaster.pid."""

    pid: int
    socket_folder: Path
    port: int
    is_ready: bool

    @property
    def socket(self) -> Path:
        """The unix socket that it listens on."""
        return self.socket_folder / f".s.PGSQL.{self.port}"

    def answers(self) -> bool:
        """Whether somebody listens on the socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
            except TimeoutError:
                return True  # busy, but there
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The paths of one server, and the questions that files can answer about it."""

    path: Path

    @property
    def data(self) -> Path:
        """The cluster. It appears complete or not at all."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """The server's standard error."""
        return self.path / "server.log"

    @property
    def password(self) -> Path:
        """The password for TCP."""
        return self.path / "password"

    @property
    def socket_folder(self) -> Path:
        """Where the socket is: the same at every start, and short, as its path ends at 107 bytes."""
        name = hashlib.blake2b(os.fsencode(self.path), digest_size=6).hexdigest()
        return Path("/tmp", f"pgqueue-{name}")  # noqa: S108 - refused if not private

    def data_major(self) -> int | None:
        """Return the major version of PostgreSQL that made the data; None if there are none."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def postmaster(self) -> Postmaster | None:
        """Return what postmaster.pid says, maybe stale; None if it is missing or half-written."""
        # lines: pid, data folder, start time, port, socket folder, address, shared memory, status
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return Postmaster(
                int(lines[0]), Path(lines[4]), int(lines[3]), lines[7].strip() == "ready"
            )
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def log_tail(self) -> str:
        """Return the last lines of the log, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(["", f"The last lines of {self.log}:", *lines[-LOG_LINES_SHOWN:]])

    def try_lock(self, name: str, operation: int) -> int | None:
        """Return a lock file's descriptor, which `os.close` gives back; None if others hold it."""
        try:
            return self._lock(name, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return None

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only one who starts or stops this server."""
        descriptor = self._lock("starting.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def has_server(self) -> bool:
        """Whether any process of the server lives, be it an orphan of a killed postmaster."""
        descriptor = self.try_lock("server.lock", fcntl.LOCK_SH)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def prepare(self, account: Account) -> None:
        """Make the folder; fail if `account` cannot enter it."""
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if account.is_other:
                path.chmod(0o755)  # ours, and a strict umask of root would close it to the server
        if not any(self.path.iterdir()):
            # Root keeps the folder: a link that the account planted there could lead us astray.
            self.path.chmod(0o711 if account.is_other else 0o700)
        if not account.can_enter(self.path):
            raise ImproperlyConfigured(
                f"the embedded server runs as user {account.name!r}, because PostgreSQL refuses "
                f"to run as root, and that user cannot enter {self.path}. Name a folder that it can reach, such as "
                f"embedded:///var/lib/pgqueue/{self.path.name}"
            )

    def initialise(self, binaries: Binaries, account: Account) -> None:
        """Make the cluster, unless there is one. Killed half-way, it leaves nothing like one."""
        if self.data.exists():
            return
        # Held by initdb too: one whose starter was killed must end before its leavings are removed.
        lock = self._lock("server.lock", fcntl.LOCK_EX)
        try:
            unfinished = self.path / "data.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            account.give(unfinished, mode=0o700)
            self._make_password(account)
            self._run_initdb(binaries, account, into=unfinished, lock=lock)
            unfinished.rename(self.data)
        finally:
            os.close(lock)

    def clear_stale_files(self) -> None:
        """Remove what a killed server left.

        Its pid may be a zombie, or another program by now: PostgreSQL would take it for the server.
        """
        left = self.postmaster()
        if left is not None and left.answers():
            return  # a server that somebody started by hand: PostgreSQL will refuse, and say why
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for path in self.socket_folder.glob("*"):
            path.unlink()

    def prepare_socket_folder(self, account: Account) -> None:
        """Make the folder of the socket; fail if another user made it to listen in."""
        folder = self.socket_folder
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()  # not of what a planted link points to
        is_private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        if not is_private or found.st_uid not in (account.uid, os.geteuid()):
            raise ImproperlyConfigured(
                f"{folder}, the folder for the socket of the embedded server in {self.path}, "
                "was made by somebody else. Remove it, or name another folder for the server."
            )
        account.give(folder, mode=0o700)

    def _make_password(self, account: Account) -> None:
        self.password.unlink(missing_ok=True)
        self.password.touch(mode=0o600)
        self.password.write_text(secrets.token_urlsafe(24))
        account.give(self.password, mode=0o600)

    def _run_initdb(self, binaries: Binaries, account: Account, *, into: Path, lock: int) -> None:
        # trust on the socket, because its folder lets nobody in but the owner and root; peer would
        # shut out root, whose server runs as another. Over TCP any local user may knock: password.
        ended = account.run(
            [
                binaries.folder / "initdb",
                f"--pgdata={into}",
                f"--username={USER}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                f"--pwfile={self.password}",
                "--encoding=UTF8",
                "--locale=C",
                "--no-instructions",
                "--no-sync",
            ],
            pass_fds=[lock],
        )
        if ended.returncode != 0:
            told = (ended.stdout + ended.stderr).decode(errors="replace").strip()
            raise OperationalError(
                f"initdb could not make a database cluster in {self.path}:\n{told}"
            )

    def _lock(self, name: str, operation: int) -> int:
        descriptor = os.open(self.path / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, operation)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
