"""A private PostgreSQL server in a folder of its own: started, found again, stopped.

Only for `embedded://[folder]`, the demo and the tests; never a silent fallback
for a missing database URL.
"""

import atexit
import contextlib
import fcntl
import ipaddress
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self
from urllib.parse import quote, unquote

from pgqueue.exceptions import ImproperlyConfigured, OperationalError
from pgqueue.store.embedded_account import Account, account_for
from pgqueue.store.embedded_binaries import Binaries, find_binaries, reachable_copy
from pgqueue.store.embedded_folder import USER, Postmaster, ServerFolder

SCHEME = "embedded://"
DEFAULT_PORT = "5432"  # of the socket's name only, unless a setting opens TCP
PATIENCE_SECONDS = 60.0  # for recovery after a crash of a large database

StopMode = Literal["smart", "fast", "immediate"]
_STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

_resolved: dict[Path, "EmbeddedServer"] = {}
_resolving = threading.Lock()


def start(
    folder: Path | None = None, *, settings: Mapping[str, str] = MappingProxyType({})
) -> "EmbeddedServer":
    """Return the server of `folder`, started unless it runs already; callers stop it themselves.

    It outlives this process. `settings` are PostgreSQL's own; a server that runs already keeps
    those that it has.
    """
    return EmbeddedServer(folder or default_folder(), settings=settings)


def resolve(url: str) -> str:
    """Return the real URL behind `embedded://[folder]`, its server running; other URLs unchanged.

    The last process that resolved a folder stops its server when it exits.
    """
    if not url.startswith(SCHEME):
        return url
    named = unquote(url.removeprefix(SCHEME))
    folder = _absolute(Path(named)) if named else default_folder()
    with _resolving:
        server = _resolved.get(folder)
        if server is None:
            server = _resolved[folder] = start(folder)
            atexit.register(server.leave)
        elif not server.is_running:
            server.restart()
        return server.url()


def default_folder() -> Path:
    """Return the folder that `embedded://` means: one per user; root's is open to system accounts."""
    if os.geteuid() == 0:
        return Path("/var/lib/pgqueue/embedded")
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return _absolute(Path(data_home)) / "pgqueue" / "embedded"


