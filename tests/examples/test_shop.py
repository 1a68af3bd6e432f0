"""The shop, started and used as examples/README.md says."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fixtures.database import Database
from tests.fixtures.waiting import eventually

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "examples" / "README.md").read_text()


def test_the_shop_does_what_its_page_says(empty_database: Database) -> None:
    migrate, worker, order, gift = commands("shop")

    run(migrate, empty_database)
    with running(worker, empty_database):
        ordered = run(order, empty_database)
    refused = run(gift, empty_database)

    assert f"It prints `{ordered.stdout.strip()}`" in README
    assert ordered.returncode == 0, ordered.stderr
    assert refused.returncode == 1
    assert "ValueError: 0 cents cannot be collected" in refused.stderr
    assert empty_database.execute("SELECT item, cents FROM orders") == [("a book", 1250)]
    assert empty_database.execute("SELECT cents FROM payments") == [(1250,)]
    empty_database.assert_states(succeeded=1)


def commands(section: str) -> list[list[str]]:
    """What the page's section tells to type, without `cd` and `export`."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    typed = (line for line in lines if line and not line.startswith(("cd ", "export ")))
    return [shlex.split(line) for line in typed]


def run(command: list[str], database: Database) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        here(command),
        cwd=REPOSITORY / "examples" / "shop",
        env=environment(database),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(command: list[str], database: Database) -> Iterator[None]:
    """Run a worker beside the block, and stop it as Ctrl-C would."""
    with subprocess.Popen(
        here(command),
        cwd=REPOSITORY / "examples" / "shop",
        env=environment(database),
        start_new_session=True,
    ) as process:
        try:
            eventually(lambda: database.count("SELECT count(*) FROM pgqueue.workers"), within=20)
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0


def here(command: list[str]) -> list[str]:
    """The command with this Python, and with pgqueue from this repository."""
    program, *arguments = command
    return [sys.executable, *(["-m", "pgqueue"] if program == "pgqueue" else []), *arguments]


def environment(database: Database) -> dict[str, str]:
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("PGQUEUE_")}
    return {**inherited, "PYTHONPATH": str(REPOSITORY), "DATABASE_URL": database.url}
