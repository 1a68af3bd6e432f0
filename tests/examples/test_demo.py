"""The demo from outside: a process, its exit code, what it prints, what it leaves behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pgqueue.store.embedded_folder import USER, ServerFolder
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

# A count that is too high by one, as a lost update would make it.
FALSIFY = """
CREATE FUNCTION falsify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.lines := NEW.lines + 1; RETURN NEW; END $$;
CREATE TRIGGER falsify BEFORE UPDATE ON source_file FOR EACH ROW EXECUTE FUNCTION falsify();
"""


def test_the_demo_ends_with_balanced_books_and_leaves_no_process(folder: Path) -> None:
    with demo("--files", "60", "--folder", folder) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output
    assert "Running 54 jobs in 2 processes" in output
    assert "was killed; running on" in output
    assert "6 files were rolled back: they have neither row nor job" in output
    assert "FROM pgqueue.jobs WHERE state = 'failed'" in output
    assert "SyntaxError: " in output
    assert "Traceback (most recent call last)" in output
    assert "JOBS_PER_SECOND" in output
    assert "NO " not in output
    assert "The books balance." in output
    assert f"pgqueue -b 'embedded://{folder}' status" in output
    assert not ServerFolder(folder).has_server()
    assert processes_that_name(folder) == []


def test_the_demo_runs_nowhere_where_others_keep_things(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")

    with demo("--files", "10", "--folder", tmp_path) as process:
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert f"{tmp_path} is not empty" in output
    assert precious.read_text() == "years of work"


def test_a_falsified_count_makes_the_demo_fail(folder: Path) -> None:
    with demo("--files", "100", "--folder", folder) as process:
        eventually(lambda: executed(folder, FALSIFY), within=30)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1, output
    assert "NO   every file was counted again" in output
    assert "the row says" in output
    assert "The books do NOT balance." in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_cleans_up_when_it_is_interrupted(folder: Path, number: signal.Signals) -> None:
    with demo("--folder", folder, "--keep") as process:
        begun = "SELECT FROM pgqueue.attempts HAVING count(*) > 0"
        eventually(lambda: executed(folder, begun), within=30)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 1, output
    assert not ServerFolder(folder).has_server()
    assert processes_that_name(folder) == []


def test_a_kept_server_runs_on_and_makes_room_for_the_next_demo(folder: Path) -> None:
    with demo("--files", "10", "--folder", folder, "--keep") as process:
        kept, _ = process.communicate(timeout=60)
    is_full = executed(folder, "SELECT FROM source_file HAVING count(*) = 9")
    with demo("--files", "10", "--folder", folder) as process:
        output, _ = process.communicate(timeout=60)

    assert "The server runs on." in kept
    assert is_full
    assert process.returncode == 0, output
    assert not ServerFolder(folder).has_server()


@contextmanager
def demo(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run `pgqueue demo`, with an environment that names another database."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PGQUEUE_DATABASE_URL": "postgresql://nowhere.invalid/production",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "pgqueue", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def executed(folder: Path, sql: str) -> bool:
    """Whether the demo's server could run the statements, and the last one returned a row if any can."""
    place = ServerFolder(folder).socket_folder
    try:
        with psycopg.connect(host=str(place), user=USER, dbname="postgres") as connection:
            cursor = connection.execute(sql.encode())
            return cursor.description is None or cursor.fetchone() is not None
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return False  # not yet


def processes_that_name(folder: Path) -> list[str]:
    """The processes whose command line or environment tells of the folder or of its socket."""
    marks = (str(folder).encode(), str(ServerFolder(folder).socket_folder).encode())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if any(mark in told for mark in marks) and process.name != str(os.getpid()):
            found.append(f"{process.name}: {told[:200]!r}")
    return found
