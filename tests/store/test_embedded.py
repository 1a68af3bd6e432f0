"""The embedded server: found, started, shared, killed, stopped. Processes and accounts are real."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from pgqueue.exceptions import ImproperlyConfigured, OperationalError
from pgqueue.store import embedded
from pgqueue.store.embedded_account import Account, account_for
from pgqueue.store.embedded_folder import ServerFolder
from tests.fixtures.database import Database
from tests.fixtures.embedded import Spawn
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.slow
only_linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")


START = """
import sys, pathlib
from pgqueue.store import embedded
server = embedded.start(pathlib.Path(sys.argv[1]))
print(server.pid, flush=True)
sys.stdin.read()
"""

RESOLVE = """
import sys
from pgqueue.store import embedded
print(embedded.resolve(sys.argv[1]), flush=True)
sys.stdin.read()
"""


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# Starting


def test_a_new_folder_becomes_a_utf8_database_in_the_c_locale(folder: Path) -> None:
    with embedded.start(folder) as server:
        [row] = Database(server.url()).execute(
            "SELECT current_setting('server_encoding'), datcollate, datctype,"
            " current_setting('listen_addresses'), current_setting('server_version')"
            " FROM pg_database WHERE datname = current_database()"
        )

        assert row[:4] == ("UTF8", "C", "C", "")
        assert row[4].split()[0] == server.version


def test_settings_reach_the_server(folder: Path) -> None:
    with embedded.start(folder, settings={"work_mem": "7MB"}) as server:
        assert Database(server.url()).execute("SHOW work_mem") == [("7MB",)]


def test_a_folder_with_a_long_name_still_has_a_socket(folder: Path) -> None:
    with embedded.start(folder / ("long" * 30) / "server") as server:
        assert Database(server.url()).count("SELECT 1") == 1

        server.stop()


async def test_every_driver_takes_the_url(folder: Path) -> None:
    with embedded.start(folder) as server:
        url = server.url()
        of_sqlalchemy = url.replace("postgresql:", "postgresql+{}:")

        with psycopg.connect(url) as sync_connection:
            assert sync_connection.execute("SELECT 1").fetchone() == (1,)
        async with await psycopg.AsyncConnection.connect(url) as async_connection:
            assert await (await async_connection.execute("SELECT 1")).fetchone() == (1,)
        raw = await asyncpg.connect(url)
        assert await raw.fetchval("SELECT 1") == 1
        await raw.close()
        old = psycopg2.connect(url)
        old.close()
        for driver in ("psycopg", "psycopg2"):
            engine = create_engine(of_sqlalchemy.format(driver))
            with engine.connect() as connection:
                assert connection.scalar(text("SELECT 1")) == 1
            engine.dispose()
        for driver in ("psycopg", "asyncpg"):
            async_engine = create_async_engine(of_sqlalchemy.format(driver))
            async with async_engine.connect() as connection_of_engine:
                assert await connection_of_engine.scalar(text("SELECT 1")) == 1
            await async_engine.dispose()


def test_a_starter_killed_in_initdb_leaves_nothing_in_the_way(folder: Path, spawn: Spawn) -> None:
    starter = spawn(START, folder)
    eventually((folder / "data.new" / "PG_VERSION").exists)

    starter.kill()

    with embedded.start(folder) as server:
        assert Database(server.url()).count("SELECT 1") == 1


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with pytest.raises(OperationalError, match='invalid value for parameter "shared_buffers"'):
        embedded.start(folder, settings={"shared_buffers": "much"})


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "file").touch()

    with pytest.raises(ImproperlyConfigured, match="cannot hold an embedded server"):
        embedded.start(folder / "file" / "server")


# Privacy


@pytest.mark.parametrize(
    "host", ["*", "0.0.0.0", "::", "192.168.1.1", "127.0.0.1, 10.0.0.1", "x.org"]
)
def test_an_address_that_others_could_reach_is_refused(folder: Path, host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="for this machine only"):
        embedded.start(folder, settings={"listen_addresses": host})


def test_tcp_on_loopback_needs_the_password(folder: Path, free_port: int) -> None:
    settings = {"listen_addresses": "127.0.0.1", "port": str(free_port)}
    with embedded.start(folder, settings=settings) as server:
        url = server.url(over_tcp=True)

        assert Database(url).count("SELECT 1") == 1
        assert Database(server.url()).count("SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                f"postgresql://pgqueue@127.0.0.1:{free_port}/postgres", passfile="/dev/null"
            )


def test_tcp_that_was_not_opened_has_no_url(folder: Path) -> None:
    with (
        embedded.start(folder) as server,
        pytest.raises(ImproperlyConfigured, match="takes no TCP"),
    ):
        server.url(over_tcp=True)


def test_only_the_owner_enters_the_folder_of_the_socket(folder: Path) -> None:
    with embedded.start(folder) as server:
        socket_folder = ServerFolder(server.folder).socket_folder
        found = socket_folder.stat()

        assert found.st_mode & 0o777 == 0o700
        assert len(f"{socket_folder}/.s.PGSQL.5432.lock") < 107


def test_a_socket_folder_that_others_could_enter_is_refused(folder: Path) -> None:
    planted = ServerFolder(folder).socket_folder
    planted.mkdir()
    planted.chmod(0o777)

    with pytest.raises(ImproperlyConfigured, match="was made by somebody else"):
        embedded.start(folder)

    planted.rmdir()


# Death


def test_the_server_outlives_a_killed_starter_and_is_found_again(
    folder: Path, spawn: Spawn
) -> None:
    starter = spawn(START, folder)
    pid = int(line_of(starter))

    starter.kill()
    starter.wait()

    with embedded.start(folder) as server:
        assert server.pid == pid


def test_two_starters_at_once_get_the_same_server(folder: Path, spawn: Spawn) -> None:
    starters = [spawn(START, folder) for _ in range(4)]

    pids = {line_of(starter) for starter in starters}

    assert len(pids) == 1
    assert pids != {""}


def test_a_killed_server_comes_back_with_its_data(folder: Path) -> None:
    with embedded.start(folder) as server:
        url = server.url()
        Database(url).execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server.pid

        server.kill()
        assert not server.is_running
        server.restart()

        assert server.pid != pid
        assert server.url() == url
        assert Database(url).count("SELECT answer FROM kept") == 42


@only_linux
def test_a_kill_leaves_no_process(folder: Path) -> None:
    with embedded.start(folder) as server:
        data = str(ServerFolder(folder).data)
        assert processes_in(data)

        server.kill()

        eventually(lambda: not processes_in(data))


@only_linux
def test_a_start_waits_for_the_orphans_of_a_killed_postmaster(folder: Path) -> None:
    """A frozen backend survives its postmaster, and holds the shared memory."""
    server = embedded.start(folder)
    with psycopg.connect(server.url()) as connection:
        orphan = connection.info.backend_pid
        os.kill(orphan, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGKILL)
        restarting = threading.Thread(target=server.restart)

        restarting.start()
        eventually(lambda: processes_in(str(ServerFolder(folder).data)) == [orphan])
        restarting.join(timeout=0.3)
        assert restarting.is_alive()
        os.kill(orphan, signal.SIGKILL)
        restarting.join(timeout=5)

        assert server.is_running
    server.stop()


def test_the_id_of_a_killed_server_may_belong_to_another_program(folder: Path) -> None:
    """PostgreSQL would take any living process of its account for the old server."""
    server = embedded.start(folder)
    pid = server.pid
    server.kill()
    place = ServerFolder(folder)
    account = account_for(place.data)
    with living_process(account) as stranger:
        for name in (place.data / "postmaster.pid", place.socket_folder / ".s.PGSQL.5432.lock"):
            name.write_text(name.read_text().replace(str(pid), str(stranger), 1))

        server.restart()

        assert server.pid != stranger
        server.stop()


def test_a_stop_is_over_when_every_process_has_left(folder: Path) -> None:
    server = embedded.start(folder)
    with psycopg.connect(server.url()):
        server.stop()

        assert not ServerFolder(folder).has_server()
        with pytest.raises(OperationalError, match="is not running"):
            server.pid  # noqa: B018


# embedded://


def test_other_urls_are_left_alone() -> None:
    assert embedded.resolve("postgresql://db.example/shop") == "postgresql://db.example/shop"


def test_the_last_user_of_embedded_stops_the_server(folder: Path, spawn: Spawn) -> None:
    first, second = (spawn(RESOLVE, f"embedded://{folder}") for _ in range(2))
    url = line_of(first)
    assert line_of(second) == url

    first.communicate()
    assert Database(url).count("SELECT 1") == 1
    second.communicate()

    assert not ServerFolder(folder).has_server()


def test_after_a_killed_user_the_next_last_one_stops_the_server(folder: Path, spawn: Spawn) -> None:
    killed = spawn(RESOLVE, f"embedded://{folder}")
    url = line_of(killed)
    killed.kill()
    killed.wait()
    assert Database(url).count("SELECT 1") == 1

    last = spawn(RESOLVE, f"embedded://{folder}")
    assert line_of(last) == url
    last.communicate()

    assert not ServerFolder(folder).has_server()


def test_a_user_of_embedded_does_not_stop_the_server_of_an_explicit_starter(
    folder: Path, spawn: Spawn
) -> None:
    with embedded.start(folder) as server:
        user = spawn(RESOLVE, f"embedded://{folder}")
        assert line_of(user) == server.url()

        user.communicate()

        assert server.is_running


def test_embedded_is_started_again_if_it_died(folder: Path, spawn: Spawn) -> None:
    program = """