class EmbeddedServer:
    """A PostgreSQL server in a folder. As a context manager it stops the server at the end."""

    def __init__(self, folder: Path, *, settings: Mapping[str, str]) -> None:
        _refuse_strangers(settings)
        self._place = ServerFolder(_absolute(folder))
        self._settings = dict(settings)
        self._port = int(settings.get("port", DEFAULT_PORT))
        self._use: int | None = None  # the descriptor that holds users.lock
        self._binaries: Binaries
        self._account: Account
        self._start()

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this server."""
        return self._place.path

    @property
    def bin(self) -> Path:
        """The folder of the server's programs."""
        return self._binaries.folder

    @property
    def version(self) -> str:
        """The version of the programs, such as "18.4"."""
        return self._binaries.version

    @property
    def is_running(self) -> bool:
        """Whether the server takes connections."""
        return self._running() is not None

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        running = self._running()
        if running is None:
            raise OperationalError(
                f"the embedded server in {self.folder} is not running: restart() starts it."
            )
        return running.pid

    def url(self, database: str = "postgres", *, over_tcp: bool = False) -> str:
        """Return a URL for psycopg, SQLAlchemy, asyncpg and psycopg2, the same after a restart.

        `over_tcp` needs the setting listen_addresses.
        """
        if not over_tcp:
            where = f"host={self._place.socket_folder}&port={self._port}"
            return f"postgresql://{USER}@/{quote(database)}?{where}"
        password = self._place.password.read_text()
        host = self._settings.get("listen_addresses", "").split(",")[0].strip()
        if not host:
            raise ImproperlyConfigured(
                "the server takes no TCP connections: start it with "
                'settings={"listen_addresses": "127.0.0.1", "port": …}.'
            )
        address = f"[{host}]" if ":" in host else host
        return f"postgresql://{USER}:{password}@{address}:{self._port}/{quote(database)}"

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server, whoever uses it; return when none of its processes is left."""
        self._stop_using()
        with self._place.starting():
            self._end(mode)

    def kill(self) -> None:
        """Kill the server and its children as a crash would; return when they are gone."""
        pid = self.pid
        children = []
        with contextlib.suppress(
            FileNotFoundError
        ):  # elsewhere than on Linux they leave when they miss the postmaster
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._signal(signal.SIGKILL, pid, *map(int, children))
        self._await_end()

    def restart(self) -> None:
        """Stop the server if it runs, and start it with the same settings on the same URL."""
        self.stop()
        self._start()

    def leave(self) -> None:
        """Stop using the server; the last user stops it."""
        if self._use is None:
            return
        self._stop_using()
        with self._place.starting():
            alone = self._place.try_lock("users.lock", fcntl.LOCK_EX)
            if alone is not None:
                self._end("fast")
                os.close(alone)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self) -> None:
        place = self._place
        try:
            self._account = account_for(place.data)
            place.prepare(self._account)
            with place.starting():
                self._binaries = reachable_copy(
                    find_binaries(major=place.data_major()), self._account
                )
                place.initialise(self._binaries, self._account)
                place.prepare_socket_folder(self._account)
                self._run()
                self._use = place.try_lock("users.lock", fcntl.LOCK_SH)
        except OSError as error:
            raise ImproperlyConfigured(
                f"{self.folder} cannot hold an embedded server: {error}"
            ) from error

    def _run(self) -> None:
        """Return when the server takes connections, launched here or by somebody else."""
        launched = False
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if (running := self._running()) is not None:
                self._port = running.port
                return
            # Held: it starts, it stops, or orphans of a killed postmaster have not left yet.
            lock = self._place.try_lock("server.lock", fcntl.LOCK_EX)
            if lock is not None:
                try:
                    if launched:
                        raise OperationalError(
                            f"the embedded server did not start.{self._place.log_tail()}"
                        )
                    self._launch(lock)
                    launched = True
                finally:
                    os.close(lock)  # the server's processes hold their own copy
            time.sleep(0.01)
        raise OperationalError(
            f"the embedded server in {self.folder} is not ready after {PATIENCE_SECONDS:.0f} s."
            f"{self._place.log_tail()}"
        )

    def _launch(self, lock: int) -> None:
        place = self._place
        place.clear_stale_files()
        settings = {
            "port": DEFAULT_PORT,
            "listen_addresses": "",
            **self._settings,
            "unix_socket_directories": str(place.socket_folder),
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        # Through a shell that ends at once: the server is not our child, and leaves us no zombie.
        shell = ["/bin/sh", "-c", '"$@" >&2 &', "sh"]
        command: list[str | Path] = [*shell, self.bin / "postgres", "-D", place.data, *arguments]
        with place.log.open("ab") as log:
            self._account.run(command, stderr=log, pass_fds=[lock])

    def _running(self) -> Postmaster | None:
        told = self._place.postmaster()
        is_ours = (
            told is not None and told.is_ready and told.socket_folder == self._place.socket_folder
        )
        return told if told is not None and is_ours and told.answers() else None

    def _end(self, mode: StopMode) -> None:
        while (told := self._place.postmaster()) is None and self._place.has_server():
            time.sleep(0.01)  # its starter was killed just now, and it has not written its id yet
        if told is not None and self._place.has_server():
            self._signal(_STOP_SIGNALS[mode], told.pid)
            self._await_end()
        if not self._place.has_server():
            self._place.clear_stale_files()
        with contextlib.suppress(OSError):  # gone, or in use by a server that was not ours to stop
            self._place.socket_folder.rmdir()

    def _signal(self, number: signal.Signals, *pids: int) -> None:
        # As the server's account: root must not kill whatever a file of that account names.
        self._account.run(["/bin/sh", "-c", 'kill -s "$@"', "sh", number.name[3:], *map(str, pids)])

    def _await_end(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._place.has_server():
            if time.monotonic() > deadline:
                raise OperationalError(
                    f"the embedded server in {self.folder} still runs after {PATIENCE_SECONDS:.0f} s."
                    f"{self._place.log_tail()}"
                )
            time.sleep(0.01)

    def _stop_using(self) -> None:
        if self._use is not None:
            os.close(self._use)
            self._use = None


def _refuse_strangers(settings: Mapping[str, str]) -> None:
    for host in filter(None, map(str.strip, settings.get("listen_addresses", "").split(","))):
        try:
            is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            raise ImproperlyConfigured(
                f"listen_addresses={host!r}: an embedded server is for this machine only (127.0.0.1). "
                "Install PostgreSQL to serve others."
            )


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()
