"""The program as its users run it: a process, in a folder of their own, with a database."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.database import Database, Databases
from tests.fixtures.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
NOWHERE = "postgresql://localhost:1/nowhere"

SHOP = """
from pgqueue import App

app = App("shop")

@app.task
def add(a, b):
    return a + b

@app.task
def greet(name):
    return f"hello {name}\\x1b[31m"

@app.task
def charge(order_id):
    raise ValueError(f"no order \\x1b]0;owned\\x07 {order_id}")
"""


@dataclass(frozen=True)
class Answer:
    """What the program printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, read as strict JSON."""
        return json.loads(self.out, parse_constant=pytest.fail)


@dataclass
class Program:
    """`python -m pgqueue`, run in `folder`; the environment names the database, if there is one."""

    folder: Path
    database: Database | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> None:
        """Write a file below the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *words: object, stdin: str = "", folder: Path | None = None) -> Answer:
        """Run one command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "pgqueue", *map(str, words)],
            cwd=folder or self.folder,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def worker(self, *words: str, script: str | None = None) -> Iterator["RunningWorker"]:
        """A worker that runs, told what to do by `words`, or by a script of its own."""
        log = self.folder / "worker.log"
        command = ["-m", "pgqueue", *words] if script is None else [script, *words]
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            running = RunningWorker(process, log)
            eventually(lambda: running.is_ready or process.poll() is not None, within=20)
            yield running
        finally:
            process.kill()
            process.wait()

    def _environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("PGQUEUE_")}
        own.pop("DATABASE_URL", None)
        if self.database is not None:
            own["PGQUEUE_DATABASE_URL"] = self.database.url
        return {**own, "PYTHONPATH": str(REPOSITORY), **self.environ}


@dataclass
class RunningWorker:
    """A worker's process and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def text(self) -> str:
        """All that it has printed and logged."""
        return self.log.read_text()

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it claims jobs; it does so with -l info."""
        return "is ready:" in self.text

    def stop(self) -> int:
        """Send TERM, and return the exit code."""
        self.process.terminate()
        return self.process.wait(20)


RunProgram = Callable[..., AbstractContextManager[RunningWorker]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program without a database."""
    return Program(tmp_path)


@pytest.fixture
def shop(tmp_path: Path, database: Database) -> Program:
    """The program beside a module `shop` with an App, on this test's migrated database."""
    made = Program(tmp_path, database)
    made.write("shop.py", SHOP)
    return made


@pytest.fixture(scope="module")
def busy_shop(
    databases: Databases, migrated_template: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """As `shop`, with a worker that runs; one for all tests of a file."""
    copy = databases.create(copy_of=migrated_template)
    made = Program(tmp_path_factory.mktemp("shop"), copy)
    made.write("shop.py", SHOP)
    with made.worker("-A", "shop", "worker", "-c", "1", "-l", "info") as worker:
        assert worker.is_ready, worker.text
        yield made
        assert worker.stop() == 0, worker.text
    databases.drop(copy)