import sys, pathlib
from pgqueue.store import embedded
url = embedded.resolve(sys.argv[1])
embedded.start(pathlib.Path(sys.argv[2])).kill()
assert embedded.resolve(sys.argv[1]) == url
print(embedded.start(pathlib.Path(sys.argv[2])).is_running)
"""
    assert line_of(spawn(program, f"embedded://{folder}", folder)) == "True"


def test_embedded_takes_relative_and_quoted_folders(folder: Path, spawn: Spawn) -> None:
    program = "import os, sys; os.chdir(sys.argv.pop(1))\n" + RESOLVE
    user = spawn(program, folder, "embedded://my%20data")
    assert line_of(user)
    user.communicate()

    assert ServerFolder(folder / "my data").data.exists()


# What the tests above look with


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def processes_in(folder: str) -> list[int]:
    """Return the living processes that work in `folder`, as all of a server's do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()) == folder:
                found.append(int(process.name))
        except OSError:
            continue
    return found


@contextlib.contextmanager
def living_process(account: Account) -> Iterator[int]:
    """Run some program of `account`, and yield its id."""
    process = subprocess.Popen(
        ["/bin/sleep", "60"],
        user=account.uid if account.is_other else None,
        stdin=subprocess.DEVNULL,
    )
    yield process.pid
    process.kill()
    process.wait()
